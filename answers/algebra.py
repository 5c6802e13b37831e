"""Exact arithmetic: are two scalar trees the same value, with no tolerance at all?

The rung "rational" of the ladder in `verifier.py`. A value is a quotient of two polynomials with
rational coefficients. Its letters are the variables, pi, e, i, primes to fractional powers (the
square root of 12 is 2 * 3^(1/2)), and functions such as sin x or 2^x, which it does not look into.
Two quotients a/b and c/d are equal if a d - b c is zero.

A polynomial is {monomial: coefficient}, a monomial a frozenset of (letter, exponent), a letter a
tuple such as ("var", "x"), ("prime", 3), ("pi",) or ("fn", "sin", its arguments).
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from itertools import product as pairs

from answers.tree import (
    MAX_BITS,
    MAX_EXPONENT,
    MAX_FACTORIAL,
    MAX_TERMS,
    TooLarge,
    Tree,
    Undefined,
    Unreadable,
    num,
    product,
)

Monomial = frozenset  # of (letter, exponent)
Polynomial = dict[Monomial, Fraction]
Quotient = tuple[Polynomial, Polynomial]  # (numerator, denominator)

ONE: Polynomial = {frozenset(): Fraction(1)}
_INDEPENDENT = {"var", "prime", "i", "pi"}  # kinds of letters with no relation that we leave unused


def equal_exactly(
    gold: Tree, answer: Tree, spend: Callable[[int], None] = lambda work: None
) -> bool | None:
    """True or False if exact arithmetic decides whether two scalars are equal, else None.

    It cannot say no where letters may be related in ways that it does not know, as sin x and
    cos x are. `spend` is told how many terms will be multiplied, and may raise TooLarge: a count that
    is the same whether or not the forms are cached. Raises what `normal_form` raises.

    >>> x, two = ("var", "x"), num(2)
    >>> equal_exactly(("mul", two, x), ("add", x, x)), equal_exactly(("pow", x, two), x)
    (True, False)
    >>> equal_exactly(("fn", "sin", x), ("fn", "cos", x))
    """
    (top1, bottom1), (top2, bottom2) = normal_form(gold), normal_form(answer)
    spend(len(top1) * len(bottom2) + len(top2) * len(bottom1))
    rest = add(multiply(top1, bottom2), multiply(top2, bottom1), -1)
    if not rest:
        return True
    kinds = {letter[0] for mono in rest for letter, _ in mono}
    return False if kinds <= _INDEPENDENT else None


@lru_cache(maxsize=4096)
def normal_form(tree: Tree) -> Quotient:
    """The quotient of polynomials that a scalar tree is; `equal_exactly` compares two of them.

    Raises Undefined (division by zero, infinity), TooLarge, or Unreadable for what is no scalar.

    >>> normal_form(("pow", num(12), num("1/2")))[0]
    {frozenset({(('prime', 3), Fraction(1, 2))}): Fraction(2, 1)}
    """
    kind, *rest = tree
    if kind == "num":
        return ({frozenset(): tree[1]} if tree[1] else {}), ONE
    if kind == "var" or kind == "const":
        letter = tree if kind == "var" else (tree[1],)
        if letter == ("oo",):
            raise Undefined("infinity")
        return {frozenset([(letter, Fraction(1))]): Fraction(1)}, ONE
    if kind == "add":
        top, bottom = {}, ONE
        for part in rest:
            other, under = normal_form(part)
            if under == bottom:
                top = add(top, other)
            else:
                top = add(multiply(top, under), multiply(other, bottom))
                bottom = multiply(bottom, under)
        return top, bottom
    if kind == "mul":
        top, bottom = ONE, ONE
        for part in rest:
            other, under = normal_form(part)
            top = multiply(top, other) if top is not ONE else other
            bottom = bottom if under is ONE else multiply(bottom, under)
        return top, bottom
    if kind == "pow":
        return _power(normal_form(rest[0]), normal_form(rest[1]))
    if kind == "fn":
        return _exact_function(rest[0], [normal_form(part) for part in rest[1:]])
    if kind == "percent":
        return normal_form(product([rest[0], num(Fraction(1, 100))]))
    if kind == "deg":
        return normal_form(product([rest[0], ("const", "pi"), num(Fraction(1, 180))]))
    raise Unreadable(f"{kind} is no number")


def _monomial(exponents: dict) -> tuple[Monomial, Fraction]:
    """(monomial, coefficient) of a product of powers: 12^(1/2) = 2 3^(1/2), i^3 = -i."""
    factor, out = Fraction(1), []
    for letter, power in exponents.items():
        if letter[0] == "prime":
            whole = power.numerator // power.denominator
            if abs(whole) * letter[1].bit_length() > MAX_BITS:
                raise TooLarge("a power of too many bits")
            factor *= Fraction(letter[1]) ** whole
            power -= whole
        elif letter[0] == "i":
            factor *= -1 if power % 4 >= 2 else 1
            power %= 2
        if power:
            out.append((letter, power))
    return frozenset(out), factor


def add(p: Polynomial, q: Polynomial, sign: int = 1) -> Polynomial:
    """p + sign * q; raises TooLarge past MAX_TERMS terms."""
    out = dict(p)
    for mono, value in q.items():
        out[mono] = out.get(mono, 0) + sign * value
        if not out[mono]:
            del out[mono]
    if len(out) > MAX_TERMS:
        raise TooLarge("a polynomial of too many terms")
    return out


def multiply(p: Polynomial, q: Polynomial) -> Polynomial:
    """p * q; raises TooLarge past MAX_TERMS terms or MAX_BITS bits in a coefficient."""
    if len(p) * len(q) > 4 * MAX_TERMS:
        raise TooLarge("a polynomial of too many terms")
    out = {}
    for (mono1, a), (mono2, b) in pairs(p.items(), q.items()):
        mono, factor = mono1 or mono2, 1
        if mono1 and mono2:
            powers = dict(mono1)
            for letter, power in mono2:
                powers[letter] = powers.get(letter, 0) + power
            mono, factor = _monomial(powers)
        value = out.get(mono, 0) + a * b * factor
        if value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
            raise TooLarge("a coefficient of too many bits")
        out[mono] = value
    return {mono: value for mono, value in out.items() if value}


def _reciprocal(value):
    """1 / value; a numerator of one term is divided out, so that 1/x is x^-1 over 1."""
    top, bottom = value
    if not top:
        raise Undefined("division by zero")
    if len(top) == 1:
        ((mono, factor),) = top.items()
        mono, more = _monomial({letter: -power for letter, power in mono})
        return multiply(bottom, {mono: more / factor}), ONE
    return bottom, top


def as_fraction(value: Quotient) -> Fraction | None:
    """The rational number that a normal form is, else None."""
    top, bottom = value
    if bottom is ONE and set(top) <= set(ONE):
        return top.get(frozenset(), Fraction(0))
    return None


def _factored(n):
    """{prime: exponent}; a large factor that trial division leaves counts as a prime."""
    out, p = {}, 2
    while p * p <= n and p < 3000:
        while n % p == 0:
            out[p] = out.get(p, 0) + 1
            n //= p
        p += 1 + (p > 2)
    if n > 1:
        out[n] = out.get(n, 0) + 1
    return out


def _root(value, power):
    """value^power for a fractional power; real where a real root exists, (-8)^(1/3) = -2."""
    top, bottom = value
    if bottom is not ONE or len(top) != 1:
        return None
    ((mono, factor),) = top.items()
    powers = {}
    if factor < 0:
        if any(letter[0] in ("var", "fn") for letter, _ in mono):
            return None
        if power.denominator == 2:
            powers[("i",)] = Fraction(power.numerator)
        elif power.denominator % 2 == 0:
            return None
    sign = -1 if factor < 0 and power.denominator % 2 and power.numerator % 2 else 1
    for n, way in ((abs(factor.numerator), 1), (factor.denominator, -1)):
        for prime, count in _factored(n).items():
            powers[("prime", prime)] = way * count * power
    for letter, exponent in mono:
        if letter[0] not in ("prime", "pi", "e") and (letter[0] != "var" or exponent != 1):
            return None
        powers[letter] = powers.get(letter, 0) + exponent * power
    mono, factor = _monomial(powers)
    return {mono: sign * factor}, ONE


def _power(base, exponent):
    """base^exponent of two normal forms."""
    power = as_fraction(exponent)
    if power is None:
        return _closed("pow", base, exponent)
    if power.denominator > 1:
        if abs(power) > MAX_EXPONENT or power.denominator > MAX_EXPONENT:
            raise TooLarge("an exponent or a root too large")
        if not base[0]:
            return base if power > 0 else _reciprocal(base)
        return _root(base, power) or _closed("pow", base, exponent)
    power = power.numerator
    if power < 0:
        base, power = _reciprocal(base), -power
    return _whole_power(base[0], power), _whole_power(base[1], power)


def _whole_power(poly, power):
    """A polynomial to a power >= 0, expanded; refused before it is too large to be computed."""
    if poly is ONE or not poly:
        return poly if power else ONE
    bits = max(c.numerator.bit_length() + c.denominator.bit_length() for c in poly.values())
    if ((bits > 2 or len(poly) > 1) and bits * power > MAX_BITS) or power > 10**6:
        raise TooLarge("a power of too many bits")
    if len(poly) == 1:
        ((mono, factor),) = poly.items()
        mono, more = _monomial({letter: exponent * power for letter, exponent in mono})
        return {mono: factor**power * more}
    if power > 40:
        raise TooLarge("a power of a sum too large to expand")
    out = ONE
    for _ in range(power):
        out = multiply(out, poly)
    return out


def _closed(name, *values):
    """A letter of its own for what this arithmetic does not look into: sin x, 2^x."""
    key = tuple((frozenset(top.items()), frozenset(bottom.items())) for top, bottom in values)
    return {frozenset([(("fn", name, key), Fraction(1))]): Fraction(1)}, ONE


def _exact_function(name, values):
    """A function of normal forms: its value at rational numbers where that is exact."""
    known = [as_fraction(v) for v in values]
    if None in known:
        return _closed(name, *values)
    x = known[0]
    if name in ("factorial", "binom"):
        if any(k.denominator > 1 or k < 0 for k in known):
            raise Undefined(f"{name} of {known}")
        if max(known) > MAX_FACTORIAL:
            raise TooLarge(f"{name} of more than {MAX_FACTORIAL}")
        whole = [int(k) for k in known]
        found = math.comb(*whole) if name == "binom" else math.factorial(whole[0])
    elif name in ("abs", "floor", "ceil"):
        found = {"abs": abs(x), "floor": x // 1, "ceil": -(-x // 1)}[name]
    elif name == "log" and x <= 0:
        raise Undefined("log of no positive number")
    else:
        return _closed(name, *values)
    return ({frozenset(): Fraction(found)} if found else {}), ONE
