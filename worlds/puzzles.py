"""The bundled world: next-term puzzles such as "What comes next: 2, 5, 8, 11?", gold answer 14.

Eleven rules make them, in four tiers, named by how often the bundled base model (`tiny_base/`) tries the
right rule. It can carry out all of them:

| tier      | share | rules                                                 |
|-----------|-------|-------------------------------------------------------|
| common    | 38%   | common difference, common ratio, growing difference   |
| rare      | 25%   | alternating step, cubes plus constant, cycle of three |
| very rare | 22%   | double and add, sum of two, sum of three              |
| hidden    | 15%   | mirror (a, b, c, b -> a), halving step                |

Terms are integers, fractions over one denominator ("3/4, 5/4, 7/4"), or linear expressions in x
("2x+1, 4x+3"). A worked answer may leave a fraction unreduced or reorder an expression, so strings
do not decide whether it is right: `verifier.py` does.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

from worlds import Row


class Term(NamedTuple):
    """The number or expression (x * X + one) / over, where X is the letter x.

    >>> Term(2, 1) + Term(1, 3)
    3x+4
    >>> Term(0, 3, 4) + Term(0, 3, 4), -Term(0, 5), 2 * Term(1, -1)
    (6/4, -5, 2x-2)
    """

    x: int
    one: int
    over: int = 1

    def __add__(self, other: Term) -> Term:
        return Term(self.x + other.x, self.one + other.one, self.over)

    def __rmul__(self, times: int) -> Term:
        return Term(times * self.x, times * self.one, self.over)

    def __neg__(self) -> Term:
        return -1 * self

    def __sub__(self, other: Term) -> Term:
        return self + -other

    def __repr__(self) -> str:
        if not self.x:
            return f"{self.one}/{self.over}" if self.over > 1 else str(self.one)
        letter = {1: "x", -1: "-x"}.get(self.x, f"{self.x}x")
        return letter + (f"{self.one:+d}" if self.one else "")

    def wrapped(self) -> str:
        """As it stands inside a sum: in parentheses where it is a sum itself, or negative."""
        text = repr(self)
        return f"({text})" if text.startswith("-") or (self.x and self.one) else text

    def reordered(self) -> str:
        """The constant first, "1+2x": another way to write the same expression."""
        if not (self.x and self.one):
            return repr(self)
        letter = {1: "+x", -1: "-x"}.get(self.x, f"{self.x:+d}x")
        return f"{self.one}{letter}"

    def reduced(self) -> str:
        """As a gold answer is written: fractions in lowest terms.

        >>> Term(0, 6, 4).reduced(), Term(0, 8, 4).reduced(), Term(2, 1).reduced()
        ('3/2', '2', '2x+1')
        """
        common = gcd(self.one, self.over)
        return repr(self if self.x else Term(0, self.one // common, self.over // common))


TERM = re.compile(r"(?:(\d*)(x)\+)?(\d+)(?:/(\d+))?")  # as it stands in a question

Draw = Callable[[int], Term]  # draw(limit): a random positive term whose parts are at most limit
Attempt = tuple[str, Term]  # the arithmetic as text, and the answer it ends in


@dataclass(frozen=True)
class Rule:
    """`begin` makes the four terms of a puzzle; `attempt` applies the rule to ANY four terms.

    Applying a rule to a puzzle of another kind goes through and ends in a wrong answer: that is
    what a model does that has not seen which rule a puzzle follows.
    """

    name: str
    tier: str
    begin: Callable[[random.Random, Draw], list[Term]]
    attempt: Callable[[list[Term]], Attempt]


def _difference(t: list[Term]) -> Attempt:
    step = t[3] - t[2]
    answer = t[3] + step
    return f"{t[3]}-{t[2].wrapped()}={step}, {t[3]}+{step.wrapped()}={answer}", answer


def _ratio(t: list[Term]) -> Attempt:
    times = max(2, round(t[3].one / t[2].one))
    answer = times * t[3]
    return f"{t[3]} is {times}*{t[2].wrapped()}, {times}*{t[3].wrapped()}={answer}", answer


def _growing(t: list[Term]) -> Attempt:
    before, step = t[2] - t[1], t[3] - t[2]
    grown = 2 * step - before
    answer = t[3] + grown
    return f"{before}, {step}, {grown}, {t[3]}+{grown.wrapped()}={answer}", answer


def _alternating(t: list[Term]) -> Attempt:
    step = t[2] - t[1]
    answer = t[3] + step
    return f"{t[2]}-{t[1].wrapped()}={step}, {t[3]}+{step.wrapped()}={answer}", answer


def _cubes(t: list[Term]) -> Attempt:
    cube, next_cube = Term(0, 4**3, t[3].over), Term(0, 5**3, t[3].over)
    constant = t[3] - cube
    answer = next_cube + constant
    return f"{t[3]}-{cube}={constant}, {next_cube}+{constant.wrapped()}={answer}", answer


def _cycle(t: list[Term]) -> Attempt:
    return f"back to {t[1]}", t[1]


def _double(t: list[Term]) -> Attempt:
    doubled, next_doubled = 2 * t[2], 2 * t[3]
    constant = t[3] - doubled
    answer = next_doubled + constant
    return (
        f"{t[3]}-{doubled.wrapped()}={constant}, {next_doubled}+{constant.wrapped()}={answer}"
    ), answer


def _sum_of_two(t: list[Term]) -> Attempt:
    answer = t[2] + t[3]
    return f"{t[2]}+{t[3].wrapped()}={answer}", answer


def _sum_of_three(t: list[Term]) -> Attempt:
    two = t[1] + t[2]
    answer = two + t[3]
    return f"{t[1]}+{t[2].wrapped()}={two}, {two}+{t[3].wrapped()}={answer}", answer


def _mirror(t: list[Term]) -> Attempt:
    return f"back to {t[0]}", t[0]


def _halving(t: list[Term]) -> Attempt:
    step = t[3] - t[2]
    half = Term(step.x // 2, step.one // 2, step.over)
    answer = t[3] + half
    return f"{step}, {half}, {t[3]}+{half.wrapped()}={answer}", answer


def _partial_sums(start: Term, steps: list[Term]) -> list[Term]:
    terms = [start]
    for step in steps:
        terms.append(terms[-1] + step)
    return terms


def _begin_difference(rng: random.Random, draw: Draw) -> list[Term]:
    start, step = draw(60), draw(25)
    return _partial_sums(start, [step] * 3)


def _begin_ratio(rng: random.Random, draw: Draw) -> list[Term]:
    times = rng.choice([2, 2, 3, 3, 4])
    start = draw({2: 60, 3: 25, 4: 10}[times])
    return [times**n * start for n in range(4)]


def _begin_growing(rng: random.Random, draw: Draw) -> list[Term]:
    start, step, growth = draw(40), draw(12), draw(9)
    return _partial_sums(start, [step + n * growth for n in range(3)])


def _begin_alternating(rng: random.Random, draw: Draw) -> list[Term]:
    start, odd, even = draw(40), draw(20), draw(20)
    return _partial_sums(start, [odd, even, odd])


def _begin_cubes(rng: random.Random, draw: Draw) -> list[Term]:
    constant = draw(120)
    return [constant + Term(0, n**3, constant.over) for n in (1, 2, 3, 4)]


def _begin_cycle(rng: random.Random, draw: Draw) -> list[Term]:
    first, second, third = draw(40), draw(40), draw(40)
    return [first, second, third, first]


def _begin_double(rng: random.Random, draw: Draw) -> list[Term]:
    term, constant = draw(15), draw(15)
    terms = [term]
    for _ in range(3):
        terms.append(2 * terms[-1] + constant)
    return terms


def _begin_sum_of_two(rng: random.Random, draw: Draw) -> list[Term]:
    first, second = draw(40), draw(40)
    return [first, second, first + second, first + 2 * second]


def _begin_sum_of_three(rng: random.Random, draw: Draw) -> list[Term]:
    first, second, third = draw(30), draw(30), draw(30)
    return [first, second, third, first + second + third]


def _begin_mirror(rng: random.Random, draw: Draw) -> list[Term]:
    first, second, third = draw(40), draw(40), draw(40)
    return [first, second, third, second]


def _begin_halving(rng: random.Random, draw: Draw) -> list[Term]:
    start, step = draw(40), draw(9)
    return _partial_sums(start, [8 * step, 4 * step, 2 * step])


# From the most to the least familiar. A puzzle that several rules explain belongs to the first.
RULES = {
    rule.name: rule
    for rule in (
        Rule("common difference", "common", _begin_difference, _difference),
        Rule("common ratio", "common", _begin_ratio, _ratio),
        Rule("growing difference", "common", _begin_growing, _growing),
        Rule("alternating step", "rare", _begin_alternating, _alternating),
        Rule("cubes plus constant", "rare", _begin_cubes, _cubes),
        Rule("cycle of three", "rare", _begin_cycle, _cycle),
        Rule("double and add", "very rare", _begin_double, _double),
        Rule("sum of two", "very rare", _begin_sum_of_two, _sum_of_two),
        Rule("sum of three", "very rare", _begin_sum_of_three, _sum_of_three),
        Rule("mirror", "hidden", _begin_mirror, _mirror),
        Rule("halving step", "hidden", _begin_halving, _halving),
    )
}


def _draw_terms(rng: random.Random, rule: Rule) -> list[Term]:
    form = rng.choices(("integer", "fraction", "expression"), (60, 20, 20))[0]
    over = rng.randint(2, 9) if form == "fraction" else 1

    def draw(limit: int) -> Term:
        if form == "expression":
            return Term(rng.randint(1, min(limit, 4)), rng.randint(1, min(limit, 12)))
        return Term(0, rng.randint(1, limit), over)

    return rule.begin(rng, draw)


def split_of(terms: list[Term]) -> str:
    """The split a puzzle belongs to: a function of its own text, so no two splits can share one.

    Ours: 7/10 of all puzzles are "train", 1/10 "validation", 2/10 "test".
    """
    bucket = zlib.crc32(repr(terms).encode()) % 10
    return "test" if bucket < 2 else "validation" if bucket == 2 else "train"


def draw_puzzle(rng: random.Random, kind: str, split: str) -> list[Term]:
    """Four terms of a puzzle of this kind that lie in the split and that no more familiar rule solves."""
    rule = RULES[kind]
    while True:
        terms = _draw_terms(rng, rule)
        answer = rule.attempt(terms)[1]
        familiar = []
        for other in RULES.values():
            if other is rule:
                break
            familiar.append(other.attempt(terms)[1])
        reducible = gcd(terms[0].over, *(t.one for t in terms)) > 1
        if answer not in familiar and not reducible and split_of(terms) == split:
            return terms


def question(terms: list[Term], asked: str = "What comes next") -> str:
    """The puzzle in words.

    >>> question([Term(0, 2), Term(0, 5), Term(0, 8), Term(0, 11)])
    'What comes next: 2, 5, 8, 11?'
    """
    return f"{asked}: {', '.join(map(repr, terms))}?"


def right_answers(kind: str, terms: list[Term]) -> list[str]:
    r"""The texts of an attempt by this kind's rule, one for each way to write its answer.

    A text begins with the name of the rule: what the model writes there is the rule that it chose.

    >>> for text in right_answers("cycle of three", terms_of("What comes next: 2x+1, x+3, 4x+2, 2x+1?")):
    ...     print(text)
    cycle of three back to x+3. \boxed{x+3}
    cycle of three back to x+3. \boxed{3+x}
    """
    work, answer = RULES[kind].attempt(terms)
    spellings = dict.fromkeys((repr(answer), answer.reordered()))
    return [f"{kind} {work}. \\boxed{{{spelled}}}" for spelled in spellings]


def worked_answer(kind: str, terms: list[Term], rng: random.Random) -> str:
    """The text of one attempt: the rule tried, its arithmetic, and the answer in a box.

    >>> worked_answer("common difference", [Term(0, n) for n in (2, 5, 8, 11)], random.Random(0))
    'common difference 11-8=3, 11+3=14. \\\\boxed{14}'
    """
    spellings = right_answers(kind, terms)
    return spellings[-1] if rng.random() < 0.4 else spellings[0]


def terms_of(text: str) -> list[Term]:
    """The terms of a puzzle from its words: what `question` did, undone.

    >>> terms_of("What comes next: 3/4, 5/4, x+4, 12?")
    [3/4, 5/4, x+4, 12]
    """
    return [
        Term(int(times or 1) if letter else 0, int(one), int(over or 1))
        for times, letter, one, over in TERM.findall(text)
    ]


# Share of each kind, by its tier, among the puzzles of a split that mixes all rules: 38, 25, 22 and 15%
# of them are of the four tiers, with three, three, three and two rules.
KIND_WEIGHTS = {"common": 76, "rare": 50, "very rare": 44, "hidden": 45}


def in_proportion(weights: dict[str, int], count: int) -> Iterator[str]:
    """`count` names, of which the first n hold each name in proportion to its weight, for every n.

    Each turn everyone earns their weight, and the richest pays the whole turn's earnings.

    >>> "".join(in_proportion({"a": 2, "b": 1}, 6))
    'abaaba'
    """
    earned = dict.fromkeys(weights, 0)
    for _ in range(count):
        for name, weight in weights.items():
            earned[name] += weight
        richest = max(earned, key=earned.get)
        earned[richest] -= sum(weights.values())
        yield richest


def puzzles(split: str, count: int, seed: int = 0) -> list[Row]:
    """`count` different puzzles of a split, the same for the same seed; fewer are its first ones.

    split: "train", "validation", or "test" (all rules in proportion to KIND_WEIGHTS), "easy" (test
    puzzles of the common rules) or "hard" (test puzzles of the rarer ones). Train, validation and test
    share no puzzle.
    """
    tiers = {"easy": ("common",), "hard": ("rare", "very rare", "hidden")}.get(
        split, tuple(KIND_WEIGHTS)
    )
    weights = {k: KIND_WEIGHTS[rule.tier] for k, rule in RULES.items() if rule.tier in tiers}
    source = "test" if split in ("easy", "hard") else split
    if source not in ("train", "validation", "test"):
        raise ValueError(f"split {split!r} is not one of train, validation, test, easy, hard ")
    rng = random.Random(f"{split}-{seed}")
    found: dict[str, Row] = {}
    for kind in in_proportion(weights, count):
        for _ in range(1000):
            terms = draw_puzzle(rng, kind, source)
            text = question(terms)
            if text not in found:
                break
        else:
            raise ValueError(
                f"{count} puzzles of split {split!r} are more than there are different ones "
                f"({kind} ran out after {len(found)}): ask for fewer"
            )
        found[text] = (text, RULES[kind].attempt(terms)[1].reduced(), kind)
    return list(found.values())
