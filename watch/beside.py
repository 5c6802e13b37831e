"""Two traces of the same step side by side: one page, each token coloured once for each of two runs.

    python -m watch rapo --beside grpo      writes rapo/beside.html

Two runs sample the same completions as long as their policies are the same: in step 0, of two runs that
differ in nothing that decides what is sampled (--seed, --adapter, --data, ...). There the two pages show
what two arms make of the same attempts.
"""

from __future__ import annotations

from pathlib import Path

from watch.files import write_whole
from watch.tracer import compact, page, read_trace


def write_beside(folder: Path, other: Path) -> Path:
    """folder/beside.html, with every step that both traces hold. Raises ValueError if there is none."""
    pairs = same_steps(read_trace(folder), read_trace(other))
    if not pairs:
        raise ValueError(
            f"{folder} and {other} hold no step with the same completions (--beside): trace step 0 of "
            "two runs that start from the same policy with the same --seed"
        )
    path = folder / "beside.html"
    mine, theirs = ([compact(record) for record in side] for side in zip(*pairs, strict=True))
    write_whole(path, page(mine, beside=theirs))
    return path


def same_steps(mine: list[dict], theirs: list[dict]) -> list[tuple[dict, dict]]:
    """The records that show the same update of the same completions, in pairs."""
    found = {sampled(record): record for record in theirs}
    return [(record, found[sampled(record)]) for record in mine if sampled(record) in found]


def sampled(record: dict) -> tuple:
    """What must be equal for two records to be of one step: its number, its prompt, its tokens."""
    tokens = tuple(tuple(c["columns"]["token"]) for c in record["completions"])
    return record["step"], record["update"], record["prompt"]["text"], tokens
