"""The first ten minutes on a card: each thing that could break there, tried, with a verdict a line.

    python benchmarks/gpu.py --first-contact                            # on the card
    python benchmarks/gpu.py --first-contact --shape tiny --device cpu  # the same program without one

`ok` is as planned, `look` is not, `-` cannot be shown on this machine. The weights are random, so the
figures of the target are those of noise: they show that the measurement runs, not what a model gives.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace

import gpu
import torch

from machine import plan
from machine.devices import driver_version, empty_cache, sees_groups
from machine.fixed_decode import FixedDecoder
from machine.plan import GIB
from settings import Settings
from step import learn, make_optimizer
from watch.target import asked_of

STEPS, DECODED = 5, 64  # training steps; tokens that a decode step is timed over
ROWS = (32, 128)  # decoded at a time
PARITY = {"mean": 5e-2, "max": 1.0}  # nats, in 16 bits: to be replaced by what a card gives
MEMORY = 1.15  # times the plan
ERRORS = (RuntimeError, ImportError, ValueError)  # memory, a kernel, no bitsandbytes
KERNELS = {  # what PyTorch's operators are called, by what they are
    "flash": "flash_attention",
    "memory-efficient": "efficient_attention",
    "cuDNN": "cudnn_attention",
    "math": "attention_math",
}


def report(options) -> Iterator[str]:
    """The lines, as they are found; options: those of benchmarks/gpu.py."""
    on_gpu = options.device == "cuda"
    yield card(on_gpu)
    yield from tried("building the model", on_a_model(options, on_gpu))


def on_a_model(options, on_gpu: bool) -> Iterator[str]:
    short = replace(options, steps=STEPS, max_new_tokens=min(options.max_new_tokens, 256))
    settings, policy, ids = gpu.prepared(short)
    yield from tried("decoding", decoding(policy, ids, settings, options))
    yield from tried("CUDA graphs", capture(on_gpu))
    yield from tried("training", training(policy, ids, settings, options))


def tried(what: str, lines: Iterator[str]) -> Iterator[str]:
    """The lines; an error ends these and not the report."""
    try:
        yield from lines
    except ERRORS as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        yield f"look  {what} ended: {reason[0]}"
        empty_cache()


def card(on_gpu: bool) -> str:
    if not on_gpu:
        return f"-     no card: the CPU stands in, torch {torch.__version__}"
    major, minor = torch.cuda.get_device_capability()
    free, total = torch.cuda.mem_get_info()
    said = (
        f"{torch.cuda.get_device_name()}, sm{major}{minor}, driver {driver_version()}, torch "
        f"{torch.__version__}, CUDA {torch.version.cuda}; {free / GIB:.1f} of {total / GIB:.1f} GiB free"
    )
    old = "" if sees_groups() else "; before sm80: float16 and keys repeated for each head, slower"
    return f"{'look' if old else 'ok':<6}{said}{old}"


def decoding(policy, ids, settings: Settings, options) -> Iterator[str]:
    """Milliseconds of a decode step at each number of rows, without the prefill and the captures."""
    for rows in ROWS if options.device == "cuda" else (4, 8):
        given = {"group_size": -(-rows // settings.prompts), "sample_rows": rows}
        count = min(DECODED, settings.max_new_tokens)
        took = []
        for tokens in (count, count, 1):  # the first to warm up; one token is the prefill alone
            few = replace(settings, **given, max_new_tokens=tokens)
            captures = sum(FixedDecoder.seconds)
            took.append(
                gpu.seconds(lambda s=few: gpu.sampled(policy, ids, s, 1), options.device)[0]
            )
            took[-1] -= sum(FixedDecoder.seconds) - captures
        step = (took[1] - took[2]) / max(count - 1, 1)
        yield f"ok    a decode step of {rows} rows: {1000 * step:.1f} ms; the prefill {took[2]:.2f} s"


def capture(on_gpu: bool) -> Iterator[str]:
    """Was the decode step captured, and what did a capture take?"""
    if not on_gpu:
        yield "-     CUDA graphs: none without a card"
    elif FixedDecoder.broken:
        yield "look  CUDA graphs: the capture failed (its reason stands above), sampling is slower"
    else:
        took = FixedDecoder.seconds
        each = f", {statistics.mean(took):.2f} s each" if took else ""
        yield f"ok    CUDA graphs: {len(took)} captured{each}"


def training(policy, ids, settings: Settings, options) -> Iterator[str]:
    """Five steps: seconds, memory against the plan, the attention that ran, parity, the target."""
    on_gpu, optimizer = options.device == "cuda", make_optimizer(policy, settings)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    times, metrics = {"sampling": [], "learning": []}, []
    for step in range(STEPS):
        began = time.perf_counter()
        completions = gpu.sampled(policy, ids, settings, step)
        rolled = gpu.rollout_of(ids, completions, settings)
        if step == 0:
            asked = asked_of(policy, rolled, settings)
        gpu.wait(options.device)
        sampled = time.perf_counter()
        with kernels_seen() if step == STEPS - 1 else contextlib.nullcontext() as ran:
            learned = learn(policy, optimizer, rolled, settings)
        gpu.wait(options.device)
        times["sampling"].append(sampled - began)
        times["learning"].append(time.perf_counter() - sampled)
        metrics.append(learned.metrics)
    halves = ", ".join(f"{name} {statistics.median(t):.2f} s" for name, t in times.items())
    finite = not any(m["skipped"] for m in metrics)
    yield (
        f"{'ok' if finite else 'look':<6}a step of {settings.prompts} x {settings.group_size} "
        f"completions of {settings.max_new_tokens} tokens: {halves}"
    )
    yield memory(settings, options)
    worst = "math" in ran and on_gpu
    yield f"{'look' if worst else 'ok':<6}attention while learning: {', '.join(sorted(ran)) or 'unknown'}"
    mean, most = metrics[0]["parity_mean"], max(m["parity_max"] for m in metrics)
    fine = mean <= PARITY["mean"] and most <= PARITY["max"]
    yield (
        f"{'ok' if fine else 'look':<6}log-probs of sampler and trainer: {mean:.1e} nats apart in the "
        f"mean, {most:.1e} at most"
    )
    yield (
        f"ok    the target of noise: {asked.target_kl:.3f} nats a token, {asked.target_tail:.1%} outside "
        f"the reference's nucleus (its own {asked.ref_tail:.1%})"
    )


@contextlib.contextmanager
def kernels_seen() -> Iterator[set[str]]:
    """The forms of attention that run while this lasts: filled when it ends."""
    seen: set[str] = set()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        yield seen
    called = [event.key for event in profile.key_averages()]
    seen |= {name for name, part in KERNELS.items() if any(part in key for key in called)}


def memory(settings: Settings, options) -> str:
    """Allocated, reserved and what the driver says, against the plan."""
    planned = plan.plan(gpu.SHAPES[options.shape], settings)
    if options.device != "cuda":
        return f"-     memory: planned {planned.total / GIB:.2f} GiB, measured on cuda only"
    free, total = torch.cuda.mem_get_info()
    peak = torch.cuda.max_memory_allocated()
    fine = peak <= MEMORY * planned.tensors
    return (
        f"{'ok' if fine else 'look':<6}memory, GiB: tensors {peak / GIB:.2f} (planned "
        f"{planned.tensors / GIB:.2f}), reserved {torch.cuda.max_memory_reserved() / GIB:.2f}, the "
        f"driver says {(total - free) / GIB:.2f} (planned {planned.total / GIB:.2f})"
    )
