"""What is more than one number: lists, tuples, matrices, equations, units, item by item.

The rung "structure" of the ladder in `verifier.py`. It pairs the parts of the two answers. Sets of
real numbers go to `answers.sets`, pairs of scalars up the rungs of `answers.scalars`.
"""

from fractions import Fraction

from answers.algebra import multiply, normal_form
from answers.forms import COLLECTIONS, collected, undressed, value_of_sum
from answers.scalars import Ladder
from answers.sets import UnknownEnd, equal_sets, is_real_set, pieces
from answers.tree import Tree, invert, negate, num, product, variables

_SAME_WORDS = {"dne": "does not exist", "undefined": "does not exist", "true": "yes", "false": "no"}
_INEQUALITIES = {"<", ">", "<=", ">=", "!="}


def same(ladder: Ladder, gold: Tree, answer: Tree) -> bool:
    """Are the two trees worth the same? Dispatches on what they are.

    Raises what `Ladder.equal` raises for the scalars in them.

    >>> one, two = num(1), num(2)
    >>> same(Ladder(), ("list", one, two), ("set", two, one))
    True
    >>> same(Ladder(), ("seq", "()", one, two), ("seq", "()", two, one))
    False
    """
    if gold[0] != "rel" and (value := value_of_sum(answer)) is not None:
        answer = value
    if "rel" in (undressed(gold)[0], undressed(answer)[0]):
        return _same_relation(ladder, gold, answer)
    if _names_clash(gold, answer):
        if variables(gold[3]) and variables(answer[3]):  # x = y + 1 and y = x - 1
            return _same_relation(ladder, gold, answer)
        return ladder.by("structure", False, "two different unknowns")
    gold, answer = undressed(gold), undressed(answer)
    if gold[0] in _QUANTIFIERS:
        return _QUANTIFIERS[gold[0]](same(ladder, part, answer) for part in gold[1:])
    if answer[0] in _QUANTIFIERS:
        return _QUANTIFIERS[answer[0]](same(ladder, gold, part) for part in answer[1:])
    kinds = {gold[0], answer[0]}
    for kind, compare in _DRESSED.items():
        if kind in kinds:
            return compare(ladder, gold, answer)
    gold, answer = _multiplied_out(gold), _multiplied_out(answer)
    if gold[0] == "matrix" or answer[0] == "matrix":
        return _same_matrix(ladder, gold, answer)
    if is_real_set(gold) or is_real_set(answer):
        return equal_sets(ladder, gold, answer)
    gold, answer = collected(gold), collected(answer)
    if gold[0] in COLLECTIONS or answer[0] in COLLECTIONS:
        return _same_items(ladder, gold, answer)
    return ladder.equal(gold, answer)


def _names_clash(gold, answer):
    """x = 5 and y = 5: both name an unknown, in one letter, and not the same."""
    names = [n[2] for n in (gold, answer) if n[0] == "rel" and n[1] == ("=",)]
    if len(names) < 2 or names[0] == names[1]:
        return False
    kinds = {n[0] for n in names}
    return kinds == {"fn"} or (kinds == {"var"} and all(len(n[1]) == 1 for n in names))


# What is written around a number: words, units, per cent, a base, ratios.


def as_word(tree: Tree) -> str:
    """The word that a text, a name or a product of one-letter names spells, in lower case; or "".

    >>> as_word(("mul", ("var", "N"), ("var", "o")))
    'no'
    """
    if tree[0] == "mul" and all(n[0] in ("var", "const") for n in tree[1:]):
        return "".join(n[1] for n in tree[1:]).lower()
    if tree[0] == "list":
        return " ".join(map(as_word, tree[1:]))
    return tree[1].lower().removeprefix("bold ") if tree[0] in ("text", "var", "const") else ""


def _same_text(ladder, gold, answer):
    one, two = (_SAME_WORDS.get(word, word) for word in (as_word(gold), as_word(answer)))
    return ladder.by("string", bool(one) and one == two, f"words: {one!r}, {two!r}")


def _same_unit(ladder, gold, answer):
    """A bare number matches one with a unit; two units must be the same, none is converted."""
    if gold[0] == answer[0] and gold[2] and answer[2] and gold[2] != answer[2]:
        return ladder.by("structure", False, f"units: {gold[2]}, {answer[2]}")
    return same(ladder, *(n[1] if n[0] == "unit" else n for n in (gold, answer)))


def _same_percent(ladder, gold, answer):
    """35% is 35%, 35 and 0.35."""
    if gold[0] == answer[0]:
        return same(ladder, gold[1], answer[1])
    inner, plain = (gold[1], answer) if gold[0] == "percent" else (answer[1], gold)
    hundredth = product([inner, num(Fraction(1, 100))])
    return same(ladder, inner, plain) or same(ladder, hundredth, plain)


def _same_in_base(ladder, gold, answer):
    """52 matches 52_8, since the question named the base; 52_9 does not."""
    (digits1, base1), (digits2, base2) = _in_base(gold), _in_base(answer)
    agree = base1 == base2 or None in (base1, base2)
    return ladder.by("structure", digits1 == digits2 and agree, "digits and base")


def _in_base(tree):
    """(digits, base) of a number, the base None if it is not named; no digits if it is none."""
    if tree[0] == "base":
        return tree[1].upper().lstrip("0") or "0", tree[2]
    digits = tree[1:] if tree[0] == "mul" else [tree]
    whole = [n[0] == "num" and n[1].denominator == 1 and n[1] >= 0 for n in digits]
    if all(w or n[0] == "var" for w, n in zip(whole, digits, strict=True)):
        return "".join(str(n[1]) for n in digits).upper(), None
    return None, None


def _same_ratio(ladder, gold, answer):
    """1:2 is 2:4 and 1/2; with a zero in it, 1:00 is a time of day."""
    if gold[0] == answer[0]:
        if num(0) in gold + answer:
            return gold == answer
        return len(gold) == len(answer) and all(
            ladder.equal(product([g, answer[1]]), product([a, gold[1]]))
            for g, a in zip(gold[1:], answer[1:], strict=True)
        )
    if any(n[0] == "ratio" and len(n) != 3 for n in (gold, answer)):
        return False
    values = [product([n[1], invert(n[2])]) if n[0] == "ratio" else n for n in (gold, answer)]
    return same(ladder, *values)


_QUANTIFIERS = {"chain": all, "either": any}
_DRESSED = {  # the first that either side is
    "text": _same_text,
    "unit": _same_unit,
    "percent": _same_percent,
    "base": _same_in_base,
    "ratio": _same_ratio,
}


# What has items: matrices, tuples, sets, lists.


def _multiplied_out(tree):
    """A number times a matrix, entry by entry; any other tree as it is."""
    if tree[0] != "mul" or sum(n[0] == "matrix" for n in tree[1:]) != 1:
        return tree
    rest = [n for n in tree[1:] if n[0] != "matrix"]
    rows = next(n for n in tree[1:] if n[0] == "matrix")[1:]
    return ("matrix", *(tuple(product([*rest, entry]) for entry in row) for row in rows))


def _same_matrix(ladder, gold, answer):
    """Entry by entry; a matrix of one column or row may be written as a tuple."""
    shapes = [(len(n) - 1, len(n[1])) if n[0] == "matrix" else None for n in (gold, answer)]
    if None not in shapes and shapes[0] != shapes[1]:
        return ladder.by("structure", False, f"shapes: {shapes}")
    flat = []
    for tree in (gold, answer):
        if tree[0] == "matrix":
            if None in shapes and 1 not in (len(tree) - 1, len(tree[1])):
                return ladder.by("structure", False, "one is no matrix")
            flat.append([entry for row in tree[1:] for entry in row])
        elif tree[0] == "seq":
            flat.append(list(tree[2:]))
        else:
            return ladder.by("structure", False, "one is no matrix")
    return len(flat[0]) == len(flat[1]) and all(
        same(ladder, g, a) for g, a in zip(*flat, strict=True)
    )


def _same_items(ladder, gold, answer):
    """Sets and bare lists without order, tuples with it, intervals with their brackets."""
    gold, answer = _assigned(gold, answer)
    if gold[0] == answer[0] == "assign" and gold[1] != answer[1]:
        return ladder.by("structure", False, "different unknowns")
    items, kinds = [_items(gold), _items(answer)], (gold[0], answer[0])
    if "set" in (gold[0], answer[0]) and {gold[0], answer[0]} <= {"set", "list"}:
        items = [list(dict.fromkeys(each)) for each in items]  # {1, 2, 2} is {1, 2}
    elif {*kinds, *(item[0] for each in items for item in each)} == {"list", "seq"}:
        items = [list(dict.fromkeys(each)) for each in items]  # points have no multiplicity
    if len(items[0]) != len(items[1]):
        return ladder.by("structure", False, f"{len(items[0])} items, {len(items[1])} items")
    if kinds == ("seq", "seq") and gold[1] != answer[1] and len(items[0]) == 2:
        return ladder.by("structure", False, f"brackets: {gold[1]}, {answer[1]}")
    if "seq" in kinds and (
        set(kinds) & {"set"} or ("[" in str(gold[1]) + str(answer[1]) and "list" in kinds)
    ):
        return ladder.by("structure", False, "a set is no tuple, a list no interval")
    if set(kinds) & {"seq", "assign"}:
        return all(same(ladder, g, a) for g, a in zip(*items, strict=True))
    left = items[1]
    for item in items[0]:
        found = next((k for k, other in enumerate(left) if same(ladder, item, other)), None)
        if found is None:
            return ladder.by("structure", False, "an item without a partner")
        del left[found]
    return True


def _assigned(gold, answer):
    """x=1, y=2 in the order in which the other side takes the values.

    Two such answers go by their names, and so does one beside a gold tuple, which is (x, y). An
    answer without names goes by the order of the gold.
    """
    if answer[0] == "assign":
        return _by_name(gold), _by_name(answer)
    return gold, answer


def _by_name(tree):
    if tree[0] != "assign":
        return tree
    pairs = sorted(zip(tree[1], tree[2:], strict=True), key=lambda pair: repr(pair[0]))
    return ("assign", tuple(name for name, _ in pairs), *(value for _, value in pairs))


def _items(tree):
    """The items of a collection; another value is its own only item."""
    if tree[0] in ("seq", "assign"):
        return list(tree[2:])
    return list(tree[1:]) if tree[0] in COLLECTIONS else [tree]


# Equations and inequalities.


def _same_relation(ladder, gold, answer):
    """Equations up to a constant factor; inequalities as sets, or up to a positive factor."""
    kinds = [_relation_kind(gold), _relation_kind(answer)]
    if "inequality" in kinds:
        solved = _solved(gold, answer)
        if solved == [True, True]:
            return equal_sets(ladder, gold, answer)
        if True in solved:
            return ladder.by("structure", False, "an unsolved inequality")
    if kinds[0] != kinds[1] or kinds[0] not in ("equation", "inequality"):
        return ladder.by("structure", False, f"{kinds[0]} and {kinds[1]}")
    if len(gold) != len(answer):
        return ladder.by("structure", False, "chains of different lengths")
    if len(gold) != 4:
        return gold == answer
    if any(undressed(n) != n and not variables(undressed(n)) for n in (gold, answer)):
        return ladder.by("structure", False, "an unsolved equation")
    (gap1, sign1), (gap2, sign2) = _gap(gold), _gap(answer)
    return sign1 == sign2 and _proportional(ladder, gap1, gap2, positive=sign1[0] == ">")


def _relation_kind(tree):
    if tree[0] != "rel":
        return tree[0]
    if set(tree[1]) <= _INEQUALITIES:
        return "inequality"
    return "equation" if tree[1] == ("=",) else "rel"


def _solved(gold, answer):
    """Which of the two say what their unknown is? Nothing of both if an end is not known."""
    try:
        return [pieces(tree, {}) is not None for tree in (gold, answer)]
    except UnknownEnd:
        return []


def _gap(tree):
    """(left - right, sign) of a relation of two sides, turned around if its sign is < or <=."""
    (sign,), left, right = tree[1:]
    if sign[0] == "<":
        left, right = right, left
    return ("add", left, negate(right)), sign.replace("<", ">")


def _proportional(ladder, gold, answer, positive):
    """Is gold a constant times answer? sympy is asked where functions may be related."""
    (top1, bottom1), (top2, bottom2) = normal_form(gold), normal_form(answer)
    one, two = multiply(top1, bottom2), multiply(top2, bottom1)
    if not one or not two:
        return ladder.by("rational", one == two)
    if one.keys() == two.keys():
        ratios = {one[mono] / two[mono] for mono in one}
        if len(ratios) == 1:
            return ladder.by("rational", not positive or ratios.pop() > 0, "a constant factor")
    if positive or {letter[0] for p in (one, two) for mono in p for letter, _ in mono} <= {"var"}:
        return ladder.by("rational", False, "no constant factor")
    return ladder.judged(gold, answer, "ratio", 0)
