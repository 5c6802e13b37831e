"""The small tree that an answer is read into, and the bounds on all that is done with it.

Every other file of answers/ imports this one, and it imports none. A tree is a tuple of its kind
and its parts, so trees can be compared, cached and sent to another process.

    scalars     ("num", Fraction) ("const", "pi" | "e" | "i" | "oo") ("var", name)
                ("add", ...) ("mul", ...) ("pow", base, exponent) ("fn", name, ...)
                ("pm", +1 | -1, x) for +-x and -+x
    dressed     ("unit", x, name) ("percent", x) ("deg", x) ("base", digits, base) ("text", words)
    gathered    ("list", ...) bare commas, ("set", ...), ("seq", "()" | "[)" | ..., ...),
                ("matrix", row, ...), ("ratio", ...), ("cup" | "cap" | "minus", a, b), ("reals",),
                ("rel", signs, a, b, ...) a chain such as a < x <= b

A difference is a sum with a product by -1, a quotient a product with a power of -1.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

# Every bound on what is read or computed, but for the work of one verdict: WORK in
# answers/scalars.py, and STEPS of sympy's in answers/judge.py.
MAX_CHARS = 1500  # of an answer
MAX_TOKENS = 500
MAX_DEPTH = 24  # nested brackets, exponents, functions
MAX_ITEMS = 64  # of a list, set, tuple; rows of a matrix
MAX_DIGITS = 300  # of one number as written
MAX_BITS = 6000  # of an integer that exact arithmetic makes: exponent x bits of the base
MAX_EXPONENT = 400  # of a power of something that is no number, and a root's index
MAX_FACTORIAL = 300  # n of n! and of binomials
MAX_SERIES = 200  # terms of a written-out sum or product
MAX_ARGUMENT = 10**6  # of sin, exp, floor, ... when they are computed
MAX_TERMS = 120  # of an expanded polynomial

Tree = tuple  # (kind, part, ...); the parts are trees, names, numbers or tuples of these


class Unreadable(ValueError):
    """The text is not an answer in any form that the parser knows."""


class TooLarge(ValueError):
    """The text, or a value on the way, is past one of the bounds above."""


class Undefined(ArithmeticError):
    """A division by zero, or another value that does not exist."""


def num(value: Fraction | int | str) -> Tree:
    """The tree of a rational number.

    >>> num("1.5")
    ('num', Fraction(3, 2))
    """
    return ("num", Fraction(value))


def invert(tree: Tree) -> Tree:
    """The tree of 1 / tree."""
    if tree[0] == "num" and tree[1]:
        return num(1 / tree[1])
    return ("pow", tree, num(-1))


def negate(tree: Tree) -> Tree:
    """The tree of -tree."""
    return num(-tree[1]) if tree[0] == "num" else product([num(-1), tree])


def product(factors: Iterable[Tree]) -> Tree:
    """The product of some trees; numbers that stand side by side become one.

    Raises TooLarge if that number has more than MAX_BITS bits.

    >>> product([num(2), num("1/2"), ("var", "x")])
    ('mul', ('num', Fraction(1, 1)), ('var', 'x'))
    """
    out = []
    for tree in factors:
        if tree[0] == "num" and out and out[-1][0] == "num":
            tree = num(out.pop()[1] * tree[1])
            if tree[1].numerator.bit_length() + tree[1].denominator.bit_length() > MAX_BITS:
                raise TooLarge(f"a number of more than {MAX_BITS} bits")
        out.append(tree)
    return out[0] if len(out) == 1 else ("mul", *out)


def is_tree(part: object) -> bool:
    """Is this part of a tree a tree of its own, not a name, a number or a row of a matrix?"""
    return isinstance(part, tuple) and bool(part) and isinstance(part[0], str)


def nodes(tree: Tree) -> Iterator[Tree]:
    """The tree and every tree inside it, depth first."""
    yield tree
    for part in tree[1:]:
        if is_tree(part):
            yield from nodes(part)


def substituted(tree: Tree, name: Tree, value: Tree) -> Tree:
    """The tree with `value` wherever `name` stood.

    >>> x = ("var", "x")
    >>> substituted(("pow", x, num(2)), x, num(3))
    ('pow', ('num', Fraction(3, 1)), ('num', Fraction(2, 1)))
    """
    if tree == name:
        return value
    return tuple(substituted(part, name, value) if is_tree(part) else part for part in tree)


def variables(tree: Tree) -> set[str]:
    """The names of the variables in a tree.

    >>> sorted(variables(("add", ("var", "x"), ("mul", num(2), ("var", "y")))))
    ['x', 'y']
    """
    return {node[1] for node in nodes(tree) if node[0] == "var"}


def infinite(tree: Tree) -> int:
    """+1 or -1 for an infinity, else 0."""
    if tree == ("const", "oo"):
        return 1
    if tree[0] == "mul" and tree[-1] == ("const", "oo") and all(n[0] == "num" for n in tree[1:-1]):
        return 1 if tree[1][1] > 0 else -1
    return 0
