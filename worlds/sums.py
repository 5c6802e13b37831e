"""Graded sums in words, easy enough that a language model of 135 M parameters solves one in eight.

    Tom has 7 pens and gets 5 more. How many pens does Tom have now?      gold: 12

A real language model needs problems that it solves now and then, or there is no reward to learn from; the
public sets are far above one of this size. Nine levels, from one small addition to two operations; what
SmolLM2-135M-Instruct solves of each stands in docs/benchmarks.md. EXAMPLE is shown before each problem,
as a turn of the conversation: without it the model never boxes an answer.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from worlds import Row

NAMES = ("Tom", "Mia", "Ben", "Eva", "Sam", "Lena", "Omar", "Rosa")
THINGS = ("pens", "eggs", "books", "coins", "stones", "cards", "apples", "shells")
EXAMPLE = ("Ann has 2 cups and buys 4 more. How many cups does Ann have?", "2+4=6. \\boxed{6}")
Numbers = tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """`draw` makes the numbers, `answer` works them out, `text` says them of a person and a thing."""

    draw: Callable[[random.Random], Numbers]
    answer: Callable[..., int]
    text: str  # {who}, {what}, and the numbers as {0}, {1}, ...


def _between(*bounds: tuple[int, int]) -> Callable[[random.Random], Numbers]:
    return lambda rng: tuple(rng.randint(low, high) for low, high in bounds)


def _take_away(rng: random.Random) -> Numbers:
    """What is taken, and what it is taken from."""
    left, taken = rng.randint(2, 11), rng.randint(2, 9)
    return left + taken, taken


def _share(rng: random.Random) -> Numbers:
    """A number, and among how many it is shared without a rest."""
    each, friends = rng.randint(2, 9), rng.randint(2, 6)
    return each * friends, friends


def _get_and_give(rng: random.Random) -> Numbers:
    has, gets = rng.randint(3, 9), rng.randint(1, 5)
    return has, gets, rng.randint(1, has + gets - 1)


LEVELS = {  # from the easiest
    "a few more": Level(
        _between((2, 9), (1, 3)),
        lambda a, b: a + b,
        "{who} has {0} {what} and buys {1} more. How many {what} does {who} have?",
    ),
    "add": Level(
        _between((2, 9), (2, 9)),
        lambda a, b: a + b,
        "{who} has {0} {what} and gets {1} more. How many {what} does {who} have now?",
    ),
    "take away": Level(
        _take_away,
        lambda a, b: a - b,
        "{who} has {0} {what} and gives away {1}. How many {what} does {who} have left?",
    ),
    "add two digits": Level(
        _between((11, 60), (2, 30)),
        lambda a, b: a + b,
        "{who} has {0} {what} and finds {1} more. How many {what} does {who} have now?",
    ),
    "add three": Level(
        _between((1, 5), (1, 5), (1, 5)),
        lambda a, b, c: a + b + c,
        "{who} has {0} {what}, then gets {1}, then gets {2}. How many {what} does {who} have now?",
    ),
    "get and give": Level(
        _get_and_give,
        lambda a, b, c: a + b - c,
        "{who} has {0} {what}, gets {1} and gives away {2}. How many {what} does {who} have left?",
    ),
    "times": Level(
        _between((2, 9), (2, 9)),
        lambda a, b: a * b,
        "{who} has {0} boxes with {1} {what} in each. How many {what} does {who} have?",
    ),
    "share": Level(
        _share,
        lambda a, b: a // b,
        "{who} shares {0} {what} among {1} friends. How many {what} does each friend get?",
    ),
    "times and add": Level(
        _between((2, 6), (2, 6), (2, 9)),
        lambda a, b, c: a * b + c,
        "{who} has {0} boxes with {1} {what} in each and {2} {what} more. How many {what} are there?",
    ),
}


def split_of(level: str, numbers: Numbers) -> str:
    """A fifth of a level's sums are for the test, by a hash of the numbers, whatever the words.

    >>> split_of("add", (2, 3)), split_of("add", (3, 3))
    ('train', 'train')
    """
    return "test" if zlib.crc32(f"{level} {numbers}".encode()) % 5 == 0 else "train"


def sums(split: str, count: int, seed: int = 0) -> list[Row]:
    """`count` different sums of a split, the levels in turn; the same for the same seed.

    split: "train" or "test", which share no sum. Raises ValueError if there are not so many.

    >>> sums("train", 1)[0][2]
    'a few more'
    """
    if split not in ("train", "test"):
        raise ValueError(f"split {split!r} is not one of train, test ")
    rng, found = random.Random(f"sums-{split}-{seed}"), {}
    for place in range(count):
        level = list(LEVELS)[place % len(LEVELS)]
        for _ in range(1000):
            numbers = LEVELS[level].draw(rng)
            who, what = rng.choice(NAMES), rng.choice(THINGS)
            text = LEVELS[level].text.format(*numbers, who=who, what=what)
            if split_of(level, numbers) == split and text not in found:
                break
        else:
            raise ValueError(
                f"{count} sums are more than there are different ones ({level!r} ran out after "
                f"{len(found)}): ask for fewer"
            )
        found[text] = (text, str(LEVELS[level].answer(*numbers)), level)
    return list(found.values())
