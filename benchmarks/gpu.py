"""Speed and memory of a training step on this machine's GPU, with random weights and no network.

    python benchmarks/gpu.py                                # Qwen2.5-3B's shape in NF4
    python benchmarks/gpu.py --shape tiny --device cpu      # the same program, to see that it runs
    python benchmarks/gpu.py --first-contact                # ten minutes, a verdict a line

Speed and memory do not depend on what the weights are. Random weights draw no end token, so every
completion has full length: the longest case. Printed: tokens a second of sampling and of learning, how a
step's time is split, the peak of memory against `machine/plan.py`, whether memory grows over the steps,
sampling against transformers' `generate` on the same model, lengths and batch, and against the limit set
by bandwidth: the bytes that a decode step must read, at the speed at which this device copies.
"""

from __future__ import annotations

import datetime
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import tyro
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from machine import plan  # noqa: E402
from machine.devices import why_no_gpu  # noqa: E402
from machine.head import widen  # noqa: E402
from machine.limit import pieces_of  # noqa: E402
from machine.loading import compute_dtype, quiet_libraries, with_new_lora  # noqa: E402
from machine.plan import GIB  # noqa: E402
from machine.shapes import PUBLISHED, Shape, config_of  # noqa: E402
from policy import Policy, made_ready  # noqa: E402
from problems import Problem  # noqa: E402
from sampler import Completions, sample  # noqa: E402
from settings import GPU_BASE, Settings, resolve  # noqa: E402
from step import Rollout, learn, make_optimizer  # noqa: E402
from verifier import Verdict  # noqa: E402

SHAPES = {
    "3b": PUBLISHED[GPU_BASE],
    "tiny": Shape(600, 64, 160, 2, 4, 2, 16, tied=True, biases=True, context=512),
}


@dataclass(frozen=True)
class Options:
    """Time sampling and learning on random weights, and hold memory against its prediction."""

    shape: Literal["3b", "tiny"] = "3b"
    """Qwen2.5-3B's, or one that a CPU can do."""
    device: Literal["cuda", "cpu"] = "cuda"
    """Where; peak memory is measured on cuda only."""
    steps: int = 20
    """Training steps, after one that does not count."""
    prompts: int = 4
    """Prompts per step."""
    group_size: int = 8
    """Completions per prompt."""
    prompt_tokens: int = 256
    """Length of each prompt."""
    max_new_tokens: int = 1024
    """Length of each completion."""
    sample_rows: int = 32
    """Completions sampled at a time."""
    micro_batch: int = 4
    """Completions learned from at a time."""
    chunk_tokens: int = 64
    """Tokens whose logits exist at once."""
    first_contact: bool = False
    """Instead: under ten minutes, try what could break on a card, a verdict a line."""
    out: str | None = None
    """Write the numbers to this JSON file too."""


# ---------------------------------------------------------------- a model of random weights


def random_policy(shape: Shape, device: str, dtype: torch.dtype, settings: Settings) -> Policy:
    """A model of this shape with random weights in NF4, made layer by layer: never whole in 16 bits."""
    from transformers import Qwen2ForCausalLM

    config = config_of(shape, dtype=dtype)
    with torch.device("meta"):
        model = Qwen2ForCausalLM(config)
    head = model.get_output_embeddings()
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and module is not head:
            model.set_submodule(name, random_nf4(module, device, dtype))
            continue
        for key, meta in list(module.named_parameters(recurse=False)):
            fill = torch.ones if meta.dim() == 1 else torch.randn  # 1: a norm
            value = fill(meta.shape, device=device, dtype=dtype) * (1 if meta.dim() == 1 else 0.02)
            setattr(module, key, nn.Parameter(value, requires_grad=False))
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config).to(device)
    model.tie_weights()
    widen(model.get_output_embeddings())
    model.is_loaded_in_4bit = True  # peft asks this before it looks for 4-bit layers
    model.requires_grad_(False)
    adapter = with_acting_lora(model, settings)
    return Policy(made_ready(adapter).to(device), None, "nf4", settings.checkpoint_layers)


def with_acting_lora(model: nn.Module, settings: Settings) -> nn.Module:
    """The model with an adapter that does something, as after some steps: in a new one B is zero."""
    adapter = with_new_lora(model, settings.lora_r, settings.seed)
    for name, parameter in adapter.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.01)
    return adapter


def random_nf4(linear: nn.Linear, device: str, dtype: torch.dtype) -> nn.Module:
    """A 4-bit layer of the size of `linear`, with double quantisation."""
    import bitsandbytes as bnb

    options = {"quant_type": "nf4", "compress_statistics": True}
    layer = bnb.nn.Linear4bit(
        linear.in_features, linear.out_features, linear.bias is not None, dtype, **options
    )
    weight = 0.02 * torch.randn(linear.weight.shape, device=device, dtype=dtype)
    layer.weight = bnb.nn.Params4bit(weight, requires_grad=False, **options)
    if linear.bias is not None:
        layer.bias = nn.Parameter(torch.zeros(linear.bias.shape, device=device, dtype=dtype))
    return layer.to(device)


# ---------------------------------------------------------------- what is timed


def seconds(work, device: str) -> tuple[float, object]:
    """How long work() takes, until the device has done it; and what it returns."""
    wait(device)
    began = time.perf_counter()
    result = work()
    wait(device)
    return time.perf_counter() - began, result


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def sampled(policy: Policy, ids: Tensor, settings: Settings, step: int) -> Completions:
    return sample(
        policy.model,
        ids,
        torch.ones_like(ids),
        group_size=settings.group_size,
        max_new_tokens=settings.max_new_tokens,
        temperature=1.0,
        end_ids=[-1],  # no token: every completion is as long as it may be
        pad_id=0,
        generator=torch.Generator().manual_seed(step),
        rows_at_once=settings.sample_rows,
        fixed=settings.fixed_decode,
    )


def rollout_of(ids: Tensor, completions: Completions, settings: Settings) -> Rollout:
    """A rollout with every second completion rewarded."""
    rows = len(completions.tokens)
    reward = (torch.arange(rows) % 2).float().view(settings.prompts, -1)  # (P, G)
    problems = [Problem("", "0")] * settings.prompts
    verdict = Verdict(0.0, "wrong", None, None)
    clock = {"sample": 0.0, "verify": 0.0}
    texts, verdicts = [""] * rows, [verdict] * rows
    return Rollout(
        problems,
        ids,
        torch.ones_like(ids),
        completions,
        texts,
        verdicts,
        reward,
        pieces_of(settings),
        clock,
    )


def generated(policy: Policy, ids: Tensor, settings: Settings) -> Tensor:
    """The same batch by transformers' own loop; in its rows of --sample-rows, as ours."""
    each = max(1, settings.sample_rows // settings.group_size)  # prompts at a time
    with torch.no_grad():
        for some in ids.split(each):
            out = policy.model.generate(
                input_ids=some,
                attention_mask=torch.ones_like(some),
                do_sample=True,
                top_k=0,
                max_new_tokens=settings.max_new_tokens,
                num_return_sequences=settings.group_size,
                pad_token_id=0,
                eos_token_id=None,
            )
            assert out.shape[1] == ids.shape[1] + settings.max_new_tokens
    return out


def copy_bandwidth(device: str) -> float:
    """Bytes a second that a copy reads and writes, the best of some."""
    source = torch.zeros(GIB if device == "cuda" else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = [seconds(lambda: target.copy_(source), device)[0] for _ in range(10)]
    return 2 * source.nbytes / min(times)


def decode_bytes(shape: Shape, settings: Settings, prompt: int, rows: int) -> float:
    """What a decode step must read: all weights once, the adapter, and the cache at its mean length."""
    weights = plan.weight_bytes(shape, "nf4")
    if not shape.tied:
        weights -= plan.HALF * shape.vocabulary * shape.hidden  # looked up, not read
    lora = plan.FULL * plan.lora_parameters(shape, settings.lora_r)
    mean = prompt + settings.max_new_tokens // 2
    return weights + lora + plan.cache_bytes(shape, rows, mean)


# ---------------------------------------------------------------- what is measured


def prepared(options: Options) -> tuple[Settings, Policy, Tensor]:
    """The settings of the options, a model of random weights, and prompts (P, L) of random tokens."""
    shape, device = SHAPES[options.shape], options.device
    given = Settings(
        dry_run=True, gpu_memory=8.0, threads=0, max_prompt_tokens=options.prompt_tokens
    )
    names = (
        "prompts",
        "group_size",
        "max_new_tokens",
        "sample_rows",
        "micro_batch",
        "chunk_tokens",
    )
    given = replace(given, **{name: getattr(options, name) for name in names})
    settings, _ = resolve(given)
    dtype = compute_dtype("cuda") if device == "cuda" else torch.bfloat16
    size = (options.prompts, options.prompt_tokens)
    ids = torch.randint(1, shape.vocabulary, size, device=device)
    return settings, random_policy(shape, device, dtype, settings), ids


def measure(options: Options) -> dict:
    """Take the steps; every number that is printed."""
    shape, device = SHAPES[options.shape], options.device
    settings, policy, ids = prepared(options)
    optimizer = make_optimizer(policy, settings)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times, parity, held = {"sample": [], "learn": []}, [], []
    for step in range(options.steps + 1):
        sample_s, completions = seconds(lambda s=step: sampled(policy, ids, settings, s), device)
        rolled = rollout_of(ids, completions, settings)
        learn_s, learned = seconds(lambda r=rolled: learn(policy, optimizer, r, settings), device)
        metrics = learned.metrics
        assert not metrics["skipped"], metrics
        if step:  # the first warms up
            times["sample"].append(sample_s)
            times["learn"].append(learn_s)
            parity.append(metrics["parity_mean"])
            held.append(torch.cuda.memory_allocated() if device == "cuda" else 0)
    rows, planned = options.prompts * options.group_size, plan.plan(shape, settings)
    tokens, on_gpu = rows * options.max_new_tokens, device == "cuda"
    peak = torch.cuda.max_memory_allocated() if on_gpu else None  # before generate adds its own
    sample_s, learn_s = (statistics.median(times[verb]) for verb in ("sample", "learn"))
    seconds(lambda: generated(policy, ids, replace(settings, max_new_tokens=2)), device)
    generate_s, _ = seconds(lambda: generated(policy, ids, settings), device)
    bandwidth, at_once = copy_bandwidth(device), min(rows, options.sample_rows)
    limit_s = decode_bytes(shape, settings, options.prompt_tokens, at_once) / bandwidth
    step_s = sample_s / (options.max_new_tokens * -(-rows // at_once))
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "CPU",
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "dtype": str(policy.dtype).removeprefix("torch."),
        "options": asdict(options),
        "sampling_tokens_per_second": tokens / sample_s,
        "learning_tokens_per_second": tokens / learn_s,
        "step_seconds": {"sample": sample_s, "learn": learn_s},
        "times_generate": generate_s / sample_s,
        "share_of_bandwidth_limit": limit_s / step_s,
        "copy_bytes_per_second": bandwidth,
        "parity_mean": statistics.mean(parity),
        "planned_tensors": planned.tensors,
        "planned_total": planned.total,
        "measured_tensors": peak,
        "grown": held[-1] - held[0] if on_gpu else None,
    }


def as_text(found: dict) -> str:
    """The numbers of `measure`, for the screen."""
    sample_s, learn_s = found["step_seconds"].values()
    whole = sample_s + learn_s
    memory = "peak memory: measured on cuda only"
    if found["measured_tensors"] is not None:
        ratio, steps = (
            found["planned_tensors"] / found["measured_tensors"],
            found["options"]["steps"],
        )
        memory = (
            f"peak memory: {found['measured_tensors'] / GIB:.2f} GiB of tensors, planned "
            f"{found['planned_tensors'] / GIB:.2f} ({ratio:.2f} times); after {steps} "
            f"steps {found['grown'] / 2**20:+.1f} MiB"
        )
    return "\n".join(
        [
            f"{found['device']}, {found['date']}, torch {found['torch']}, {found['dtype']}",
            f"sampling {found['sampling_tokens_per_second']:.0f} tokens/s, learning "
            f"{found['learning_tokens_per_second']:.0f} tokens/s",
            f"a step: {whole:.2f} s, sampling {sample_s / whole:.0%}, learning {learn_s / whole:.0%}",
            f"sampling is {found['times_generate']:.2f} times transformers' generate, and "
            f"{found['share_of_bandwidth_limit']:.1%} of the bandwidth limit at "
            f"{found['copy_bytes_per_second'] / 1e9:.0f} GB/s",
            f"mean |log pi of the trainer - of the sampler|: {found['parity_mean']:.1e} nats",
            memory,
            f"planned with context and slack: {found['planned_total'] / GIB:.2f} GiB",
        ]
    )


def main(options: Options) -> int:
    """Print the report; the exit status (2: no such device here)."""
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            f"gpu: no CUDA GPU can be used ({why_no_gpu()}): --device cpu --shape tiny shows that "
            "it runs",
            file=sys.stderr,
        )
        return 2
    quiet_libraries()
    if options.first_contact:
        from first_contact import report

        for line in report(options):
            print(line, flush=True)
        return 0
    found = measure(options)
    print(as_text(found))
    if options.out:
        Path(options.out).write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=Options.__doc__)))
