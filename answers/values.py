r"""One value of an answer, read from its tokens: a number, a name, a bracket, \frac, sin, a matrix.

The lower half of the grammar of `answers.parser`, which joins values by operators, relations and
commas. The two halves call each other, for (x + 1) is a value with a sum in it; so this one is a
base class that leaves `gathered`, `sum` and `power` to the other.
"""

import math
from fractions import Fraction

from answers.tokens import Token
from answers.tree import (
    MAX_DEPTH,
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

_END = ("end", "", False)
_CLOSING = {"(": (")", "]"), "[": ("]", ")"), "{": ("}",), "\\{": ("\\}", "}")}
_ROUNDING = {"lfloor": ("floor", "rfloor"), "lceil": ("ceil", "rceil")}
_OF_NUMBERS = {
    "max": max,
    "min": min,
    "gcd": lambda values: math.gcd(*map(int, values)),
    "lcm": lambda values: math.lcm(*map(int, values)),
}
_MATRICES = ("pmatrix", "bmatrix", "matrix", "array", "smallmatrix", "Bmatrix")


class Values:
    """A cursor on a list of tokens, and one method for each form of a single value.

    The methods step over what they read and return its tree; they raise Unreadable for what does
    not fit, and TooLarge past MAX_DEPTH or MAX_ITEMS.
    """

    def __init__(self, cut: list[Token]):
        self.cut = cut
        self.at = 0
        self.depth = 0  # of brackets, arguments and exponents
        self.bars = 0  # 1 within |...|, where | closes; 2 within {...}, where | and : part a set

    def gathered(self, first: Tree | None = None) -> Tree:
        """Items between commas; defined in `answers.parser`."""
        raise NotImplementedError

    def item(self) -> Tree:
        """A chain of relations, or a value; defined in `answers.parser`."""
        raise NotImplementedError

    def sum(self) -> Tree:
        """Terms between + and -; defined in `answers.parser`."""
        raise NotImplementedError

    def term(self) -> Tree:
        """Factors between * and /; defined in `answers.parser`."""
        raise NotImplementedError

    def power(self) -> Tree:
        """A value and its exponents; defined in `answers.parser`."""
        raise NotImplementedError

    # The cursor.

    def peek(self, ahead: int = 0) -> Token:
        """The next token, or one further on; ("end", "", False) past the last."""
        place = self.at + ahead
        return self.cut[place] if place < len(self.cut) else _END

    def take(self, *values: str) -> str | None:
        """Step over the next token if it is one of these operators; its value, else None."""
        kind, value, _ = self.peek()
        if kind != "op" or (values and value not in values):
            return None
        self.at += 1
        return value

    def need(self, *values: str) -> str:
        """Like `take`, but raises Unreadable for anything else."""
        found = self.take(*values)
        if found is None:
            raise Unreadable(f"{' or '.join(values)} expected, {self.peek()[1] or 'the end'} found")
        return found

    def deeper(self) -> "_Depth":
        """A context one level down, so that no text can exhaust Python's stack."""
        return _Depth(self)

    # Values.

    def starts(self) -> bool:
        """Can a value begin here, so that it multiplies what stands before it?"""
        kind, value, _ = self.peek()
        if kind == "op":
            return value in _CLOSING or value in _ROUNDING or (value == "|" and not self.bars)
        return kind in ("num", "value", "base", "name", "fn", "cmd", "begin", "accent", "wrap")

    def primary(self) -> Tree:
        """One value, without what stands behind it."""
        kind, value, _ = self.peek()
        if kind == "op":
            return self.bracketed(value)
        self.at += 1
        if kind == "num":
            return self.mixed(value)
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
            return ("var", f"{value} {self.spelled()}")
        with self.deeper():
            if kind == "money":
                return self.primary()
            if kind == "wrap":
                return self.wrapped(value)
            if value in ("sum", "prod"):
                return self.series(value)
            if kind == "cmd":
                first, second = self.argument(), self.argument()
                return _applied(value, None, [first, second])
            if kind == "fn":
                return self.function(value)
            if kind == "begin":
                return self.matrix(value)
        raise Unreadable(f"{value or 'the end'} where a value should be")

    def mixed(self, literal: str) -> Tree:
        r"""A number; 3 1/2 and 3\frac12 are three and a half."""
        whole = num(literal.rstrip("."))
        (kind, value, gap), start = self.peek(), self.at
        if not literal.isdigit():
            return whole
        if kind == "num" and gap and value.isdigit() and self.peek(1)[1] == "/":
            bottom = self.peek(2)[1]
            if self.peek(2)[0] == "num" and bottom.isdigit() and int(value) < int(bottom):
                self.at += 3
                return num(whole[1] + Fraction(int(value), int(bottom)))
        if kind == "cmd" and value == "frac":
            self.at += 1
            top, bottom = self.argument(), self.argument()
            numbers = top[0] == bottom[0] == "num"
            if numbers and 0 < top[1] < bottom[1] and bottom[1].denominator == 1:
                return num(whole[1] + top[1] / bottom[1])
            self.at = start
        return whole

    def spelled(self) -> str:
        r"""The text of one argument, for names: x_1, x_{max}, \overline{AB}."""
        if self.take("{") is None:
            self.at += 1
            return str(self.cut[self.at - 1][1]) if self.at <= len(self.cut) else ""
        parts = []
        while self.take("}") is None:
            if self.peek()[0] == "end":
                raise Unreadable("an open brace")
            parts.append(str(self.peek()[1]))
            self.at += 1
        return "".join(parts)

    def exponent(self) -> Tree:
        """What stands behind ^: a signed value, which may have an exponent of its own."""
        with self.deeper():
            if self.take("-") is not None:
                return negate(self.exponent())
            self.take("+")
            tree = self.primary()
            return ("pow", tree, self.exponent()) if self.take("^") is not None else tree

    def wrapped(self, command: str) -> Tree:
        r"""The value in \boxed{x}, \textcolor{red}{x}, or after \color{red}."""
        if command in ("color", "textcolor"):
            self.spelled()
        return self.primary() if command == "color" else self.argument()

    def argument(self) -> Tree:
        r"""One argument of a command: a group, or a single sign (\frac12 takes one digit each)."""
        with self.deeper():
            kind, value, gap = self.peek()
            if self.take("{") is not None:
                saved, self.bars = self.bars, 0
                tree = self.gathered()
                self.need("}")
                self.bars = saved
                return tree
            if kind == "num" and len(value) > 1 and value.isdigit():
                digits = [("num", value[0], gap), ("num", value[1:], False)]
                self.cut = [*self.cut[: self.at], *digits, *self.cut[self.at + 1 :]]
            return self.primary()

    # Brackets.

    def bracketed(self, opening: str) -> Tree:
        """What begins with a bracket: a group, a tuple, an interval, a set, |x|, a floor."""
        with self.deeper():
            if opening in _CLOSING and self.take(opening):
                curly, saved = opening in ("{", "\\{"), self.bars
                self.bars = 2 if curly else 0
                tree = self.curly(opening) if curly else self.round(opening)
                self.bars = saved
                return tree
            if opening == "|" and self.take("|"):
                self.bars += 1
                tree = self.sum()
                self.need("|")
                self.bars -= 1
                return ("fn", "abs", tree)
            if opening in _ROUNDING and self.take(opening):
                name, closing = _ROUNDING[opening]
                tree = self.sum()
                self.need(closing)
                return ("fn", name, tree)
        raise Unreadable(f"{opening} where a value should be")

    def round(self, opening: str) -> Tree:
        """(x) is x, (1, 2) and [1, 2) are as written; [[1, 2], [3, 4]] is a matrix."""
        closing, items = self.take(*_CLOSING[opening]), []
        if closing is None:
            inside = self.gathered()
            closing = self.need(*_CLOSING[opening])
            items = list(inside[1:]) if inside[0] == "list" else [inside]
        if len(items) == 1 and items[0][0] != "seq":
            return items[0]
        rows = all(item[0] == "seq" and item[1] == "[]" for item in items)
        if opening + closing == "[]" and items and rows and len({len(i) for i in items}) == 1:
            return ("matrix", *(item[2:] for item in items))
        return ("seq", opening + closing, *items)

    def curly(self, opening: str) -> Tree:
        """A TeX group {x}, a set {1, 2}, or a set by its condition {x | x > 3}."""
        closing = _CLOSING[opening]
        if self.take(*closing):
            return ("set",)
        tree = self.gathered()
        if self.take("|", ":"):
            self.bars = 0
            domain = tree[3] if tree[0] == "rel" and tree[1] == ("in",) else ("reals",)
            tree = ("cap", domain, self.gathered())
            self.need(*closing)
            return tree
        self.need(*closing)
        if tree[0] == "list":
            return ("set", *tree[1:])
        return tree if opening == "{" else ("set", tree)

    # Functions and environments.

    def function(self, name: str) -> Tree:
        r"""sin x, \sin^2 x, \log_2(x), \sqrt[3]{x}, binomial(5, 2)."""
        if name == "sqrt":
            index = num(2)
            if self.take("["):
                index = self.gathered()
                self.need("]")
            return ("pow", self.primary(), invert(index))
        if name == "cbrt":
            return ("pow", self.primary(), num(Fraction(1, 3)))
        base = self.argument() if self.take("_") is not None else None
        power = self.exponent() if self.take("^") is not None else None
        if power == num(-1) and name[:3] in ("sin", "cos", "tan", "cot", "sec", "csc"):
            name, power = "arc" + name, None
        tree = _applied(name, base, self.inputs(name))
        return tree if power is None else ("pow", tree, power)

    def inputs(self, name: str) -> list[Tree]:
        """What a function is applied to: the items of its bracket, or the product behind it."""
        if self.peek()[1] in ("(", "[", "{") or (name == "abs" and self.peek()[1] == "|"):
            inside = self.primary()
            if inside[0] in ("list", "seq"):
                return list(inside[1:] if inside[0] == "list" else inside[2:])
            return [inside]
        factors = [self.power()]
        while self.starts() and self.peek()[0] != "fn" and self.peek()[1] not in ("(", "["):
            factors.append(self.power())
        return [product(factors)]

    def series(self, name: str) -> Tree:
        r"""\sum_{k=1}^{10} k^2 or a \prod, written out: MAX_SERIES terms at most."""
        self.need("_")
        start = self.argument()
        self.need("^")
        last = self.argument()
        if start[:2] != ("rel", ("=",)) or {start[3][0], last[0]} != {"num"}:
            raise Unreadable(f"a {name} without whole bounds")
        body = self.term()
        first, last = start[3][1], last[1]
        if first.denominator * last.denominator != 1 or last < first:
            raise Unreadable(f"a {name} without whole bounds")
        if (last - first + 1) * len(list(nodes(body))) > MAX_SERIES * 10:
            raise TooLarge(f"a {name} of more than {MAX_SERIES} terms")
        terms = [substituted(body, start[2], num(k)) for k in range(int(first), int(last) + 1)]
        return product(terms) if name == "prod" else ("add", *terms)

    def matrix(self, kind: str) -> Tree:
        r"""The rows between \begin and \end."""
        if kind == "cases":
            return self.cases()
        if kind not in _MATRICES:
            raise Unreadable(f"the environment {kind} is not read")
        rows = [[]]
        while self.peek()[0] != "end" or self.peek()[1] != kind:
            if self.take("row"):
                rows.append([])
            elif not self.take("&"):
                rows[-1].append(self.sum())
            if self.peek() == _END or len(rows) > MAX_ITEMS:
                raise Unreadable("a matrix that does not end")
        self.at += 1
        rows = [tuple(row) for row in rows if row]
        if not rows or len({len(row) for row in rows}) > 1:
            raise Unreadable("a matrix with rows of different lengths")
        return ("matrix", *rows)

    def cases(self) -> Tree:
        r"""The equations between \begin{cases} and \end{cases}, or the (value, condition)s: a list."""
        rows = [self.case()]
        while self.take("row"):
            if self.peek()[0] != "end":
                rows.append(self.case())
            if len(rows) > MAX_ITEMS:
                raise TooLarge(f"more than {MAX_ITEMS} rows")
        if self.peek()[:2] != ("end", "cases"):
            raise Unreadable("cases that do not end")
        self.at += 1
        return ("list", *rows)

    def case(self) -> Tree:
        r"""One row of cases: x + y = 3, or a value, & and its condition as a pair."""
        value, end = self.item(), self.at
        self.take(",")
        if self.take("&") is None:
            self.at = end
            return self.gathered(value)
        while self.peek()[0] == "text" and self.peek()[1] in CASE_WORDS:
            self.at += 1
        condition = self.gathered()
        self.take(",")
        return ("seq", "()", value, condition)


class _Depth:
    """Counts how deep the descent is."""

    def __init__(self, parser):
        self.parser = parser

    def __enter__(self):
        self.parser.depth += 1
        if self.parser.depth > MAX_DEPTH:
            raise TooLarge(f"brackets more than {MAX_DEPTH} deep")

    def __exit__(self, *_):
        self.parser.depth -= 1


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
