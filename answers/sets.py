"""Sets of real numbers: intervals, inequalities in one unknown, their unions and differences.

A part of the rung "structure" of `verifier.py`: -2 < x <= 5 and (-2, 5] are the same set. A set is
a sorted list of pieces (start, end). Each end is a cut between numbers: (v, 0) is the cut just
before v and (v, 1) the cut just after it. So [a, b) is ((a, 0), (b, 0)), and the point {a} is
((a, 0), (a, 1)). The cuts hold rounded numbers; the exact ends are compared after that.
"""

from answers.forms import collected
from answers.scalars import Ladder, value_at
from answers.tree import Tree, infinite, negate, variables

Cut = tuple[float, int]
Pieces = list[tuple[Cut, Cut]]

_LOW, _HIGH = (float("-inf"), 1), (float("inf"), 0)
_LINE = [(_LOW, _HIGH)]


class UnknownEnd(ValueError):
    """An end of an interval, or a point of a set, whose value cannot be computed."""


def is_real_set(tree: Tree) -> bool:
    """Can this tree be nothing but a set of real numbers? (a, b) may be a point of the plane."""
    return tree[0] in ("cup", "cap", "minus", "reals") or (
        tree[0] == "seq" and tree[1] in ("(]", "[)")
    )


def equal_sets(ladder: Ladder, gold: Tree, answer: Tree) -> bool:
    """Are the two trees the same set of real numbers? Not if one of them is none.

    Raises what `Ladder.equal` raises for the ends.

    >>> pi, infinity = ("const", "pi"), ("const", "oo")
    >>> inequality = ("rel", (">=",), ("var", "x"), pi)
    >>> equal_sets(Ladder(), inequality, ("seq", "[)", pi, infinity))
    True
    """
    ends = {}, {}
    try:
        one, two = pieces(gold, ends[0]), pieces(answer, ends[1])
    except UnknownEnd:
        one = two = None
    if one is None or two is None:
        return ladder.by("structure", False, "not both are sets of real numbers")
    if one != two:
        return ladder.by("structure", False, "different sets of real numbers")
    return all(ladder.equal(ends[0][v], ends[1][v]) for v in ends[0].keys() & ends[1].keys())


def pieces(tree: Tree, ends: dict[float, Tree]) -> Pieces | None:
    """The pieces of a set of real numbers, or None if the tree is none.

    `ends` gets the tree of every finite end, under its rounded value. Raises UnknownEnd for an
    end that cannot be computed.
    """
    kind = tree[0]
    if kind == "reals":
        return _LINE
    if kind == "rel":
        return pieces(tree[3], ends) if tree[1] == ("in",) else _solutions(tree, ends)
    if kind == "seq" and len(tree) == 4:
        if any(
            bracket in "[]" and infinite(end)
            for bracket, end in zip(tree[1], tree[2:], strict=True)
        ):
            return None  # infinity is no member
        low = _cut(tree[2], int(tree[1][0] == "("), ends)
        high = _cut(tree[3], int(tree[1][1] == "]"), ends)
        return [(low, high)] if low < high else None
    if kind in ("set", "list"):
        if any(part[0] in ("seq", "rel", "cup") for part in tree[1:]):
            parts = [pieces(part, ends) for part in tree[1:]]
            return None if None in parts else _union([piece for part in parts for piece in part])
        return _union([_point(value, ends) for value in collected(tree)[1:]])
    if kind not in ("cup", "cap", "minus"):
        return None
    one, two = pieces(tree[1], ends), pieces(tree[2], ends)
    if one is None or two is None:
        return None
    if kind == "cup":
        return _union(one + two)
    return _intersection(one, two if kind == "cap" else _complement(two))


def _solutions(tree, ends):
    """-2 < x <= 5, x != 1 and the like: one unknown, alone, among constants; else None."""
    signs, parts = tree[1], tree[2:]
    unknown = [k for k, part in enumerate(parts) if variables(part)]
    if len(unknown) != 1:
        return None
    name = parts[unknown[0]]
    if name[:2] == ("fn", "abs") and len(parts) == 2 and signs[0][0] in "<>":
        return pieces(_without_bars(tree), ends)
    if name[0] != "var":
        return None
    at, found = unknown[0], _LINE
    for k, sign in enumerate(signs):
        if at not in (k, k + 1):
            continue
        bound = parts[k + 1] if k == at else parts[k]
        if sign in ("=", "!="):
            piece = [_point(bound, ends)]
            piece = piece if sign == "=" else _complement(piece)
        elif sign[0] not in "<>":
            return None
        elif (sign[0] == "<") == (k == at):
            piece = [(_LOW, _cut(bound, int("=" in sign), ends))]
        else:
            piece = [(_cut(bound, int("=" not in sign), ends), _HIGH)]
        found = _intersection(found, piece)
    return found


def _without_bars(tree):
    """|x| < b as -b < x and x < b, |x| > b as x < -b or b < x."""
    (sign,), left, right = tree[1:]
    if left[:2] != ("fn", "abs"):
        left, right, sign = right, left, sign.translate(str.maketrans("<>", "><"))
    joint = "cap" if sign[0] == "<" else "cup"
    inner = left[2]
    return (joint, ("rel", (sign,), inner, right), ("rel", (sign,), negate(right), inner))


def _cut(tree, side, ends):
    """The cut before (side 0) or after (side 1) a value; its tree is kept in `ends`."""
    sign = infinite(tree)
    if sign:
        return _HIGH if sign > 0 else _LOW
    try:
        value = value_at(tree, {}, real=True)
    except (ArithmeticError, ValueError, KeyError):  # no value, no scalar, or with a variable
        raise UnknownEnd(f"{tree} is no end of an interval") from None
    if value.imag:
        raise UnknownEnd(f"{tree} is not real")
    rounded = float(f"{float(value.real):.12e}")
    ends[rounded] = tree
    return rounded, side


def _point(tree, ends):
    return _cut(tree, 0, ends), _cut(tree, 1, ends)


def _union(parts):
    """Pieces that may overlap as sorted pieces that do not."""
    found = []
    for low, high in sorted(parts):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def _complement(parts):
    edges = [_LOW, *(edge for piece in parts for edge in piece), _HIGH]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]


def _intersection(one, two):
    return _complement(_union(_complement(one) + _complement(two)))
