"""Two single numbers or expressions climb the ladder: exact arithmetic, 50 digits, sympy.

The upper rungs of the ladder in `verifier.py`. The rung "numeric" stands here: both sides are
computed to 50 digits at fixed points. If they differ at one, they are not equal. If they agree at
all of them, sympy decides.
"""

import threading
from fractions import Fraction
from typing import Any

from answers.algebra import as_fraction, equal_exactly, normal_form
from answers.judge import STEPS, judge
from answers.tree import (
    MAX_ARGUMENT,
    MAX_FACTORIAL,
    TooLarge,
    Tree,
    Undefined,
    Unreadable,
    infinite,
    nodes,
    variables,
)

WORK = 60_000  # of one verdict: terms multiplied and nodes computed, a few microseconds each
RUNGS = ("string", "rational", "structure", "numeric", "sympy")  # cheapest and surest first


class Ladder:
    """One verdict under way: the work that it may still do, and the rungs that it has used.

    Work is counted, not timed, so that a verdict is the same on a busy machine.
    """

    def __init__(self):
        self.work = WORK
        self.steps = STEPS  # of sympy's
        self.method = "structure"  # the highest rung that gave a verdict
        self.notes = []  # (rung, verdict, note), for `verifier.explain`
        self.late = False  # did sympy run out of steps?

    def by(self, rung: str, verdict: bool, note: str = "") -> bool:
        """Record that a rung gave this verdict; returns the verdict."""
        if RUNGS.index(rung) > RUNGS.index(self.method) or self.method == "structure":
            self.method = rung
        self.notes.append((rung, verdict, note))
        return verdict

    def spend(self, work: int) -> None:
        """Count some work; raises TooLarge if the verdict has none left."""
        self.work -= work
        if self.work < 0:
            raise TooLarge("more work than one verdict may do")

    def equal(self, gold: Tree, answer: Tree) -> bool:
        """Are two scalars equal? Exact arithmetic, then numbers, then sympy.

        Raises Undefined for a value that does not exist, TooLarge, and Unreadable for a tree that
        is no scalar.

        >>> x = ("var", "x")
        >>> Ladder().equal(("add", x, x), ("mul", x, ("num", Fraction(2))))
        True
        """
        if gold == answer:
            return self.by("rational", True, "the same tree")
        if infinite(gold) or infinite(answer):
            return self.by("rational", infinite(gold) == infinite(answer), "infinity")
        try:
            exact = equal_exactly(gold, answer, self.spend)
        except TooLarge:
            exact = None
        if exact is not None:
            return self.by("rational", exact, "exact arithmetic")
        self.spend(8 * len(_POINTS) * sum(1 for tree in (gold, answer) for _ in nodes(tree)))
        differ, agree = compare_at_points(gold, answer)
        if differ:
            return self.by("numeric", False, "different numbers at some point")
        return self.judged(gold, answer, "zero", agree)

    def judged(self, gold: Tree, answer: Tree, question: str, agree: int) -> bool:
        """sympy's verdict on a question of `Judge.ask`; `agree` points agreed before.

        Two constants that agree to 480 digits are equal if sympy has no opinion; two functions are
        not. What sympy does not end in time is never equal.
        """
        found, steps = judge.ask(question, gold, answer, self.steps)
        self.steps = max(0, self.steps - steps)
        constants = not (variables(gold) or variables(answer))
        if found == "undecided" and agree and constants and agree_to_480_digits(gold, answer):
            return self.by("numeric", True, "480 digits agree, sympy has no opinion")
        self.late |= found is None
        return self.by("sympy", found is True, f"sympy says {found}")


# The rung "numeric".

# Four values a row, for the variables in alphabetical order. Inside and outside |x| = 1, of both
# signs, small and large: else x^6 "equals" (x^997 - 1)/(x^991 - 1), and |x| "equals" x.
_POINTS = [
    [Fraction(p) for p in row.split()]
    for row in (
        "0.373 0.641 0.857 0.209",
        "2.719 1.583 4.127 3.301",
        "-0.571 -0.829 -0.347 -0.113",
        "-1.913 -3.217 -2.341 -5.477",
        "-0.733 2.221 -1.447 3.671",
        "3.119 -0.487 0.659 -2.833",
        "1729.1 2301.7 3103.3 1271.3",
        "-4101.7 -1900.1 -2701.1 -5300.3",
    )
]
_of_thread = threading.local()


class NotReal(ArithmeticError):
    """A root or logarithm of a negative number at a point where only real values count."""


def compare_at_points(gold: Tree, answer: Tree) -> tuple[bool, int]:
    """(do two scalars differ at some point?, at how many points do they agree?)

    Points where one side has no value, is too large to compute, or leaves the real numbers on the
    way, do not count. Constants are compared once; raises Undefined if one has no value. Raises
    TooLarge if that left no point to compare at, and Unreadable for a tree that is no scalar.

    >>> compare_at_points(("fn", "sin", ("var", "x")), ("fn", "cos", ("var", "x")))
    (True, 0)
    """
    names = sorted(variables(gold) | variables(answer))
    has_i = any(node == ("const", "i") for tree in (gold, answer) for node in nodes(tree))
    bars = [any(n[:2] == ("fn", "abs") for n in nodes(tree)) for tree in (gold, answer)]
    near = 1e-25 if names else 1e-35  # e^(pi sqrt 163) is an integer but for its 31st digit
    real, agree, too_large = bool(names) and not has_i, 0, None
    for row in _POINTS if names else _POINTS[:1]:
        point = {name: row[k % 4] + k // 4 for k, name in enumerate(names)}
        try:
            a, b = value_at(gold, point, real), value_at(answer, point, real)
        except NotReal:
            if bars[0] != bars[1] and _is_real(gold, point) != _is_real(answer, point):
                return True, agree  # ln|x| has a value where ln x has none, and was meant to
            continue
        except TooLarge as error:
            too_large = error
            continue
        except (ArithmeticError, ValueError):
            if names:
                continue
            raise Undefined("no value") from None
        gap = abs(a - b)
        if gap != gap or (gap > near * max(abs(a), abs(b)) and gap > 1e-35):
            return True, agree
        agree += 1
    if too_large and not agree:
        raise too_large
    return False, agree


def agree_to_480_digits(gold: Tree, answer: Tree) -> bool:
    """Are two constants the same to 480 digits? A number as written has 300 at most.

    >>> agree_to_480_digits(("const", "pi"), ("const", "pi"))
    True
    """
    mp = _context()
    with mp.workdps(500):
        a, b = value_at(gold, {}, False), value_at(answer, {}, False)
        return abs(a - b) <= mp.mpf(10) ** -480 * max(1, abs(a))


def _is_real(tree, point):
    """Does a scalar tree have a real value there?"""
    try:
        value_at(tree, point, True)
    except (ArithmeticError, ValueError):
        return False
    return True


def value_at(tree: Tree, point: dict[str, Fraction], real: bool) -> Any:
    """A scalar tree's value to 50 digits, mpmath's mpf or mpc, where its variables are `point`.

    `real` refuses values that leave the real numbers on the way. Raises NotReal then, Undefined,
    TooLarge, another ArithmeticError or ValueError of mpmath's, and Unreadable for no scalar.

    >>> float(value_at(("fn", "abs", ("var", "x")), {"x": Fraction(-3, 2)}, True))
    1.5
    """
    mp = _context()
    kind, *rest = tree
    if kind == "num":
        return mp.mpf(tree[1].numerator) / tree[1].denominator
    if kind == "var":
        return mp.mpf(point[tree[1]].numerator) / point[tree[1]].denominator
    if kind == "const":
        if tree[1] == "oo":
            raise Undefined("infinity")
        return {"pi": +mp.pi, "e": +mp.e, "i": mp.mpc(0, 1)}[tree[1]]
    if kind == "fn":
        return _function_value(mp, rest[0], [value_at(x, point, real) for x in rest[1:]], real)
    parts = [value_at(x, point, real) for x in rest]
    if kind == "add":
        return sum(parts[1:], parts[0])
    if kind == "mul":
        for x in parts[1:]:
            parts[0] = parts[0] * x
        return parts[0]
    if kind == "pow":
        return _power_value(mp, parts[0], parts[1], rest[1], real)
    if kind in ("percent", "deg"):
        return parts[0] / 100 if kind == "percent" else parts[0] * mp.pi / 180
    raise Unreadable(f"{kind} is no number")


def _context():
    """mpmath at 50 digits; one a thread, since its precision is a mutable setting."""
    if not hasattr(_of_thread, "mp"):
        from mpmath import MPContext

        _of_thread.mp = MPContext()
        _of_thread.mp.dps = 50
    return _of_thread.mp


def _power_value(mp, base, power, exponent, real):
    """base^power, with the exponent's tree: odd roots of negative numbers are the real ones."""
    if not base:
        if mp.re(power) <= 0 and power != 0:
            raise Undefined("division by zero")
        return base**0 if power == 0 else base
    if abs(power) * (1 + abs(mp.log(abs(base)))) > MAX_ARGUMENT:
        raise TooLarge("a power too large to compute")
    if not mp.im(base) and mp.re(base) < 0 and not mp.isint(power):
        exact = as_fraction(normal_form(exponent)) if not mp.im(power) else None
        if exact is not None and exact.denominator % 2:
            return mp.power(-base, power) * (-1) ** exact.numerator
        if real:
            raise NotReal("a root of a negative number")
    return mp.power(base, power)


def _function_value(mp, name, values, real):
    """A function of values, within its real domain if `real`."""
    x = values[0]
    if any(abs(v) > MAX_ARGUMENT for v in values) and name not in ("log", "abs"):
        raise TooLarge(f"{name} of a large argument")
    if name == "log":
        if not x or (len(values) > 1 and values[1] in (0, 1)):
            raise Undefined("log of zero, or to the base 1")
        if real and (any(mp.im(v) for v in values) or any(v < 0 for v in values)):
            raise NotReal("log of a negative number")
        return mp.log(x) if len(values) == 1 else mp.log(x) / mp.log(values[1])
    if name == "abs":
        return abs(x)
    if name in ("floor", "ceil"):
        nearest = mp.nint(mp.re(x))
        if abs(x - nearest) < mp.mpf(10) ** -30:
            return nearest
        return getattr(mp, name)(x)
    if name in ("factorial", "binom"):
        if any(abs(v) > MAX_FACTORIAL for v in values):
            raise TooLarge(f"{name} of a large argument")
        return mp.factorial(x) if name == "factorial" else mp.binomial(*values)
    found = getattr(mp, name.replace("arc", "a"))(x)
    if real and mp.im(found):
        raise NotReal(f"{name} outside its domain")
    return found
