r"""The text of an answer -> a small tree, in LaTeX or in plain ASCII and Unicode mathematics.

What `verifier.py` reads answers with. Nothing here evaluates text: it gets one spelling
(`answers.spelling`), a regular expression cuts it into tokens (`answers.tokens`), a recursive descent
reads them, and the tree is made of tuples (`answers.tree` lists the kinds).

>>> read(r"\frac12")
('num', Fraction(1, 2))
>>> read("7+4x")
('add', ('num', Fraction(7, 1)), ('mul', ('num', Fraction(4, 1)), ('var', 'x')))
"""

import re
from fractions import Fraction
from functools import lru_cache

from answers.cursor import Cursor
from answers.spelling import clean, join_thousands
from answers.tokens import tokens
from answers.tree import MAX_ITEMS, TooLarge, Tree, Unreadable, invert, negate, num, product
from answers.values import exponent, primary, spelled, starts
from answers.words import MULTIPLIERS, RELATIONS, is_wordy, unit_name, words

_CHOICE = re.compile(r"\([A-J]\)")  # in brackets it is a choice, not a variable
_ARTICLE = re.compile(r"(?:an?|the)\s+[a-z]{3,}", re.IGNORECASE)
_SCIENCE = re.compile(r"([-+]?\d{1,30}(?:\.\d{1,30})?)[eE]([-+]?\d{1,3})")


@lru_cache(maxsize=4096)
def read(text: str, habit: str = "") -> Tree:
    r"""The tree of an answer; raises Unreadable or TooLarge, nothing else.

    Three habits are ambiguous, and `habit` chooses the less usual reading: "commas" takes 1,234 for
    two numbers, "letters" 5 m for five metres, "formula" 3e-1 for 3 times e, less 1.

    >>> read("3 1/2")
    ('num', Fraction(7, 2))
    >>> read(r"(-\infty, 3]")[:2]
    ('seq', '(]')
    """
    text = clean(text)
    if not text:
        raise Unreadable("an empty answer")
    science = _SCIENCE.fullmatch(text)
    if science and habit != "formula":
        return num(Fraction(science[1]) * Fraction(10) ** int(science[2]))
    if _CHOICE.fullmatch(text):
        return ("text", text[1].lower())
    try:
        if _ARTICLE.fullmatch(text):
            raise Unreadable("words")
        joined = text if habit == "commas" else join_thousands(text)
        return Parser(tokens(joined, habit == "letters")).answer()
    except Unreadable:
        if is_wordy(text):
            return ("text", words(text))
        raise
    except RecursionError:
        raise TooLarge("an answer nested too deeply") from None


class Parser(Cursor):
    """Recursive descent, one method for each level of precedence, loosest first.

    The tightest level, `power`, reads its single values with `answers.values`.
    """

    def answer(self) -> Tree:
        """All the tokens as one answer."""
        if self.peek()[0] == "end":
            raise Unreadable("nothing there")
        tree = self.gathered()
        if self.peek()[0] != "end":
            raise Unreadable(f"{self.peek()[1]} is left over")
        return tree

    def gathered(self, first: Tree | None = None) -> Tree:
        """Items between commas, "and", "or"; a lone one is itself. The first may be read already."""
        items, links = [first or self.item()], []
        while (link := self.link(items[-1])) is not None:
            links.append(link)
            items.append(self.item())
            if len(items) > MAX_ITEMS:
                raise TooLarge(f"more than {MAX_ITEMS} items")
        if len(items) == 1:
            return items[0]
        if "or" in links and any(_spells_word(item) for item in items):
            raise Unreadable("words")
        if all(i[0] == "rel" and set(i[1]) <= {"<", ">", "<=", ">=", "!=", "in"} for i in items):
            return _joined(items, links)
        return ("list", *_paired(items, links))

    def link(self, before: Tree) -> str | None:
        """What joins two items, "," if several do so; nothing need stand between 5 feet 6 inches."""
        link = self.take(",", ";", "and", "or")
        if link is None and before[0] == "unit" and self.peek()[0] == "num":
            return "and"
        while link and (last := self.take("and", "or")):
            link = last
        return link

    def item(self) -> Tree:
        """A chain of relations, a = b < c; a call f(x) on its left counts as a name."""
        parts, signs = [self.call_name() or self.member()], []
        while self.peek()[0] == "op" and self.peek()[1] in RELATIONS:
            signs.append(RELATIONS[self.take()])
            parts.append(self.call_name() or self.member())
        return ("rel", tuple(signs), *parts) if signs else parts[0]

    def call_name(self) -> Tree | None:
        """The f(x) of f(x) = ..., as a name; else None."""
        (kind, name, _), start = self.peek(), 1
        while self.peek(start)[1] == "'" and start < 4:
            start += 1
        _, bracket, gap = self.peek(start)
        if kind != "name" or bracket != "(" or gap:
            return None
        close = next((k for k in range(start + 1, start + 8) if self.peek(k)[1] == ")"), 0)
        sign = self.peek(close + 1)
        if not close or sign[0] != "op" or sign[1] not in ("=", *("<>" if name in "fgh" else "")):
            return None
        inside = "".join(str(self.peek(k)[1]) for k in range(start + 1, close))
        self.at += close + 1
        return ("var", name + "'" * (start - 1) + f"({inside})")

    def member(self) -> Tree:
        """A value with its unit or its sign of money."""
        money = self.peek()[1] if self.peek()[0] == "money" else None
        tree = self.combination()
        if self.peek()[0] == "money":
            money, self.at = self.peek()[1], self.at + 1
        if self.peek()[0] == "text" and tree[0] == "mul" and _spells_word(tree):
            raise Unreadable("words")
        if self.peek()[0] == "text" and tree[0] != "text":
            tree, name = self.unit(tree)
            return ("unit", tree, name or money) if name or money else tree
        return ("unit", tree, money) if money else tree

    def unit(self, tree: Tree) -> tuple[Tree, str]:
        """The words after a number, up to the end of the item: (the number, the unit's name)."""
        parts = []
        while True:
            kind, value, _ = self.peek()
            if kind == "text" and value.lower() in MULTIPLIERS and not parts:
                tree = product([tree, num(MULTIPLIERS[value.lower()])])
            elif kind == "text" or (parts and self.goes_on(parts[-1])):
                parts.append(value)
            elif parts and value == "}":
                pass
            else:
                return tree, unit_name(" ".join(parts).replace("^ ", "^").replace("{ ", ""))
            self.at += 1

    def goes_on(self, last: str) -> bool:
        """Is the next sign a part of the unit that has begun? The s of m/s, the ^ and 2 of m^2."""
        kind, value, _ = self.peek()
        if value in ("^", "/", "{"):
            return self.peek(1)[0] in ("num", "text", "op", "name")
        return (last == "/" and kind == "name") or (kind == "num" and value in ("2", "3"))

    def combination(self) -> Tree:
        """Unions, intersections and differences of sets."""
        tree = self.ratio()
        while (sign := self.take("cup", "cap", "minus")) is not None:
            tree = (sign, tree, self.ratio())
        return tree

    def ratio(self) -> Tree:
        r"""a : b, and TeX's old {a \over b} and {n \choose k}."""
        parts = [self.sum()]
        if self.peek()[0] != "op":
            return parts[0]
        if self.take("choose") is not None:
            return ("fn", "binom", parts[0], self.sum())
        if self.take("over") is not None:
            return product([parts[0], invert(self.sum())])
        while self.bars < 2 and self.take(":") is not None:
            parts.append(self.sum())
        return ("ratio", *parts) if len(parts) > 1 else parts[0]

    def sum(self) -> Tree:
        """Terms between +, -, +- and -+; all reals less a set is a difference of sets."""
        terms, sign = [], self.take("+", "-", "+-", "-+") or "+"
        while sign is not None:
            term = self.term()
            if sign in ("+-", "-+"):
                term = ("pm", 1 if sign == "+-" else -1, term)
            terms.append(negate(term) if sign == "-" else term)
            sign = self.take("+", "-", "+-", "-+")
        if terms[0] == ("reals",) and len(terms) == 2 and terms[1][0] == "mul":
            return ("minus", terms[0], terms[1][-1])
        return terms[0] if len(terms) == 1 else ("add", *terms)

    def term(self) -> Tree:
        """Factors between *, / or nothing."""
        factors = [self.factor()]
        while True:
            sign = self.take("*", "/")
            if sign is not None:
                tree = self.factor()
                factors.append(tree if sign == "*" else invert(tree))
            elif starts(self):
                if self.peek()[0] == "num" and self.cut[self.at - 1][0] == "num":
                    self.powers_only()
                factors.append(self.power())
            else:
                if len(factors) > 1 and any(factor[0] == "text" for factor in factors):
                    raise Unreadable("words")
                return product(factors)

    def powers_only(self) -> None:
        """Two numbers side by side multiply if both have exponents, 2^6 3^5; else Unreadable."""
        gap, both = self.peek()[2], (self.cut[self.at - 2][1], self.peek(1)[1])
        if not gap or both != ("^", "^"):
            raise Unreadable("two numbers side by side")

    def factor(self) -> Tree:
        """A power with its signs: 2 * -3."""
        flip = False
        while (sign := self.take("+", "-")) is not None:
            flip ^= sign == "-"
        tree = self.power()
        return negate(tree) if flip else tree

    def power(self) -> Tree:
        """A value with its marks and exponents: x^2, x_1^2, 3!."""
        tree = self.marked(primary(self))
        while self.take("^") is not None:
            primes = self.primes()
            tree = ("var", tree[1] + primes) if primes else ("pow", tree, exponent(self))
        return self.marked(tree)

    def primes(self) -> str:
        r"""The primes of y^{\prime}, as y' has them; "" for another exponent."""
        braced = self.peek()[1] == "{"
        count = 0
        while self.peek(braced + count)[1] == "'":
            count += 1
        if (
            not count
            or self.cut[self.at - 2][0] not in ("name", "num")
            or (braced and self.peek(1 + count)[1] != "}")
        ):
            return ""
        self.at += count + 2 * braced
        return "'" * count

    def marked(self, tree: Tree) -> Tree:
        """What stands behind a value: n!, 5%, 30 degrees, x_1, x'."""
        if self.peek()[0] != "op":
            return tree
        seen = set()
        while (mark := self.take("!", "%", "deg", "_", "'")) is not None:
            if mark in seen and mark != "'":
                raise Unreadable(f"{mark} twice")
            seen.add(mark)
            if mark == "_":
                if tree[0] != "var":
                    raise Unreadable("a subscript on what is no name")
                stem = tree[1].rstrip("'")
                tree = ("var", f"{stem}_{spelled(self)}{tree[1][len(stem) :]}")
            elif mark == "'":
                tree = ("var", tree[1] + "'") if tree[0] == "var" else tree
            elif mark == "!":
                tree = ("fn", "factorial", tree)
            else:
                tree = ("percent" if mark == "%" else mark, tree)
        return tree


def _spells_word(tree):
    """Is it a word, or a product of letters that may have been one?"""
    return tree[0] == "text" or (tree[0] == "mul" and {n[0] for n in tree[1:]} <= {"var", "const"})


def _joined(inequalities, links):
    """Inequalities in a row as one set: "and" intersects them, so does x in S; "or" unites."""
    each = {sign for tree in inequalities for sign in tree[1]}
    joint = "cap" if "and" in links or "in" in each or each == {"!="} else "cup"
    found = inequalities[0]
    for tree in inequalities[1:]:
        found = (joint, found, tree)
    return found


def _paired(items, links):
    """x=1, y=2 or x=3, y=4 is a list of two lists; other items come back as they are."""
    if not all(item[0] == "rel" for item in items) or not {"or", ";"} & set(links):
        return items
    groups = [items[:1]]
    for item, link in zip(items[1:], links, strict=True):
        if link in ("or", ";"):
            groups.append([])
        groups[-1].append(item)
    if {len(group) for group in groups} == {1} or len({len(group) for group in groups}) > 1:
        return items
    return [("list", *group) for group in groups]
