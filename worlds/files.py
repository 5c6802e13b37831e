"""Problems of one's own: from the rows of a table (`tables.py`) to problems with gold answers.

A gold answer that no completion can match is a reward of 0 for ever, without a word. So everything that
cannot be a problem is refused here, with the numbers of its lines; of a data set of the hub, which nobody
here can mend, it is left out, and said.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import textwrap
from dataclasses import dataclass

from verifier import check_gold, extract_answer
from worlds import Row
from worlds.tables import Place, open_source

MOST_WORDS = 5  # of a gold answer in words, such as "all real numbers except zero"
HELD_OUT = 8  # one problem in so many is kept from training
SHOWN = 5  # lines that a sentence names
LOOKED_AT = 100  # rows whose columns are looked at
# The names that a column may have, the likeliest first; a dot leads into a cell that is an object.
PROBLEM = ("problem", "question", "prompt", "query", "instruction", "input")
ANSWER = ("answer", "gold", "final_answer", "expected_answer", "ground_truth", "target", "label")
ANSWER += ("reward_model.ground_truth", "solution", "output")
# \beta, \frac, \times, \theta, \tfrac, \text, \right, where JSON took \b, \f, \t and \r for characters.
EATEN = re.compile("[\b\f][A-Za-z]+|\t(?:imes|heta|frac|ext(?={))|\right")


@dataclass(frozen=True)
class Reading:
    """How a table is read: its columns (None: guessed), and whether the verifier needs its answers."""

    problem: str | None = None
    answer: str | None = None
    golds: bool = True  # False: own reward functions grade, an answer may be anything or missing


def read_own(
    data: str, flag: str, split: str = "train", reading: Reading | None = None
) -> list[Row]:
    """The rows of a file, a folder or a data set of the hub; split: "train", all else is its test.

    Raises ValueError naming the file, the lines and the flag.
    """
    reading, source = reading or Reading(), open_source(data, flag)
    table = source.train if split == "train" or source.test is None else source.test
    rows = list(table())
    problem, answer = columns_of(rows, reading, source.name, flag)
    found: list[Row] = []
    wrong: list[tuple[Place, str]] = []
    for place, row in rows:
        try:
            found.append(row_of(row, problem, answer, reading.golds, final=source.hub))
        except ValueError as error:
            wrong.append((place, str(error)))
    if wrong:
        (word, number), first = wrong[0]
        more = f"; {len(wrong)} {word}s in all: {some([n for (_, n), _ in wrong])}"
        sentence = f"{source.name} {word} {number}: {first}{more if len(wrong) > 1 else ''}"
        if not (source.hub and found):
            raise ValueError(f"{sentence}; {len(found)} others can be read ({flag})")
        say_once(f"data: {sentence}; left out, {len(found)} others can be read")
    if not found:
        raise ValueError(f"{source.name} holds no problem ({flag})")
    if (problem, answer) != ("problem", "answer"):
        where = f"the answer in {answer}" if answer else "there is no answer"
        say_once(
            f"data: {source.name}: the problem is in {problem}, {where} (--problem-column, "
            "--answer-column)"
        )
    return found


@functools.cache
def say_once(sentence: str) -> None:
    """Print a sentence, `folded`: one that both sides of a run would say is said once."""
    print(folded(sentence))


def folded(sentence: str) -> str:
    """A sentence in lines of a screen; a word that is longer, such as a path, stays whole."""
    options = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "  "}
    return textwrap.fill(sentence, 79, **options)


def has_test(data: str, flag: str) -> bool:
    """Does the source keep problems to measure on apart from those to train on?"""
    return open_source(data, flag).test is not None


# ---------------------------------------------------------------- columns


def columns_of(
    rows: list[tuple[Place, object]], reading: Reading, name: str, flag: str
) -> tuple[str, str | None]:
    """The columns of problem and answer: as asked, or guessed by their names. Raises ValueError."""
    objects = [row for _, row in rows[:LOOKED_AT] if isinstance(row, dict)]
    known = list(dict.fromkeys(str(column) for row in objects for column in row))
    if not objects:  # no row has any: each is refused with its line
        return reading.problem or PROBLEM[0], reading.answer or ANSWER[0]
    found = []
    for asked, names, what in (
        (reading.problem, PROBLEM, "problem"),
        (reading.answer, ANSWER, "answer"),
    ):
        if asked and not any(has(row, asked) for row in objects):
            raise ValueError(
                f"{name} has no column {asked}; it has {', '.join(known)} (--{what}-column)"
            )
        by_lower = {column.lower(): column for column in known}
        guessed = (by_lower.get(n) or (n if "." in n else None) for n in names)
        column = asked or next((n for n in guessed if n and any(has(r, n) for r in objects)), None)
        if column is None and (what == "problem" or reading.golds):
            raise ValueError(
                f"{name} has the columns {', '.join(known)}: say which one holds the {what}, with "
                f"--{what}-column ({flag})"
            )
        found.append(column)
    return tuple(found)


def has(row: dict, column: str) -> bool:
    """Is the column there? "a.b" is b in the object that a holds."""
    first, dot, rest = column.partition(".")
    if column in row or not dot:
        return column in row
    return isinstance(row.get(first), dict) and has(row[first], rest)


def cell(row: dict, column: str) -> object:
    """What stands in a column. Raises KeyError.

    >>> cell({"reward_model": {"ground_truth": "14"}}, "reward_model.ground_truth")
    '14'
    """
    first, dot, rest = column.partition(".")
    return row[column] if column in row or not dot else cell(row[first], rest)


# ---------------------------------------------------------------- one row


def row_of(
    row: object, problem: str = "problem", answer: str | None = "answer", golds=True, final=False
) -> Row:
    """A row's problem, gold answer, kind and other columns. Raises ValueError saying what is wrong.

    final: of an answer that is a whole solution take what stands in its box, or behind ####.
    """
    try:
        asked = text_of(cell(row, problem))
        gold = cell(row, answer) if answer else ""
    except (KeyError, TypeError, AttributeError) as error:
        shown = row if isinstance(row, str) else json.dumps(row, default=str)
        raise ValueError(
            f"needs a JSON object with the keys {problem} and {answer}, got {shown[:60]!r}"
            + (why_unread(row) if isinstance(row, str) else "")
        ) from error
    if not isinstance(asked, str) or not asked.strip():
        raise ValueError(f"the problem must be a text that is not empty, got {str(asked)[:60]!r}")
    number = isinstance(gold, (int, float)) and not isinstance(gold, bool)
    if golds and not (isinstance(gold, str) or (number and math.isfinite(gold))):
        raise ValueError(
            f"the answer must be a text or a finite number, got {json.dumps(gold, default=str)[:60]}"
        )
    kind = str(row.get("kind") or "")
    gold = "" if gold is None else str(gold)
    for name, text in (("problem", asked), ("answer", gold), ("kind", kind)):
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise ValueError(f"the {name} holds half of a surrogate pair, which is no character")
        if eaten := EATEN.search(text):
            raise ValueError(
                f"the {name} holds {json.dumps(eaten[0])}, where JSON took a LaTeX command's backslash "
                "and first letter for a control character: write the backslash twice"
            )
    if golds:
        gold = (extract_answer(gold) or gold) if final and is_solution(gold) else gold
        check_final(gold)
    others = {k: v for k, v in row.items() if k not in ("problem", "answer", "kind")}
    return asked, gold, kind, others


def why_unread(line: str) -> str:
    r"""What Python's reader says of a line that is no JSON object, to stand behind the line.

    >>> why_unread('{"answer": "\\sqrt{2}"}')
    ': Invalid \\escape (in JSON a backslash is written twice)'
    """
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        twice = " (in JSON a backslash is written twice)" if "escape" in error.msg else ""
        return f": {error.msg}{twice}"
    except RecursionError:
        return ": nested too deeply"
    return ""


def text_of(value: object) -> object:
    """A problem's text; of a conversation, a list of messages, what the user said last.

    >>> text_of([{"role": "system", "content": "Think."}, {"role": "user", "content": "1 + 1?"}])
    '1 + 1?'
    """
    if not (isinstance(value, list) and all(isinstance(m, dict) for m in value)):
        return value
    return next((m.get("content") for m in reversed(value) if m.get("role") == "user"), None)


def is_solution(answer: str) -> bool:
    return "\\boxed" in answer or "####" in answer


def check_final(answer: str) -> None:
    r"""Raise ValueError for a gold answer that is a whole solution, or that the verifier cannot read.

    >>> check_final("14"), check_final("all real numbers except zero")
    (None, None)
    >>> check_final("it is more than what one might expect")
    Traceback (most recent call last):
        ...
    ValueError: the answer is prose, not a final answer: 'it is more than what one might expect'
    """
    if is_solution(answer):
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
