"""What 8 and 64 GPUs would give, on paper: seconds and bytes of one step, from stated assumptions.

    python -m scale.estimate

None of this was measured. The shape is Qwen2.5-3B's, its LoRA as in
`machine/plan.py`; a step is 64 prompts x 16 completions of 1,024 tokens after prompts of 512, shared out
among the GPUs. The table shows which part of a step takes longest, and how that changes with more GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass

from machine.plan import cache_bytes, lora_parameters, weight_bytes
from machine.shapes import PUBLISHED, Shape
from settings import GPU_BASE


@dataclass(frozen=True)
class Machine:
    """What is assumed of a GPU, its node and the software. An H100 SXM in nodes of eight."""

    flops: float = 989e12  # a second, bfloat16 without sparsity [data sheet]
    memory: float = 3.35e12  # bytes a second [data sheet]
    in_node: float = 450e9  # bytes a second and direction of one GPU, NVLink [data sheet]
    between_nodes: float = 50e9  # the same over one 400 Gb/s adapter a GPU [data sheet]
    node: int = 8
    used_flops: float = 0.4  # share of the peak that training reaches [assumed]
    used_memory: float = 0.5  # share of the bandwidth that decoding reaches [assumed]
    used_link: float = 0.7  # share of a link that a collective reaches [assumed]
    generate: float = 0.030  # seconds a token of transformers' generate [assumed: launches decide]

    def link(self, gpus: int) -> float:
        """Bytes a second that a ring over all GPUs gets through its narrowest link."""
        return self.used_link * (self.in_node if gpus <= self.node else self.between_nodes)


@dataclass(frozen=True)
class Step:
    """One step of RAPO, all GPUs together."""

    rows: int = 64 * 16
    prompt: int = 512  # tokens
    new: int = 1024  # tokens
    lora_r: int = 16
    micro_batch: int = 4  # rows


def ring(payload: float, gpus: int) -> float:
    """Bytes that each GPU sends when `payload` bytes are all-gathered or reduce-scattered in a ring.

    >>> ring(800.0, 8)
    700.0
    """
    return payload * (gpus - 1) / gpus


def parameters(shape: Shape) -> float:
    """Weights that a token passes through: the layers', and the head's, which is the embedding."""
    return weight_bytes(shape, "none") / 2


def estimate(shape: Shape, step: Step, machine: Machine, gpus: int) -> dict[str, float]:
    """Seconds and bytes of a step for each GPU, by part."""
    rows, weights = step.rows / gpus, weight_bytes(shape, "none")
    read = weights + cache_bytes(shape, 1, step.prompt + step.new // 2) * rows  # bytes a new token
    decode = step.new * read / (machine.memory * machine.used_memory)
    tokens = rows * (step.prompt + step.new)
    passes = 4  # reference, policy, policy again (checkpoints), gradients of the activations
    learn = tokens * 2 * parameters(shape) * passes / (machine.flops * machine.used_flops)
    adapter = 4.0 * lora_parameters(shape, step.lora_r)  # bytes, float32
    ddp = 2 * ring(adapter, gpus)  # an all-reduce: reduce-scatter, then all-gather
    micro_batches = rows / step.micro_batch
    fsdp = ring(weights, gpus) * 3 * micro_batches + ddp  # gathered in three of the four passes
    return {
        "completions a GPU": rows,
        "sampling, s, vLLM": decode,
        "sampling, s, transformers": step.new * machine.generate,
        "learning, s": learn,
        "DDP: GB sent": ddp / 1e9,
        "DDP: s": ddp / machine.link(gpus),
        "FSDP2: GB received": fsdp / 1e9,
        "FSDP2: s, beside learning": fsdp / machine.link(gpus),
        "weights to a vLLM server: GB": weights / 1e9,
        "weights to a vLLM server: s": weights / (machine.used_link * machine.between_nodes),
        "step, s: DDP, vLLM": decode + learn + ddp / machine.link(gpus),
        "step, s: DDP, transformers": step.new * machine.generate
        + learn
        + ddp / machine.link(gpus),
    }


def table(counts: tuple[int, ...] = (1, 8, 64)) -> str:
    """The estimate for each number of GPUs, as a Markdown table."""
    columns = [estimate(PUBLISHED[GPU_BASE], Step(), Machine(), gpus) for gpus in counts]
    lines = [
        "| each GPU, each step | " + " | ".join(f"{n} GPU{'s'[: n > 1]}" for n in counts) + " |"
    ]
    lines.append("|---|" + "---|" * len(counts))
    for name in columns[0]:
        values = " | ".join(
            f"{c[name]:,.0f}" if c[name] >= 100 else f"{c[name]:.2g}" for c in columns
        )
        lines.append(f"| {name} | {values} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
