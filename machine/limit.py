"""When the GPU's memory runs out in the middle of a step: the same numbers, in pieces half as large.

The prediction of `machine/plan.py` may be wrong, or another program may take its share. Nothing that a
step computes depends on how it is cut: each row's tokens are decided by its own noise, and each token's
share of the loss is weighted by the whole step. So a step that ran out of memory is done again from
zeroed gradients in smaller pieces, and the run goes on with them. All of this is ours.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from sampler import Completions, sample
from settings import Settings

Size = TypeVar("Size")
Result = TypeVar("Result")


def within_memory(
    attempt: Callable[[Size], Result], size: Size, less: Callable[[Size], tuple[Size, str]]
) -> tuple[Result, Size]:
    """attempt(size), or with less(size) each time memory runs out: the result, and the size that fit.

    less: the next smaller size and the sentence for the screen; raises ValueError if there is none.

    >>> def attempt(size):
    ...     if size > 5:
    ...         raise torch.OutOfMemoryError("no room")
    ...     return size * 10
    >>> within_memory(attempt, 16, lambda size: (size // 2, f"{size // 2}"))
    out of memory: 8
    out of memory: 4
    (40, 4)
    """
    while True:
        try:
            return attempt(size), size
        except torch.OutOfMemoryError:
            pass  # left before anything else is tried: the error holds the tensors of its frames
        size, sentence = less(size)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        tqdm.write(f"out of memory: {sentence}")


def learn_less(settings: Settings) -> tuple[Settings, str]:
    """Half the micro-batch, or half the chunk when the micro-batch is one completion."""
    if settings.micro_batch > 1:
        half = settings.micro_batch // 2
        return replace(
            settings, micro_batch=half
        ), f"the step is learned again, --micro-batch {half}"
    if settings.chunk_tokens > 1:
        half = settings.chunk_tokens // 2
        return replace(
            settings, chunk_tokens=half
        ), f"the step is learned again, --chunk-tokens {half}"
    raise OutOfPieces(
        "learning from one completion a token at a time needs more memory than there is: lower "
        "--max-new-tokens or --max-prompt-tokens, or add --checkpoint-layers True"
    )


def sample_less(rows: int) -> tuple[int, str]:
    """Half the rows."""
    if rows > 1:
        return rows // 2, f"the step is sampled again, --sample-rows {rows // 2}"
    raise OutOfPieces(
        "sampling one completion needs more memory than there is: lower --max-new-tokens or "
        "--max-prompt-tokens"
    )


class OutOfPieces(ValueError):
    """Memory ran out, and nothing can be halved any more."""


def sample_within_memory(
    model: Callable,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    *,
    generator: torch.Generator,
    rows_at_once: int,
    **options,
) -> tuple[Completions, int]:
    """`sampler.sample` in as many rows at a time as fit, and how many did."""
    state = generator.get_state()

    def attempt(rows: int) -> Completions:
        generator.set_state(state)  # the same noise in each attempt
        return sample(
            model, prompt_ids, prompt_mask, generator=generator, rows_at_once=rows, **options
        )

    return within_memory(attempt, rows_at_once, sample_less)
