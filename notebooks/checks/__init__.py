"""Exercises that check themselves: an answer goes in, one sentence comes out.

In a notebook the cell below an exercise calls `check("03.1", my_function)`, and `notebooks/grade.py`
calls `judge` on the same checks. Each notebook's checks stand in a file named after it (`n03_kl.py`); a
check gets an `Answer`, raises `NotYet` with a sentence that says what is wrong, or returns one that says
what has been found out. A sentence never gives the solution away; it names the symptom and where to look.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from course import NAMES


class NotYet(Exception):
    """An answer that is not right yet; the message is the sentence for the student."""


POINTS = {  # by number: 1 a line, 2 a derivation or a diagnosis, 3 several steps, 5 the whole step
    "00.1": 1,
    **{"01.1": 2, "01.2": 2, "01.3": 1, "01.4": 2},
    **{"02.1": 1, "02.2": 2, "02.3": 2, "02.4": 2},
    **{"03.1": 1, "03.2": 2, "03.3": 1, "03.4": 3, "03.5": 2},
    **{"04.1": 1, "04.2": 1, "04.3": 2, "04.4": 2, "04.5": 3},
    **{"04b.1": 3, "04b.2": 2, "04b.3": 1},
    **{"05.1": 1, "05.2": 2, "05.3": 2, "05.4": 2},
    **{"06.1": 2, "06.2": 2, "06.3": 1, "06.4": 2},
    **{"07.1": 2, "07.2": 3, "07.3": 2},
    "08.1": 5,
}


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number, the name that the student's cell defines, what tells right from wrong."""

    number: str
    name: str
    check: Callable[[Answer], str]


class Outcome(NamedTuple):
    """What `judge` says."""

    passed: bool
    sentence: str


EXERCISES: dict[str, Exercise] = {}


def exercise(number: str, name: str):
    """Register the function below it as the check of an exercise."""

    def register(check):
        EXERCISES[number] = Exercise(number, name, check)
        return check

    return register


def load(number: str) -> Exercise:
    """The exercise of this number. Raises ValueError if there is none."""
    notebook = number.split(".")[0]
    if notebook in NAMES:
        exercises_of(notebook)
    if number not in EXERCISES:
        raise ValueError(f"there is no exercise {number!r}; numbers look like 03.1")
    return EXERCISES[number]


def exercises_of(notebook: str) -> list[str]:
    """The numbers of a notebook's exercises: `exercises_of("03")`."""
    importlib.import_module(f"checks.n{NAMES[notebook]}")
    return sorted(number for number in EXERCISES if number.startswith(f"{notebook}."))


def all_exercises() -> dict[str, Exercise]:
    """Every exercise by number."""
    return {number: load(number) for notebook in NAMES for number in exercises_of(notebook)}


# ---------------------------------------------------------------- the student's answer


def empty(value) -> bool:
    """Is this still the cell's own `...`, wholly or in part? A function is not looked into.

    >>> empty(...), empty({"a": 1, "b": ...}), empty([0.5])
    (True, True, False)
    """
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return any(empty(x) for x in value)
    return value is ...


class Answer:
    """What the student's cell defines: a value in `.value`, or a function to be called."""

    def __init__(self, name: str, value):
        self.name, self.value = name, value
        if empty(value):
            raise NotYet(f"{name} is still unfilled: replace each ... in the cell above and run it")

    def need(self, condition: bool, sentence: str) -> None:
        """Go on only if the condition holds. The sentence is about the answer, and names it itself."""
        if not condition:
            raise NotYet(sentence)

    def __call__(self, *args):
        """The function's result; an error inside it, or nothing at all, becomes a sentence."""
        if not callable(self.value):
            raise NotYet(f"{self.name} has to be a function, and it is {kind(self.value)}")
        try:
            result = self.value(*(a.clone() if torch.is_tensor(a) else a for a in args))
        except NotYet:
            raise
        except Exception as error:
            first = next(iter(str(error).splitlines()), "")
            if "must match the size of tensor" in first:
                first += " (is keepdim=True or [:, None] missing?)"
            if "Boolean value of Tensor" in first:
                first += " (min, max and if take one number; torch.minimum and torch.where do not)"
            raise NotYet(f"{self.name} stopped with {type(error).__name__}: {first}") from error
        if empty(result):
            raise NotYet(
                f"{self.name} is still unfilled: replace each ... in the cell above and run it"
            )
        return result

    def tensor(self, *args, shape: tuple[int, ...]) -> Tensor:
        """The function's result as a float64 tensor of this shape, all of it finite."""
        result = self(*args)
        self.need(
            result is not None, f"{self.name} gives back None: does it end in a return statement?"
        )
        try:
            result = torch.as_tensor(result).detach().double()
        except (TypeError, ValueError, RuntimeError):
            raise NotYet(
                f"{self.name} gives back {kind(result)}, and a tensor of shape {shape} is needed"
            ) from None
        self.need(
            tuple(result.shape) == shape,
            f"{self.name} gives back shape {tuple(result.shape)}, and {shape} is needed: along which "
            "dimension is the sum or the mean?",
        )
        self.need(
            bool(torch.isfinite(result).all()),
            f"{self.name} gives back inf or nan: is there a log of 0, a log or a root of a "
            "negative number, or a division by 0?",
        )
        return result

    def number(self, *args) -> float:
        """The function's result, or the value itself, as one number."""
        result = self(*args) if callable(self.value) else self.value
        try:
            result = float(result)
        except (TypeError, ValueError, RuntimeError):
            raise NotYet(
                f"{self.name} gives back {kind(result)}, and one number is needed"
            ) from None
        self.need(
            math.isfinite(result), f"{self.name} gives back {result}, which is no finite number"
        )
        return result


def kind(value) -> str:
    """A value in a few words, for a sentence.

    >>> kind(None), kind([1, 2]), kind(0.5)
    ('None', 'a list', '0.5')
    """
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if torch.is_tensor(value):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"


def close(a, b, tolerance: float = 1e-4) -> bool:
    """Equal but for rounding: absolutely where the numbers are small, relatively where they are large.

    >>> close(1.0, 1.00001), close(torch.zeros(2), torch.tensor([0.0, 0.1]))
    (True, False)
    """
    a, b = (torch.as_tensor(x).detach().double() for x in (a, b))
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=tolerance, atol=tolerance))


# ---------------------------------------------------------------- the verdict


def judge(number: str, value) -> Outcome:
    """Is the answer right, and the sentence for it. Never raises for what a student may hand in."""
    exercise = load(number)
    try:
        return Outcome(True, exercise.check(Answer(exercise.name, value)))
    except NotYet as sentence:
        return Outcome(False, str(sentence))
    except (AttributeError, TypeError, ValueError, LookupError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        return Outcome(False, f"the check cannot make sense of {exercise.name} ({what})")


def check(number: str, value) -> None:
    """Print the verdict: what the check cells of the notebooks call."""
    passed, sentence = judge(number, value)
    print(f"{'✓' if passed else '✗'} Exercise {number}: {sentence}")
