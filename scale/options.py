"""The options of training through TRL: the config of the trainer, and the flags of the command.

`RAPOConfig` is TRL's `GRPOConfig` plus the arm, the form of the KL and phi. It keeps TRL's names: the
paper's alpha and beta are its `beta` and `entropy_coef`. An option that would change the objective, or
the distribution that completions are sampled from, is refused with the reason.

This room can be imported without TRL, but not used: pip install -r requirements-scale.txt.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from machine.loading import compute_dtype, quiet_libraries
from objective import ARMS, PASS_AT_K_TRAINED
from settings import Settings, flag, with_objective
from step import MAX_GRAD_NORM

SAVE_EVERY = 20  # updates between two checkpoints; by number, for all processes must save at once

quiet_libraries()  # before TRL loads them
warnings.filterwarnings("ignore", "`gradient_checkpointing`", FutureWarning)  # TRL's name for it
try:
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    absent = None
except (ImportError, RuntimeError) as error:  # RuntimeError: TRL is here, what it needs is not
    GRPOConfig = GRPOTrainer = TrainerCallback = object
    absent = error


def need_trl() -> None:
    """Raise ImportError, saying what to install, if there is no TRL here."""
    if absent is not None:
        why = " ".join(str(absent).split())
        raise ImportError(
            f"scale needs TRL ({why}): pip install -r requirements-scale.txt; on one device "
            "python rapo_mini.py does without"
        ) from absent


# ---------------------------------------------------------------- the config

SAMPLED = "log pi_old must be that of the distribution that was sampled from"
# An option of GRPOConfig, the values that it may have here, and why no others.
FIXED = {
    "importance_sampling_level": (("token",), "the objective's rho is a ratio of tokens"),
    "delta": ((None,), "the objective clips rho at 1 - epsilon and 1 + epsilon only"),
    "scale_rewards": (("group",), "A is divided by its group's standard deviation"),
    "multi_objective_aggregation": (("sum_then_normalize",), "A and phi need one reward r"),
    "top_entropy_quantile": ((1.0,), "every sampled token carries loss"),
    "use_adaptive_entropy": ((False,), "the weight of H is a constant, entropy_coef"),
    "off_policy_mask_threshold": ((None,), "every completion carries loss"),
    "use_bias_correction_kl": (
        (False,),
        "the arm says whether rho stands before k3: arm='grpo-unbiased'",
    ),
    "sync_ref_model": ((False,), "pi_ref is the frozen base"),
    "router_aux_loss_coef": ((None, 0.0), "the objective has no load-balancing term"),
    "top_p": ((1.0,), SAMPLED),
    "top_k": ((0,), SAMPLED),
    "min_p": ((None,), SAMPLED),
    "repetition_penalty": ((1.0,), SAMPLED),
    "vllm_structured_outputs_regex": ((None,), "completions are drawn from pi_old, unconstrained"),
    "disable_dropout": ((True,), "with dropout, scoring would not repeat what sampling did"),
    "use_transformers_continuous_batching": ((False,), "TRL rounds the adapter to 16 bits for it"),
    "loss_type": (
        ("grpo", "dapo", "bnpo", "dr_grpo"),
        "grpo is the objective's own mean, the other three weigh tokens by number; the rest of TRL's "
        "are other objectives",
    ),
}
# In generation_kwargs; others may change the distribution.
HARMLESS = {"eos_token_id", "seed", "stop", "stop_strings", "stop_token_ids"}


@dataclass
class RAPOConfig(GRPOConfig):
    """TRL's GRPOConfig with the choices of RAPO; what is left open is what a real base gets otherwise.

    Raises ValueError for an option that the objective has no place for, ImportError without TRL.
    """

    arm: str = field(
        default="rapo",
        metadata={"help": f"{', '.join(ARMS)}."},
    )
    kl_form: str = field(
        default="auto",
        metadata={
            "help": "KL over the vocabulary (exact) or at the token (sampled). auto: sampled for rapo "
            "and both grpo arms."
        },
    )
    beta: float | None = field(
        default=None,
        metadata={"help": "Weight of the KL, the paper's alpha. None: the arm's on a real base."},
    )
    entropy_coef: float | None = field(
        default=None,
        metadata={"help": "Weight of the entropy, the paper's beta. None: the arm's own."},
    )
    phi_min: float | None = field(
        default=None,
        metadata={
            "help": "Power of the reference where the reward is 0 (linear). None: the arm's there."
        },
    )
    phi: str | None = field(
        default=None,
        metadata={
            "help": "phi by reward: linear from phi_min to 1, or the paper's inverse, tanh. None: "
            "inverse where rapo's KL is sampled and phi_min is not given."
        },
    )
    tau_max: float = field(default=2.2, metadata={"help": "phi inverse is 1 / (tau_max - r)."})
    plausible: float | None = field(
        default=None,
        metadata={
            "help": "Flatten only among tokens with this share of the likeliest's probability. None: "
            "the arm's there."
        },
    )
    fork_entropy: float | None = field(
        default=None,
        metadata={
            "help": "Flatten fully only where the reference's entropy is this many nats. None: 0, "
            "anywhere."
        },
    )
    phi_from: str = field(
        default="completion",
        metadata={"help": "phi follows the completion's reward or the group's."},
    )
    chunk_tokens: int = field(
        default=64, metadata={"help": "Tokens whose logits exist at once; changes memory only."}
    )
    loss_type: str = field(
        default="grpo",
        metadata={"help": "grpo: mean over tokens, then completions [paper]; dapo, bnpo, dr_grpo."},
    )
    use_bias_correction_kl: bool = field(default=False, metadata={"help": "Must be False."})
    disable_dropout: bool = field(default=True, metadata={"help": "Must be True."})

    def __post_init__(self):
        need_trl()
        same = ("arm", "kl_form", "phi", "phi_min", "tau_max", "plausible", "fork_entropy")
        given = {name: getattr(self, name) for name in same}
        if self.phi not in (None, "linear") and self.phi_min is not None:
            raise ValueError(f"phi_min={self.phi_min} has a meaning for phi='linear' only")
        given |= {"alpha": self.beta, "beta": self.entropy_coef}
        own = with_objective(Settings(**given), bundled=False)
        for name in ("kl_form", "phi", "plausible", "fork_entropy"):
            setattr(self, name, getattr(own, name))
        self.phi_min = own.phi_min if self.phi == "linear" else None
        self.beta, self.entropy_coef = own.alpha, own.beta
        super().__post_init__()
        check(self)


def check(config: RAPOConfig) -> None:
    """Raise ValueError for the first option that has no meaning for the objective."""
    for name, (allowed, why) in FIXED.items():
        if (value := getattr(config, name)) not in allowed:
            need = " or ".join(f"{name}={v!r}" for v in allowed)
            raise ValueError(f"{name}={value!r} has no meaning for RAPO: {why}. Give {need}")
    if config.epsilon_high not in (None, config.epsilon):
        raise ValueError(
            f"epsilon_high={config.epsilon_high} has no meaning for RAPO: rho is clipped to "
            f"1 -/+ epsilon. Give epsilon alone, now {config.epsilon}"
        )
    if extra := sorted(set(config.generation_kwargs or {}) - HARMLESS):
        raise ValueError(
            f"generation_kwargs {', '.join(extra)} may change the distribution that is sampled from, "
            f"which log pi_old would not know. Allowed: {', '.join(sorted(HARMLESS))}"
        )
    if config.arm == "pass-at-k" and config.num_generations <= PASS_AT_K_TRAINED:
        raise ValueError(
            f"num_generations={config.num_generations} must be above {PASS_AT_K_TRAINED} for "
            "arm='pass-at-k'"
        )
    check_phi(config)
    if config.beta and config.kl_form == "none":
        raise ValueError(f"beta={config.beta} has no meaning for arm={config.arm!r}: it has no KL")
    if min(config.beta, config.entropy_coef) < 0 or config.chunk_tokens < 1:
        raise ValueError(
            f"beta={config.beta} and entropy_coef={config.entropy_coef} must be at least 0, "
            f"chunk_tokens={config.chunk_tokens} at least 1"
        )


def check_phi(config: RAPOConfig) -> None:
    """Raise ValueError for a phi, or a place for it, that does not exist or that the arm has not."""
    if config.phi not in ("linear", "inverse", "tanh"):
        raise ValueError(f"phi={config.phi!r} must be 'linear', 'inverse' or 'tanh'")
    if config.phi_from not in ("completion", "group"):
        raise ValueError(f"phi_from={config.phi_from!r} must be 'completion' or 'group'")
    for name, most in (("plausible", 1.0), ("fork_entropy", float("inf"))):
        value = getattr(config, name)
        if not 0 <= value < most or (value and not ARMS[config.arm].reweighted):
            raise ValueError(
                f"{name}={value} must be at least 0 and below {most:g}, and has a meaning for arm='rapo' "
                "only"
            )
    if config.tau_max < 2:
        raise ValueError(f"tau_max={config.tau_max} must be at least 2, or phi would exceed 1")
    if config.phi != "linear":
        if not ARMS[config.arm].reweighted:
            raise ValueError(f"phi={config.phi!r} has a meaning for arm='rapo' only")
    elif not 0 <= config.phi_min <= 1 or (config.phi_min != 1 and not ARMS[config.arm].reweighted):
        raise ValueError(
            f"phi_min={config.phi_min} must lie between 0 and 1, and has a meaning for arm='rapo' only"
        )


# ---------------------------------------------------------------- the command line


@dataclass(frozen=True)
class Vllm:
    """vLLM"""

    vllm: Literal["off", "colocate", "server"] = "off"
    """Sample with vLLM: on the training GPUs (colocate) or on a server; needs --quant none."""


@dataclass(frozen=True)
class Options(Vllm, Settings):
    """Train with RAPO through TRL, on one device or, under `accelerate launch`, on several.

    The flags are those of rapo_mini.py, but for those that TRL's loop has no place for; --prompts,
    --group-size and --steps count over all processes.
    """


# Flags of rapo_mini.py that do nothing in TRL's loop, and what to use instead.
ELSEWHERE = {
    "sample_rows": "TRL samples a process's completions at once: --prompts, --group-size",
    "fixed_decode": "--vllm colocate",
    "eval_data": "python pass_at_k.py --adapter",
    "eval_problems": "python pass_at_k.py --adapter",
    "eval_samples": "python pass_at_k.py --adapter",
    "sample_base": "python pass_at_k.py --adapter",
    "right_at": "python pass_at_k.py --right-at",
    "table": "python pass_at_k.py --table",
    "refresh_reference": "python rapo_mini.py --refresh-reference",
    "alpha_right": "python rapo_mini.py --alpha-right",
    "show_every": "RAPOConfig(log_completions=True)",
    "trace": "python rapo_mini.py --trace",
    "trace_at": "python rapo_mini.py --trace",
    "dry_run": "python rapo_mini.py --dry-run",
    "gpu_memory": "python rapo_mini.py --dry-run --gpu-memory",
}


def check_options(given: Options, settings: Options) -> None:
    """Raise ValueError for flags that training through TRL cannot honour.

    given: as on the command line; settings: with every choice made.
    """
    for name, instead in ELSEWHERE.items():
        if getattr(given, name) != getattr(Settings, name):
            raise ValueError(f"{flag(name)} has no meaning in python -m scale. Instead: {instead}")
    if settings.vllm != "off" and settings.quant == "nf4":
        raise ValueError(
            f"--vllm {settings.vllm} needs --quant none: TRL hands vLLM the weights with the adapter "
            "merged into them, and 4-bit weights cannot be handed over"
        )
    if (Path(settings.out) / "config.json").exists():
        raise ValueError(
            f"{settings.out} already holds a run: --resume {settings.out}, or another --out"
        )


def config_of(settings: Options, processes: int) -> RAPOConfig:
    """The RAPOConfig of a run's settings: the same step, shared out among the processes.

    A micro-batch is the largest part of a process's share that --micro-batch allows. Raises ValueError if
    the completions of a step cannot be shared out evenly.
    """
    rows = settings.prompts * settings.group_size  # B
    share, left_over = divmod(rows, processes)
    if left_over:
        raise ValueError(
            f"--prompts {settings.prompts} x --group-size {settings.group_size} = {rows} completions "
            f"cannot be shared out among {processes} processes: choose them so that {processes} divides "
            "their product"
        )
    micro_batch = max(n for n in range(1, min(settings.micro_batch, share) + 1) if share % n == 0)
    gpu = torch.cuda.is_available()
    optimizers = {"adamw8bit": "adamw_bnb_8bit", "paged_adamw8bit": "paged_adamw_8bit"}
    return RAPOConfig(
        output_dir=settings.out,
        arm=settings.arm,
        kl_form=settings.kl_form,
        beta=settings.alpha,
        entropy_coef=settings.beta,
        phi=settings.phi,
        phi_min=settings.phi_min if settings.phi == "linear" else None,
        tau_max=settings.tau_max,
        phi_from=settings.phi_from,
        plausible=settings.plausible,
        fork_entropy=settings.fork_entropy,
        epsilon=settings.clip_eps,
        chunk_tokens=settings.chunk_tokens,
        max_steps=settings.steps * settings.updates,
        num_iterations=settings.updates,
        num_generations=settings.group_size,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=share // micro_batch,
        max_completion_length=settings.max_new_tokens,
        temperature=settings.temperature,
        learning_rate=settings.lr,
        max_grad_norm=MAX_GRAD_NORM,
        optim=optimizers.get(settings.optimizer, "adamw_torch"),
        gradient_checkpointing=settings.checkpoint_layers,
        use_cpu=not gpu,
        bf16=gpu and compute_dtype("cuda") == torch.bfloat16,
        fp16=gpu and compute_dtype("cuda") == torch.float16,
        use_vllm=settings.vllm != "off",
        vllm_mode="colocate" if settings.vllm == "off" else settings.vllm,
        seed=settings.seed,
        save_steps=SAVE_EVERY,
        save_total_limit=1,
        logging_steps=1,
        report_to=settings.report_to,
    )
