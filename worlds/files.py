"""One's own problems: a JSONL file with a problem and its answer on each line.

A gold answer that no completion can match is a reward of 0 for ever, without a word. So everything that
cannot be a problem is refused here, with the numbers of its lines.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path

from verifier import check_gold, extract_answer
from worlds import Row

LONGEST_LINE = 1_000_000  # bytes; a longer line is no problem, and reading it would take minutes
MOST_WORDS = 5  # of a gold answer in words, such as "all real numbers except zero"
HELD_OUT = 8  # one problem in so many is kept from training
SHOWN = 5  # lines that a sentence names


def read_jsonl(path: Path, flag: str) -> list[Row]:
    """The rows of a file of one JSON object a line, with "problem" and "answer" (and "kind").

    Raises ValueError naming the file, the lines and the flag.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} could not be read: {error.strerror} ({flag})") from error
    lines = lines_of(content, path, flag)
    found, wrong, numbers = [], [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(row_of(line))
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
            numbers.append(number)
    if wrong:
        more = f"; {len(wrong)} lines in all: {some(numbers)}" if len(wrong) > 1 else ""
        raise ValueError(f"{path} {wrong[0]}{more}; {len(found)} others can be read ({flag})")
    if not found:
        raise ValueError(f"{path} holds no problem ({flag})")
    return found


def lines_of(content: bytes, path: Path, flag: str) -> list[str]:
    """The lines of a UTF-8 file. Raises ValueError for anything else, saying what it seems to be."""
    is_what = {
        b"\x1f\x8b": "gzip",
        b"\xff\xfe": "UTF-16",
        b"\xfe\xff": "UTF-16",
        b"PK": "a zip archive",
    }
    for head, what in is_what.items():
        if content.startswith(head):
            raise ValueError(f"{path} is {what}: give a plain UTF-8 JSONL file ({flag})")
    rows = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")  # JSON may hold other line separators
    found = []
    for number, row in enumerate(rows, start=1):
        if len(row) > LONGEST_LINE:
            raise ValueError(
                f"{path} line {number}: has {len(row):,} bytes, of at most {LONGEST_LINE:,} ({flag})"
            )
        try:
            found.append(row.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} line {number}: is not UTF-8 (byte {row[error.start]:#04x} at {error.start}), "
                f"perhaps latin-1 or UTF-16: convert the file, as with iconv -t utf-8 ({flag})"
            ) from error
    return found


def row_of(line: str) -> Row:
    """One line's problem, gold answer and kind. Raises ValueError saying what is wrong with it."""
    try:
        row = json.loads(line)
        problem, answer = row["problem"], row["answer"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"needs a JSON object with the keys problem and answer, got {line[:60]!r}"
        ) from error
    if not isinstance(problem, str) or not problem.strip():
        raise ValueError(f"the problem must be a text that is not empty, got {str(problem)[:60]!r}")
    number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
    if not (isinstance(answer, str) or (number and math.isfinite(answer))):
        raise ValueError(
            f"the answer must be a text or a finite number, got {json.dumps(answer)[:60]}"
        )
    kind = row.get("kind") or ""
    for name, text in (("problem", problem), ("answer", str(answer)), ("kind", str(kind))):
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise ValueError(f"the {name} holds half of a surrogate pair, which is no character")
    check_final(str(answer))
    return problem, str(answer), str(kind)


def check_final(answer: str) -> None:
    r"""Raise ValueError for a gold answer that is a whole solution, or that the verifier cannot read.

    >>> check_final("14"), check_final("all real numbers except zero")
    (None, None)
    >>> check_final("it is more than what one might expect")
    Traceback (most recent call last):
        ...
    ValueError: the answer is prose, not a final answer: 'it is more than what one might expect'
    """
    if "\\boxed" in answer or "####" in answer:
        final = extract_answer(answer)
        raise ValueError(f"the answer is a whole solution: give its final answer alone, {final!r}")
    check_gold(answer)
    clauses = re.split(r"[,;.:]", answer)
    if any(len(re.findall(r"(?<!\\)\b[^\W\d]{2,}", clause)) > MOST_WORDS for clause in clauses):
        raise ValueError(f"the answer is prose, not a final answer: {answer[:60]!r}")


def some(numbers: list[int]) -> str:
    """The first line numbers, and that there are more.

    >>> some([3, 5]), some(list(range(1, 9)))
    ('3, 5', '1, 2, 3, 4, 5, ...')
    """
    return ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")


def is_held_out(problem: str) -> bool:
    """Which side a problem of one's own file is on: always the same, whatever else the file holds.

    >>> [is_held_out(f"What comes next: {n}, 5, 8?") for n in range(6)]
    [False, False, False, False, False, False]
    """
    return int(hashlib.sha256(problem.encode()).hexdigest(), 16) % HELD_OUT == 0
