"""A bar for what may take minutes inside a step: shown only once it has taken a while."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

SECONDS = 10  # from then on a screen that does not move looks dead

T = TypeVar("T")


def slow(work: Iterable[T], said: str, total: int | None = None) -> Iterable[T]:
    """The same things, with a bar under the run's own on a terminal; gone when they are done."""
    return tqdm(work, desc=said, total=total, leave=False, delay=SECONDS, disable=None)
