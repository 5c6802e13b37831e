"""What a step costs in time on a card: arithmetic and stated assumptions, nothing of it measured.

Sampling reads the weights and the cache once a token, so the card's bandwidth decides; learning is
products of matrices, so its arithmetic decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from machine.plan import GIB, KNOBS, cache_bytes, largest_that_fits, weight_bytes
from machine.shapes import Shape
from settings import Settings


@dataclass(frozen=True)
class Card:
    """A consumer GPU, by its data sheet."""

    name: str
    gib: int
    flops: float  # a second, 16-bit with 32-bit sums, without sparsity
    bandwidth: float  # bytes a second


CARDS = (
    Card("GeForce RTX 3060", 12, 25.6e12, 360e9),
    Card("GeForce RTX 4090", 24, 165e12, 1008e9),
)
USED_FLOPS = 0.5  # share of the peak that learning reaches [assumed]
USED_BANDWIDTH = 0.5  # share of the bandwidth that decoding reaches [assumed]
PASSES = 3  # reference, policy, gradients of the activations; checkpointed layers run once more


def step_seconds(shape: Shape, settings: Settings, card: Card) -> tuple[float, float]:
    """Seconds of sampling and of learning, if every prompt and completion has its full length."""
    rows = settings.prompts * settings.group_size  # B
    new, prompt = settings.max_new_tokens, settings.max_prompt_tokens or 512
    at_once = min(settings.sample_rows or rows, rows)
    weights = weight_bytes(shape, settings.quant)
    read = weights + cache_bytes(shape, at_once, prompt + new // 2)  # bytes a token of all at once
    sampling = ceil(rows / at_once) * new * read / (card.bandwidth * USED_BANDWIDTH)
    passes = PASSES + bool(settings.checkpoint_layers)
    at_a_time = min(settings.micro_batch, settings.group_size)
    reads = settings.prompts * ceil(settings.group_size / at_a_time)  # `machine/shared_prompts.py`
    tokens = rows * new + reads * prompt
    products = 2 * (weight_bytes(shape, "none") / 2) * tokens * passes  # operations
    return sampling, products / (card.flops * USED_FLOPS)


def table(shape: Shape, settings: Settings) -> str:
    """A step and the whole run on each card, with the largest pieces that fit there; as text."""
    rows = settings.prompts * settings.group_size
    lines = [
        f"what a step of {rows} completions of {settings.max_new_tokens} tokens costs [assumed: "
        f"half of a card's data sheet, all at full length], and {settings.steps} steps:"
    ]
    for card in CARDS:
        fits = largest_that_fits(shape, settings, card.gib * GIB)
        if fits is None:
            lines.append(f"  {card.gib:>3} GB  {card.name}: nothing fits at these lengths")
            continue
        sampling, learning = step_seconds(shape, replace(settings, **knobs_of(fits)), card)
        step = sampling + learning
        lines.append(
            f"  {card.gib:>3} GB  {card.name}: {span(step)} a step (sampling {span(sampling)}, learning "
            f"{span(learning)}), the run {span(step * settings.steps)}"
        )
    return "\n".join(lines)


def span(seconds: float) -> str:
    """In the largest unit that it fills.

    >>> span(4.2), span(100), span(7300), span(200000)
    ('4 s', '1.7 minutes', '2.0 hours', '2.3 days')
    """
    for name, unit in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.0f} s"


def knobs_of(settings: Settings) -> dict[str, int]:
    return {name: getattr(settings, name) for name in KNOBS}
