"""When the GPU's memory runs out in the middle of a step: the same step, in pieces half as large.

The prediction of `plan.py` may be wrong, or another program may take its share. Nothing that a
step computes depends on how it is cut: each row's tokens are decided by its own noise, and each token's
share of the loss is weighted by the whole step. So a step that ran out of memory is done again from
zeroed gradients in smaller pieces, and the run goes on with them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from tqdm import tqdm

from machine.devices import empty_cache
from settings import Settings, flag

LARGE = 2**29  # bytes in blocks that nobody uses, from which on they are worth a word


class Pieces(NamedTuple):
    """Into what pieces a step is cut, as memory allows."""

    sample_rows: int  # completions sampled at a time
    micro_batch: int  # completions learned from at a time
    chunk_tokens: int  # tokens whose logits exist at once


def pieces_of(settings: Settings) -> Pieces:
    """The pieces that the settings ask for, at most the whole batch; --sample-rows 0 is that too."""
    batch = settings.prompts * settings.group_size  # B
    rows = min(settings.sample_rows or batch, batch)
    return Pieces(rows, min(settings.micro_batch, batch), settings.chunk_tokens)


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
            unused = unused_blocks()
        # The rest waits until here: while it is caught, the error holds the tensors of its frames.
        size, sentence = less(size)
        gc.collect()
        empty_cache()
        tqdm.write(f"out of memory: {sentence}{if_fragmented(unused)}")


def unused_blocks() -> int:
    """Bytes that PyTorch's allocator holds and no tensor uses; 0 without a GPU."""
    if not torch.cuda.is_available():
        return 0
    return torch.cuda.memory_reserved() - torch.cuda.memory_allocated()


def if_fragmented(unused: int) -> str:
    """What may help where much memory was there, in blocks that did not fit.

    It is not switched on for everybody: with captured graphs it has been measured by nobody here.

    >>> if_fragmented(2**28)
    ''
    """
    if unused < LARGE:
        return ""
    return (
        f" ({unused / 2**30:.1f} GiB lay there in blocks that did not fit: on Linux the environment "
        "variable PYTORCH_ALLOC_CONF=expandable_segments:True joins them)"
    )


def learn_less(pieces: Pieces) -> tuple[Pieces, str]:
    """Half the micro-batch, or half the chunk when the micro-batch is one completion."""
    for name, value in (("micro_batch", pieces.micro_batch), ("chunk_tokens", pieces.chunk_tokens)):
        if value > 1:
            sentence = f"the step is learned again, {flag(name)} {value // 2}"
            return pieces._replace(**{name: value // 2}), sentence
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
