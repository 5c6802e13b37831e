r"""The reward: completion -> final answer -> is it equivalent to the gold answer? -> Verdict.

The reward r of the objective: 1.0 if the answer is worth the same as the gold one, else 0.0. A false
negative teaches the model that it was wrong, a false positive teaches it to cheat, and a hang
stops the run, so the question climbs a ladder, cheapest and surest rung first:

    string     the two texts differ only in spacing and markup        here
    rational   exact arithmetic: fractions, polynomials, roots of     answers.algebra
               integers; no tolerance
    structure  sets, tuples, matrices, equations, units, ...: item    answers.structure (with
               by item; intervals and inequalities                    answers.forms, answers.sets)
    numeric    50 digits at fixed points: two expressions that        answers.scalars
               differ there are not equal
    sympy      the judge of what is left, in a process of its own     answers.judge
               that can be killed

Text is read by `answers.parser` (with answers.values, answers.tokens, answers.spelling, answers.words)
to the trees of `answers.tree`, and never evaluated. What counts as equal: docs/verifier.md.

>>> verify(r"common difference 3, 11+3=14. \boxed{14}", "14")
Verdict(reward=1.0, reason='correct', answer='14', method='string')
>>> verify(r"The answer is $\frac{6}{4}$.", "3/2").method
'rational'
>>> verify("It may be 14", "14").reason
'no_answer'
"""

import argparse
import contextlib
import json
import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from answers.forms import COLLECTIONS, imaginary
from answers.parser import read
from answers.scalars import Ladder
from answers.span import final_span
from answers.structure import as_word, same
from answers.tree import TooLarge, Unreadable

REASONS = ("correct", "wrong", "no_answer", "unparseable", "too_large", "timeout", "bad_gold")
MAX_TEXT = 20_000  # characters of an answer or a gold answer; past it nothing is looked at


class Verdict(NamedTuple):
    """The reward of a completion, and the reason for it."""

    reward: float  # 1.0 or 0.0
    reason: str  # one of REASONS
    answer: str | None  # as extracted
    method: str | None  # the rung that decided


# What the world calls.


def extract_answer(completion: str) -> str | None:
    r"""The final answer that a completion gives, or None; `answers.span` states the rule.

    >>> extract_answer(r"so \boxed{\frac{1}{2}}, no: \boxed{\{1, 2\}}")
    '\\{1, 2\\}'
    >>> extract_answer("5 + 3 = 8\n#### 8"), extract_answer("The answer is 8.")
    ('8', '8')
    >>> extract_answer("5 + 3 = 8")
    """
    return final_span(completion) if isinstance(completion, str) else None


# The ladder.

_SPACES = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z])|(?<![\\0-9])\\[,;:! ]|\$"
    r"|(?<!\\)\\[,;:! ](?![0-9])|(?<![0-9A-Za-z])\s+|\s+(?![0-9A-Za-z])"
)
# (C), C. or C: at the head of an answer; another choice after it; a number as Fraction reads it.
_LABEL = re.compile(
    r"(?:\\text\w*\s*\{\s*)?\(?([A-J])(?:\)|\.(?!\d)|:)\s*(?:\}|\\ |\\,|~|\s|(?=[\\$\d-])|$)"
)
_SMALL_LABEL = re.compile(r"\(?[a-j][).:]\s*(?=[-+]?[\d$])")  # c. 3
_CHOICE = re.compile(
    r"(?<![\w\\^_+*/=-])(?!A\s+(?!or\b|and\b)[a-z]{2})[A-H](?![\w^_+*/=-]|\s*[+*/=^-])"
)
_MORE = re.compile(r"(?:or|and)\b|[,/&]|\(?[A-H](?:[).:]|\s*$)")  # of the gold "(B) or (C)"
_GROUPED = re.compile(r"\$?\d{3}(?:,\d{3})+\$?")  # 100,200: a number, or a list of such
_SQUARED_UNIT = re.compile(r"\d\s*m\s*(?:\^\s*\{?[23]\}?|[²³])\$?$")  # 5 m^2 where the gold is 5
_PLAIN = re.compile(r"[-+]?\d{1,15}(?:\.\d{1,15}|/0*[1-9]\d{0,14})?")


@lru_cache(maxsize=4096)
def _squash(text):
    """The text without spacing and markup that change nothing."""
    text = _SPACES.sub("", text.strip()).replace("dfrac", "frac").replace("tfrac", "frac")
    return text[:-1] if text.endswith(".") and not text.endswith("..") else text


@lru_cache(maxsize=4096)
def _labelled(text):
    """(letter, content) of "(D) 56": content "" for a mere letter, both "" without a label."""
    label = _LABEL.match(text.strip())
    if not label:
        return "", ""
    content = text.strip()[label.end() :].strip()
    return label[1], "" if re.fullmatch("[A-Z]?", content) else content


def _without_label(text):
    """The content of an answer that begins with a label and names no other choice; else ""."""
    content = _labelled(text)[1]
    if not content and (small := _SMALL_LABEL.match(text.strip())):
        content = text.strip()[small.end() :]
    return "" if content and _CHOICE.search(content) else content


def _climb(gold, answer, ladder):
    """(is the answer right?, reason); the rungs used are recorded in `ladder`."""
    one, two = _squash(gold), _squash(answer)
    if one == two and one:
        return ladder.by("string", True, f"both read {one[:60]}"), "correct"
    if _PLAIN.fullmatch(one) and _PLAIN.fullmatch(two):
        right = ladder.by("rational", Fraction(one) == Fraction(two), "two plain numbers")
        return right, "correct" if right else "wrong"
    letter, content = _labelled(gold)
    if content and not _MORE.match(content):  # of the gold "(D) 56" either part will do
        if _labelled(answer)[0] not in ("", letter):
            return ladder.by("string", False, "another choice"), "wrong"
        found = _climb(f"({letter})", answer, ladder)
        return found if found[0] else _climb(content, answer, ladder)
    try:
        tree = read(gold)
    except (Unreadable, TooLarge):
        return False, "bad_gold"
    letter, _ = _labelled(answer)
    if letter and as_word(tree) == letter.lower():
        right = not _CHOICE.search(_LABEL.sub("", answer.strip(), count=1))
        return ladder.by("string", right, f"choice {letter}"), "correct" if right else "wrong"
    if content := _without_label(answer):  # of the answer "(A) 7" for the gold 7
        answer = content
    try:
        right = any(same(ladder, g, a) for g, a in _readings(tree, gold, answer))
    except Unreadable:
        return False, "unparseable"
    except (TooLarge, RecursionError, OverflowError, MemoryError):
        return False, "too_large"
    except ArithmeticError:
        return ladder.by("rational", False, "a value that does not exist"), "wrong"
    return right, "correct" if right else "timeout" if ladder.late else "wrong"


def _readings(gold, gold_text, answer_text):
    """The pairs of trees to compare: as each text reads, then as the other text suggests."""
    answer = read(answer_text)
    yield gold, answer
    if (found := imaginary(gold, answer)) is not None:
        yield found
    habits = []  # other readings that `read` knows, each with its sign in the texts
    squared = gold[0] == "num" and _SQUARED_UNIT.search(answer_text)
    if (gold[0] == "unit") != (answer[0] == "unit") or squared:
        habits.append("letters")
    lists = gold[0] in COLLECTIONS, answer[0] in COLLECTIONS
    if (
        "," in gold_text
        and "," in answer_text
        and (lists == (True, False) or (lists == (False, True) and _GROUPED.fullmatch(gold_text)))
    ):
        habits.append("commas")
    if "e" in gold_text and "e" in answer_text and (gold[0] == "num" or answer[0] == "num"):
        habits.append("formula")
    for habit in habits:
        with contextlib.suppress(Unreadable):
            yield read(gold_text, habit), read(answer_text, habit)


def _grade(gold, answer, ladder):
    """What `_climb` says; never raises."""
    try:
        if max(len(answer), len(gold)) > MAX_TEXT:
            return False, "too_large"
        return _climb(gold, answer, ladder)
    except Exception:  # a reward must never stop a run; the fuzz test calls `_climb` itself
        return False, "unparseable"


# What the world calls.


def equivalent(answer: str, gold: str) -> bool:
    r"""Is the answer worth the same as the gold answer? Never raises.

    >>> equivalent("7+4x", "4x + 7"), equivalent("6/4", "3/2"), equivalent("0.33", "1/3")
    (True, True, False)
    >>> equivalent("2, 1", r"\{1, 2\}"), equivalent("(2, 1)", "(1, 2)")
    (True, False)
    """
    return isinstance(answer, str) and _grade(str(gold), answer, Ladder())[0]


def verify(completion: str, gold: str) -> Verdict:
    """Extract a completion's answer and grade it. Never raises."""
    answer = extract_answer(completion)
    if answer is None:
        return Verdict(0.0, "no_answer", None, None)
    ladder = Ladder()
    right, reason = _grade(str(gold), answer, ladder)
    method = ladder.method if ladder.notes else None
    return Verdict(float(right), reason, answer, method)


def check_gold(gold: str) -> None:
    """Raise ValueError, naming the gold answer, if it cannot be read.

    Call it on each gold of a data set: one that cannot be read rewards no answer, ever.
    """
    try:
        read(_labelled(str(gold))[1] or str(gold))
    except (Unreadable, TooLarge) as error:
        raise ValueError(f"gold answer {str(gold)[:200]!r} cannot be read: {error}") from None


# The command line.


def explain(answer: str, gold: str) -> list[str]:
    """The verdict of one answer, rung by rung, as lines of text."""
    ladder = Ladder()
    right, reason = _grade(gold, answer, ladder)
    lines = [f"answer  {answer}", f"gold    {gold}"]
    for name, text in (("answer", answer), ("gold", _labelled(gold)[1] or gold)):
        try:
            lines.append(f"{name} is read as {read(text)}")
        except (Unreadable, TooLarge) as error:
            lines.append(f"{name} cannot be read: {error}")
    lines += [
        f"  {rung:<10} {'same' if said else 'different':<10} {note}"
        for rung, said, note in ladder.notes
    ]
    rung = ladder.method if ladder.notes else "none"
    return [*lines, f"{'correct' if right else 'not correct'}: {reason}, rung that decided: {rung}"]


def grade_file(path: str) -> dict[str, int]:
    """Grade a JSONL file of {"completion": ..., "gold": ...}; returns {reason: count}.

    Raises SystemExit, naming the line, for one that is not of this form.
    """
    counts = dict.fromkeys(REASONS, 0)
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                pair = row["completion"], row["gold"]
            except (ValueError, KeyError, TypeError):
                raise SystemExit(
                    f'{path}, line {number}: need {{"completion": "...", "gold": "..."}}, '
                    f"got {line[:80]!r}"
                ) from None
            counts[verify(*pair).reason] += 1
    return counts


def main() -> None:
    """The command: explain one verdict, or grade a file."""
    parser = argparse.ArgumentParser(description="Grade answers against gold answers.")
    parser.add_argument("file", nargs="?", help="JSONL with the keys completion and gold")
    parser.add_argument("--gold", help="explain one verdict: the gold answer")
    parser.add_argument("--answer", help="explain one verdict: the answer")
    args = parser.parse_args()
    if args.gold is not None and args.answer is not None:
        print("\n".join(explain(args.answer, args.gold)))
    elif args.file:
        counts = grade_file(args.file)
        total = sum(counts.values())
        for reason, count in counts.items():
            if count:
                print(f"{reason:<12} {count:>7} {count / total:>7.1%}")
        print(f"{'all':<12} {total:>7}")
    else:
        parser.error("give a file, or --gold and --answer")


if __name__ == "__main__":
    main()
