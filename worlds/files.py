"""One's own problems: a JSONL file with a problem and its answer on each line."""

from __future__ import annotations

import json
from pathlib import Path

from verifier import check_gold
from worlds import Row


def read_jsonl(path: Path, flag: str) -> list[Row]:
    """The rows of a file of one JSON object a line, with "problem" and "answer" (and "kind").

    Raises ValueError naming the file, the line and the flag.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # JSON may hold other line separators
    except OSError as error:
        raise ValueError(f"{path} could not be read: {error.strerror} ({flag})") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found.append((str(row["problem"]), str(row["answer"]), str(row.get("kind", ""))))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} line {number}: needs a JSON object with the keys problem and answer, "
                f"got {line[:60]!r} ({flag})"
            ) from error
        try:
            check_gold(found[-1][1])
        except ValueError as error:
            raise ValueError(f"{path} line {number}: {error} ({flag})") from error
    if not found:
        raise ValueError(f"{path} holds no problem ({flag})")
    return found
