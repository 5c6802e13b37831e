"""Forms of an answer that say the same: `x = 5` is 5, "no solution" the empty set, 1 +- 2 two values.

Below the rung "structure" of `verifier.py`: these functions turn a tree into the plain one that
`answers.structure` and `answers.sets` compare. They use three kinds that the parser never makes:
("either", a, b, ...) for x = a ~ b, ("chain", a, b, ...) for x = a = b, and
("assign", names, a, b, ...) for x = a, y = b.
"""

import re
from fractions import Fraction
from itertools import product as choices_of

from answers.scalars import value_at
from answers.tree import TooLarge, Tree, is_tree, negate, nodes, num, product, variables
from answers.words import MULTIPLIERS, NUMERALS, ORDINALS, TENS

COLLECTIONS = ("list", "set", "seq", "assign")

_SAID = dict.fromkeys(("all real numbers", "all reals", "real numbers", "all real"), ("reals",))
_SAID |= dict.fromkeys(("no solution", "no solutions", "none", "empty set"), ("set",))
_SAID |= dict.fromkeys(("no real solution", "no real solutions"), ("set",))
_SAID |= {"infinity": ("const", "oo"), "negative infinity": ("mul", num(-1), ("const", "oo"))}
_TRIGONOMETRIC = ("sin", "cos", "tan", "cot", "sec", "csc")
_SMALL = {name: k for k, name in enumerate(NUMERALS)}
_SMALL |= {name: 10 * k for k, name in enumerate(TENS, 2)}
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4} | {
    name + s: k for k, name in enumerate(ORDINALS, 3) for s in ("", "s")
}


def is_name(tree: Tree) -> bool:
    """Can it stand left of = as a mere name? x, f(x), AB, angle ABC, |z|, a word."""
    if _derivative(tree):
        return True
    if tree[0] == "mul":
        if tree[-1][0] == "pow" and tree[-1][2] == num(-1) and len(tree) == 3:  # NO/BO
            return all(n[0] in ("mul", "text") and is_name(n) for n in (tree[1], tree[2][1]))
        head = tree[1] in (("var", "angle"), ("var", "triangle"), ("var", "m"))
        return all(
            n[0] == "var" and (n[1].isupper() or n[1] in ("angle", "triangle"))
            for n in (tree[2:] if head else tree[1:])
        )
    if tree[0] == "fn" and tree[1] in _TRIGONOMETRIC:  # \sin A = 3/5
        return is_name(tree[2]) or tree[2] == ("deg", tree[2][1])
    if tree[0] == "ratio":  # A : B = 1, S : S' = 7 : 32
        return all(map(is_name, tree[1:]))
    if tree[:2] == ("fn", "abs"):  # |AB| = 5 and |z| = 5 are solved, |x| = 5 is not
        names = variables(tree[2])
        return bool(names) and all(n.isupper() or n in ("z", "w") or " " in n for n in names)
    if tree[0] == "seq":
        return all(n[0] == "var" for n in tree[2:])
    return tree[0] in ("var", "text") or tree == ("const", "i")


def _derivative(tree):
    """Is it dy/dx?"""
    if tree[0] != "mul" or len(tree) != 3 or tree[2][0] != "pow":
        return False
    return all(part[:2] == ("mul", ("var", "d")) for part in (tree[1], tree[2][1]))


def undressed(tree: Tree) -> Tree:
    """The value in a sentence about it: x = 5 is 5, x in S is S, "two" is 2.

    x = 1/3 ~ 0.333 is either of the two; x = 6/4 = 3/2 is both, a chain. What says more than a
    value, such as 2x = 10, stays.

    >>> undressed(("rel", ("=",), ("var", "x"), num(5)))
    ('num', Fraction(5, 1))
    """
    if tree[0] == "text":
        return _SAID.get(tree[1]) or spoken_number(tree[1]) or tree
    for kind in ("deg", "percent"):
        if (bare := _without(tree, kind)) is not None:
            return ("unit", bare, "degree") if kind == "deg" else ("percent", bare)
    if tree[0] == "unit" and tree[2] == "percent":
        return ("percent", tree[1])
    if tree[0] != "rel":
        return tree
    signs, parts = tree[1], tree[2:]
    if signs == ("in",):
        return parts[1]
    if not set(signs) <= {"=", "~"}:
        return tree
    if not is_name(parts[0]) and len(parts) == 2 and is_name(parts[1]):
        parts = parts[::-1]
    stated = signs[0] == "=" or not variables(parts[1])  # x ~ y ~ z says nothing but x
    if is_name(parts[0]) and stated and not _other_argument(parts):
        parts, signs = parts[1:], signs[1:]
    if len(parts) == 1:
        return undressed(parts[0])
    if "=" not in signs:
        return _approximated(parts)
    if any(variables(p) for p in parts) or "~" in signs:
        return tree
    return ("chain", *parts)


def _without(tree, kind):
    """-5 degrees, or 180 degrees - 35 degrees, without the mark that all its terms have; or None."""
    if tree[0] == kind:
        return tree[1]
    if tree[0] == "add":
        parts = [_without(part, kind) for part in tree[1:]]
        return None if None in parts else ("add", *parts)
    if tree[0] == "pm":
        inner = _without(tree[2], kind)
        return None if inner is None else ("pm", tree[1], inner)
    if tree[0] == "mul" and sum(part[0] == kind for part in tree[1:]) == 1:
        rest = [part[1] if part[0] == kind else part for part in tree[1:]]
        numbers = all(p[0] == "num" for p in tree[1:] if p[0] != kind)
        return product(rest) if numbers else None
    return None


def _other_argument(parts):
    """Is it f(y) = 2x, a value that does not speak of the argument named on the left?"""
    call = (
        re.fullmatch(r"[A-Za-z]'*\(([A-Za-z]\w*)\)", parts[0][1]) if parts[0][0] == "var" else None
    )
    used = variables(("list", *parts[1:]))
    return bool(call and used and call[1] not in used)


def _approximated(parts):
    """a ~ b ~ c is a; b or c may stand for it only as a rounding of a to three digits or more."""
    first, *others = parts
    try:
        exact = value_at(first, {}, real=True)
    except (ArithmeticError, ValueError, KeyError):  # no value, no scalar, or with a variable
        return undressed(first)
    close = []
    for part in others:
        digits, unit = _written(part[1]) if part[0] == "num" else (0, 0)
        if digits >= 3 and abs(exact - float(part[1])) <= unit * 0.500001:
            close.append(part)
    return ("either", first, *close)


def _written(value):
    """(significant digits, the unit of the last) of a decimal as written; 1200 may have two digits."""
    places = next((k for k in range(40) if 10**k % value.denominator == 0), None)
    if places is None:
        return 0, 0.0
    digits = str(abs(value.numerator) * 10**places // value.denominator)
    bare = digits if places else digits.rstrip("0")
    return len(digits), 10.0 ** (len(digits) - len(bare) - places)


def spoken_number(text: str) -> Tree | None:
    """The number that words say, or None.

    >>> spoken_number("twenty five"), spoken_number("two thirds")
    (('num', Fraction(25, 1)), ('num', Fraction(2, 3)))
    """
    total, current, said = 0, 0, text.split()
    bottom = _PARTS.get(said[-1]) if said else None
    said = said[:-1] if bottom else said
    if not said:
        return num(Fraction(1, bottom)) if bottom == 2 else None
    for word in said:
        if word in _SMALL:
            if current % 100 and not (
                current % 100 >= 20 and current % 10 == 0 and _SMALL[word] < 10
            ):
                return None
            current += _SMALL[word]
        elif word == "hundred" and 0 < current < 100:
            current *= 100
        elif word in MULTIPLIERS and current:
            total, current = total + current * MULTIPLIERS[word], 0
        else:
            return None
    return num(Fraction(total + current, bottom or 1))


def value_of_sum(tree: Tree) -> Tree | None:
    """The 17 of m + n = 17, where the question asked for m + n; else None.

    >>> value_of_sum(("rel", ("=",), ("add", ("var", "m"), ("var", "n")), num(17)))
    ('num', Fraction(17, 1))
    """
    if tree[0] != "rel" or set(tree[1]) != {"="}:
        return None
    parts = tree[2:] if variables(tree[2]) else tree[:1:-1]
    if len(variables(parts[0])) < 2 or any(map(variables, parts[1:])):
        return None
    return parts[1] if len(parts) == 2 else ("chain", *parts[1:])


def imaginary(gold: Tree, answer: Tree) -> tuple[Tree, Tree] | None:
    """The two trees with the I of one side as i, if the other side has an i; else None.

    sympy and its users write 2 + 3*I. A lone I stays a variable.
    """
    i, big = ("const", "i"), ("var", "I")
    used = [{n for n in nodes(tree) if n in (i, big)} for tree in (gold, answer)]
    if sorted(used, key=repr) != [{i}, {big}] or big in (gold, answer):
        return None
    return _with_i(gold), _with_i(answer)


def _with_i(tree):
    if tree == ("var", "I"):
        return ("const", "i")
    return tuple(_with_i(part) if is_tree(part) else part for part in tree)


def branches(tree: Tree) -> list[Tree]:
    """The values of an expression with +- in it. With a -+ beside it, the signs go together.

    Raises TooLarge for more than four signs.

    >>> branches(("pm", 1, num(3)))
    [('num', Fraction(3, 1)), ('num', Fraction(-3, 1))]
    """
    signs = _signs(tree)
    if not signs:
        return [tree]
    if len(signs) > 4:
        raise TooLarge("more than four +- signs")
    if -1 in signs:
        choices = [signs, [-s for s in signs]]
    else:
        choices = choices_of((1, -1), repeat=len(signs))
    return [_with_signs(tree, iter(choice)) for choice in choices]


def _signs(tree):
    """+1 for each +- and -1 for each -+ in a tree, outermost first."""
    here = [tree[1]] if tree[0] == "pm" else []
    return here + [sign for part in tree[1:] if is_tree(part) for sign in _signs(part)]


def _with_signs(tree, choice):
    """The tree with the next sign of `choice`, an iterator, in place of each +- or -+."""
    if not is_tree(tree):
        return tree
    if tree[0] == "pm":
        sign = next(choice)
        inner = _with_signs(tree[2], choice)
        return inner if sign > 0 else negate(inner)
    return (tree[0], *(_with_signs(part, choice) for part in tree[1:]))


def collected(tree: Tree) -> Tree:
    """A list, set or tuple with its items undressed, +- spread out; x=1, y=2 is an assignment.

    A single value comes back as it is, or as a set if it has a +- in it. Raises TooLarge for
    more than four such signs.

    >>> x, y = (("rel", ("=",), ("var", name), num(k)) for k, name in enumerate("xy"))
    >>> collected(("list", y, x))
    ('assign', (('var', 'y'), ('var', 'x')), ('num', Fraction(1, 1)), ('num', Fraction(0, 1)))
    """
    if tree[0] not in COLLECTIONS:
        spread = branches(tree)
        return tree if len(spread) == 1 else ("set", *spread)
    head, items = (tree[:2], tree[2:]) if tree[0] == "seq" else (tree[:1], tree[1:])
    if tree[0] == "list" and all(i[0] == "rel" and i[1] == ("=",) for i in items):
        names = [i[2] for i in items]
        if all(is_name(n) for n in names) and len(set(names)) == len(names) > 1:
            return ("assign", tuple(i[2] for i in items), *(i[3] for i in items))
    return (*head, *(branch for item in items for branch in branches(undressed(item))))
