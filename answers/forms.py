"""Forms of an answer that say the same: `x = 5` is 5, "no solution" the empty set, 1 +- 2 two values.

Below the rung "structure" of `verifier.py`: these functions turn a tree into the plain one that
`answers.structure` and `answers.sets` compare. They use three kinds that the parser never makes:
("either", a, b, ...) for x = a ~ b, ("chain", a, b, ...) for x = a = b, and
("assign", names, a, b, ...) for x = a, y = b.
"""

from itertools import product as choices_of

from answers.tree import TooLarge, Tree, is_tree, negate, nodes, num, variables
from answers.words import MULTIPLIERS, NUMERALS

COLLECTIONS = ("list", "set", "seq", "assign")

_SAID = dict.fromkeys(("all real numbers", "all reals", "real numbers", "all real"), ("reals",))
_SAID |= dict.fromkeys(("no solution", "no solutions", "none", "empty set"), ("set",))
_SAID |= dict.fromkeys(("no real solution", "no real solutions"), ("set",))
_SAID |= {"infinity": ("const", "oo"), "negative infinity": ("mul", num(-1), ("const", "oo"))}
_SAID |= {name: num(k) for k, name in enumerate(NUMERALS)}
_SAID |= {f"{n} {m}": num(k * v) for k, n in enumerate(NUMERALS) for m, v in MULTIPLIERS.items()}


def is_name(tree: Tree) -> bool:
    """Can it stand left of = as a mere name? x, f(x), AB, angle ABC, |z|, a word."""
    if _derivative(tree):
        return True
    if tree[0] == "mul":
        head = tree[1] in (("var", "angle"), ("var", "triangle"), ("var", "m"))
        return all(
            n[0] == "var" and (n[1].isupper() or n[1] in ("angle", "triangle"))
            for n in (tree[2:] if head else tree[1:])
        )
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
        return _SAID.get(tree[1], tree)
    if tree[0] == "deg":
        return ("unit", tree[1], "degree")
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
    if is_name(parts[0]):
        parts, signs = parts[1:], signs[1:]
    if len(parts) == 1:
        return undressed(parts[0])
    if "=" not in signs:
        return ("either", *parts)
    if any(variables(p) for p in parts) or "~" in signs:
        return tree
    return ("chain", *parts)


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
    ('assign', (('var', 'x'), ('var', 'y')), ('num', Fraction(0, 1)), ('num', Fraction(1, 1)))
    """
    if tree[0] not in COLLECTIONS:
        spread = branches(tree)
        return tree if len(spread) == 1 else ("set", *spread)
    head, items = (tree[:2], tree[2:]) if tree[0] == "seq" else (tree[:1], tree[1:])
    if tree[0] == "list" and all(i[0] == "rel" and i[1] == ("=",) for i in items):
        names = [i[2] for i in items]
        if all(is_name(n) for n in names) and len(set(names)) == len(names) > 1:
            items = sorted(items, key=lambda item: repr(item[2]))
            return ("assign", tuple(i[2] for i in items), *(i[3] for i in items))
    return (*head, *(branch for item in items for branch in branches(undressed(item))))
