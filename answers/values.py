r"""One value of an answer, read from its tokens: a number, a name, a bracket, \frac, sin, a matrix.

The lower half of the grammar. A value may hold a whole expression, as (x + 1) does, so each function
takes the `Parser` of `answers.parser` and asks it for what stands inside: `sum`, `item`, `gathered`.
Each steps over what it reads and returns its tree; it raises Unreadable for what does not fit, and
TooLarge past MAX_DEPTH or MAX_ITEMS.
"""

import math
from fractions import Fraction

from answers.cursor import END
from answers.tree import (
    MAX_ITEMS,
    MAX_SERIES,
    TooLarge,
    Tree,
    Unreadable,
    invert,
    negate,
    nodes,
    num,
    product,
    substituted,
)
from answers.words import CASE_WORDS, words

_CLOSING = {"(": (")", "]"), "[": ("]", ")"), "{": ("}",), "\\{": ("\\}", "}")}
_ROUNDING = {"lfloor": ("floor", "rfloor"), "lceil": ("ceil", "rceil")}
_OF_NUMBERS = {
    "max": max,
    "min": min,
    "gcd": lambda values: math.gcd(*map(int, values)),
    "lcm": lambda values: math.lcm(*map(int, values)),
}
_MATRICES = ("pmatrix", "bmatrix", "matrix", "array", "smallmatrix", "Bmatrix")


def starts(parser) -> bool:
    """Can a value begin here, so that it multiplies what stands before it?"""
    kind, value, _ = parser.peek()
    if kind == "op":
        return value in _CLOSING or value in _ROUNDING or (value == "|" and not parser.bars)
    return kind in ("num", "value", "base", "name", "fn", "cmd", "begin", "accent", "wrap")


def primary(parser) -> Tree:
    """One value, without what stands behind it."""
    kind, value, _ = parser.peek()
    if kind == "op":
        return _bracketed(parser, value)
    parser.at += 1
    if kind == "num":
        return _mixed(parser, value)
    if kind == "value":
        return num(value)
    if kind == "base":
        return ("base", *value)
    if kind == "text":
        return ("text", words(value))
    if kind == "name":
        if value in ("reals", "emptyset"):
            return ("reals",) if value == "reals" else ("set",)
        return ("const", value) if value in ("pi", "e", "i", "oo") else ("var", value)
    if kind == "accent":
        return ("var", f"{value} {spelled(parser)}")
    with parser.deeper():
        if kind == "money":
            return parser.factor()
        if kind == "wrap":
            return _wrapped(parser, value)
        if value in ("sum", "prod"):
            return _series(parser, value)
        if kind == "cmd":
            first, second = _argument(parser), _argument(parser)
            return _applied(value, None, [first, second])
        if kind == "fn":
            return _function(parser, value)
        if kind == "begin":
            return _matrix(parser, value)
    raise Unreadable(f"{value or 'the end'} where a value should be")


def _mixed(parser, literal: str) -> Tree:
    r"""A number; 3 1/2 and 3\frac12 are three and a half."""
    whole = num(literal.rstrip("."))
    (kind, value, gap), start = parser.peek(), parser.at
    if not literal.isdigit():
        return whole
    if kind == "num" and gap and value.isdigit() and parser.peek(1)[1] == "/":
        bottom = parser.peek(2)[1]
        if parser.peek(2)[0] == "num" and bottom.isdigit() and int(value) < int(bottom):
            parser.at += 3
            return num(whole[1] + Fraction(int(value), int(bottom)))
    if kind == "cmd" and value == "frac":
        parser.at += 1
        top, bottom = _argument(parser), _argument(parser)
        numbers = top[0] == bottom[0] == "num"
        if numbers and 0 < top[1] < bottom[1] and bottom[1].denominator == 1:
            return num(whole[1] + top[1] / bottom[1])
        parser.at = start
    return whole


def spelled(parser) -> str:
    r"""The text of one argument, for names: x_1, x_{max}, \overline{AB}."""
    if parser.take("{") is None:
        parser.at += 1
        return str(parser.cut[parser.at - 1][1]) if parser.at <= len(parser.cut) else ""
    parts = []
    while parser.take("}") is None:
        if parser.peek()[0] == "end":
            raise Unreadable("an open brace")
        parts.append(str(parser.peek()[1]))
        parser.at += 1
    return "".join(parts)


def exponent(parser) -> Tree:
    """What stands behind ^: a signed value, which may have an exponent of its own."""
    with parser.deeper():
        if parser.take("-") is not None:
            return negate(exponent(parser))
        parser.take("+")
        tree = primary(parser)
        return ("pow", tree, exponent(parser)) if parser.take("^") is not None else tree


def _wrapped(parser, command: str) -> Tree:
    r"""The value in \boxed{x}, \textcolor{red}{x}, or after \color{red}."""
    if command in ("color", "textcolor"):
        spelled(parser)
    return primary(parser) if command == "color" else _argument(parser)


def _argument(parser) -> Tree:
    r"""One argument of a command: a group, or a single sign (\frac12 takes one digit each)."""
    with parser.deeper():
        kind, value, gap = parser.peek()
        if parser.take("{") is not None:
            saved, parser.bars = parser.bars, 0
            tree = parser.gathered()
            parser.need("}")
            parser.bars = saved
            return tree
        if kind == "num" and len(value) > 1 and value.isdigit():
            digits = [("num", value[0], gap), ("num", value[1:], False)]
            parser.cut = [*parser.cut[: parser.at], *digits, *parser.cut[parser.at + 1 :]]
        return primary(parser)


# Brackets.


def _bracketed(parser, opening: str) -> Tree:
    """What begins with a bracket: a group, a tuple, an interval, a set, |x|, a floor."""
    with parser.deeper():
        if opening in _CLOSING and parser.take(opening):
            curly, saved = opening in ("{", "\\{"), parser.bars
            parser.bars = 2 if curly else 0
            tree = _curly_bracket(parser, opening) if curly else _round_bracket(parser, opening)
            parser.bars = saved
            return tree
        if opening == "|" and parser.take("|"):
            parser.bars += 1
            tree = parser.sum()
            parser.need("|")
            parser.bars -= 1
            return ("fn", "abs", tree)
        if opening in _ROUNDING and parser.take(opening):
            name, closing = _ROUNDING[opening]
            tree = parser.sum()
            parser.need(closing)
            return ("fn", name, tree)
    raise Unreadable(f"{opening} where a value should be")


def _round_bracket(parser, opening: str) -> Tree:
    """(x) is x, (1, 2) and [1, 2) are as written; [[1, 2], [3, 4]] is a matrix."""
    closing, items = parser.take(*_CLOSING[opening]), []
    if closing is None:
        inside = parser.gathered()
        closing = parser.need(*_CLOSING[opening])
        items = list(inside[1:]) if inside[0] == "list" else [inside]
    if len(items) == 1 and items[0][0] != "seq":
        return items[0]
    rows = all(item[0] == "seq" and item[1] == "[]" for item in items)
    if opening + closing == "[]" and items and rows and len({len(i) for i in items}) == 1:
        return ("matrix", *(item[2:] for item in items))
    return ("seq", opening + closing, *items)


def _curly_bracket(parser, opening: str) -> Tree:
    """A TeX group {x}, a set {1, 2}, or a set by its condition {x | x > 3}."""
    closing = _CLOSING[opening]
    if parser.take(*closing):
        return ("set",)
    tree = parser.gathered()
    if parser.take("|", ":"):
        parser.bars = 0
        domain = tree[3] if tree[0] == "rel" and tree[1] == ("in",) else ("reals",)
        tree = ("cap", domain, parser.gathered())
        parser.need(*closing)
        return tree
    parser.need(*closing)
    if tree[0] == "list":
        return ("set", *tree[1:])
    return tree if opening == "{" else ("set", tree)


# Functions and environments.


def _function(parser, name: str) -> Tree:
    r"""sin x, \sin^2 x, \log_2(x), \sqrt[3]{x}, binomial(5, 2)."""
    if name == "sqrt":
        index = num(2)
        if parser.take("["):
            index = parser.gathered()
            parser.need("]")
        return ("pow", primary(parser), invert(index))
    if name == "cbrt":
        return ("pow", primary(parser), num(Fraction(1, 3)))
    base = _argument(parser) if parser.take("_") is not None else None
    power = exponent(parser) if parser.take("^") is not None else None
    if power == num(-1) and name[:3] in ("sin", "cos", "tan", "cot", "sec", "csc"):
        name, power = "arc" + name, None
    tree = _applied(name, base, _inputs(parser, name))
    return tree if power is None else ("pow", tree, power)


def _inputs(parser, name: str) -> list[Tree]:
    """What a function is applied to: the items of its bracket, or the product behind it."""
    if parser.peek()[1] in ("(", "[", "{") or (name == "abs" and parser.peek()[1] == "|"):
        inside = primary(parser)
        if inside[0] in ("list", "seq"):
            return list(inside[1:] if inside[0] == "list" else inside[2:])
        return [inside]
    factors = [parser.power()]
    while starts(parser) and parser.peek()[0] != "fn" and parser.peek()[1] not in ("(", "["):
        factors.append(parser.power())
    return [product(factors)]


def _series(parser, name: str) -> Tree:
    r"""\sum_{k=1}^{10} k^2 or a \prod, written out: MAX_SERIES terms at most."""
    swapped = parser.need("_", "^") == "^"
    start = _argument(parser)
    parser.need("_" if swapped else "^")
    last = _argument(parser)
    start, last = (last, start) if swapped else (start, last)
    if start[:2] != ("rel", ("=",)) or {start[3][0], last[0]} != {"num"}:
        raise Unreadable(f"a {name} without whole bounds")
    body = parser.term()
    first, last = start[3][1], last[1]
    if first.denominator * last.denominator != 1 or last < first:
        raise Unreadable(f"a {name} without whole bounds")
    if (last - first + 1) * len(list(nodes(body))) > MAX_SERIES * 10:
        raise TooLarge(f"a {name} of more than {MAX_SERIES} terms")
    terms = [substituted(body, start[2], num(k)) for k in range(int(first), int(last) + 1)]
    return product(terms) if name == "prod" else ("add", *terms)


def _matrix(parser, kind: str) -> Tree:
    r"""The rows between \begin and \end."""
    if kind == "cases":
        return _cases(parser)
    if kind not in _MATRICES:
        raise Unreadable(f"the environment {kind} is not read")
    rows = [[]]
    while parser.peek()[0] != "end" or parser.peek()[1] != kind:
        if parser.take("row"):
            rows.append([])
        elif not parser.take("&"):
            rows[-1].append(parser.sum())
        if parser.peek() == END or len(rows) > MAX_ITEMS:
            raise Unreadable("a matrix that does not end")
    parser.at += 1
    rows = [tuple(row) for row in rows if row]
    if not rows or len({len(row) for row in rows}) > 1:
        raise Unreadable("a matrix with rows of different lengths")
    return ("matrix", *rows)


def _cases(parser) -> Tree:
    r"""The equations between \begin{cases} and \end{cases}, or the (value, condition)s: a list."""
    rows = [_case(parser)]
    while parser.take("row"):
        if parser.peek()[0] != "end":
            rows.append(_case(parser))
        if len(rows) > MAX_ITEMS:
            raise TooLarge(f"more than {MAX_ITEMS} rows")
    if parser.peek()[:2] != ("end", "cases"):
        raise Unreadable("cases that do not end")
    parser.at += 1
    return ("list", *rows)


def _case(parser) -> Tree:
    r"""One row of cases: x + y = 3, or a value, & and its condition as a pair."""
    value, end = parser.item(), parser.at
    parser.take(",")
    if parser.take("&") is None:
        parser.at = end
        return parser.gathered(value)
    while parser.peek()[0] == "text" and parser.peek()[1] in CASE_WORDS:
        parser.at += 1
    condition = parser.gathered()
    parser.take(",")
    return ("seq", "()", value, condition)


def _applied(name, base, inputs):
    """The tree of a function of some values, with the base of a logarithm or None."""
    if name in ("frac", "binom", "log") and len(inputs) == 2:
        first, second = inputs
        if name == "frac":
            return product([first, invert(second)])
        return ("fn", name, first, second)
    if name in _OF_NUMBERS:
        values = [tree[1] for tree in inputs if tree[0] == "num"]
        whole = all(value.denominator == 1 for value in values)
        if len(values) < max(1, len(inputs)) or not (whole or name in ("max", "min")):
            raise Unreadable(f"{name} of what is no number")
        return num(_OF_NUMBERS[name](values))
    if name == "matrix" and inputs[0][0] == "matrix":
        return inputs[0]
    if len(inputs) != 1 or name in ("frac", "binom", "matrix"):
        raise Unreadable(f"{name} of {len(inputs)} values")
    if name == "lg":
        return ("fn", "log", inputs[0], num(10))
    if name == "exp":
        return ("pow", ("const", "e"), inputs[0])
    return ("fn", name, inputs[0]) if base is None else ("fn", name, inputs[0], base)
