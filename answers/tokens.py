"""The text of an answer, in the one spelling of `answers.spelling`, -> tokens.

`answers.parser` makes a tree of the tokens. A token is (kind, value, was there a space before it?).
A regular expression cuts the text; one function for each family of its groups then says what the
piece is, by the vocabulary of `answers.words`.
"""

import re
from fractions import Fraction

from answers.spelling import join_thousands
from answers.tree import MAX_DIGITS, MAX_TOKENS, TooLarge, Unreadable
from answers.words import (
    ACCENTS,
    BASES,
    CASE_WORDS,
    CONSTANTS,
    FONT,
    FUNCTIONS,
    GREEK,
    OPERATORS,
    PLAIN_WORDS,
    is_plain,
    is_unit,
    split_names,
)

Token = tuple[str, object, bool]


_TOKEN = re.compile(
    r"""
  (?P<row>\\\\(?:\s*\[[\d.]+\s*[a-z]*\])?)
| (?P<skip>\s+|~|\\(?:[hv]space|[hv]?phantom)\*?\s*\{[^{}]*\}|\\[,;:!>\ ]|\$|\\[()\[\]]
  |\\(?:left|right|[bB]igg?[lrm]?|(?:display|text)style|limits|q?quad|enspace|(?:neg)?(?:thin|med|thick)space|rm|bf|it|mathop|mathord
    |boldsymbol|bm|hline|large|Large)(?![A-Za-z])\.?
  |(?:(?<=\d)|\^\s*\{?\s*)(?:\\(?:text|mathrm)\s*\{)?(?:st|nd|rd|th)\b\}*)
| (?P<text>"""
    + FONT
    + r"""\s*\{(?P<inner>[^{}]*)\})
| \\(?P<env>begin|end)\s*\{(?P<kind>[a-zA-Z]+)\*?\}(?:\s*\{[lcr|\s]*\})?
| (?P<deg>(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree(?![a-zA-Z])|°)
  (?:\s*(?:\\(?:text|mathrm)\s*\{\s*[CF]\s*\}|[CF]\b))?)
| (?P<rep>(?P<whole>\d*)\.(?P<fixed>\d*)(?:\\(?:overline|bar|dot)\s*\{?\s*(?P<cycle>\d+)\s*\}?
  |\((?P<cycle2>\d+)\)))
| (?P<dots>\d*\.(?P<tail>\d+)(?:\.\.\.|…|\\[lc]?dots(?![a-z])))
| (?P<base>(?<![A-Za-z])(?P<digits>\d+|(?:\d[0-9A-Fa-f]*|[A-F][0-9A-F]+)(?=_\s*\{?\s*\(?1[1-6]))_\s*
  (?:\{\s*\(?(?P<radix>\d+)\)?\s*\}|(?P<radix1>\d+)|\{\s*(?P<radixword>"""
    + "|".join(BASES)
    + r""")\s*\}))
| (?P<num>\d+\.\d+|\d+\.(?=\s*(?:[-+*/^)}]|$))|\d+|\.\d+)
| \\(?P<cmd>[A-Za-z]+)
| (?P<word>[A-Za-z]+)
| (?P<op>\*\*|<=|>=|=<|!=|==|\+/?-|\.\.\.|\\[{}%$|&]|.)
""",
    re.VERBOSE | re.DOTALL,
)


def tokens(text: str, letters: bool = False) -> list[Token]:
    """Cut cleaned text into (kind, value, space before?) triples.

    `letters` reads a lone m, s, g, ... after a number as a unit, not as a variable. Raises
    TooLarge past MAX_TOKENS or MAX_DIGITS, Unreadable for a LaTeX command that is not known.

    >>> tokens("5 m"), tokens("5 m", letters=True)[1]
    ([('num', '5', False), ('name', 'm', True)], ('text', 'm', True))
    """
    out, pos, spaced = [], 0, False
    while pos < len(text):
        match = _TOKEN.match(text, pos)
        pos = match.end()
        if match.lastgroup == "skip":
            spaced = True
            continue
        start = len(out)
        _CUTTERS.get(match.lastgroup, _cut_structure)(match, out, spaced, letters)
        spaced = spaced and len(out) == start
        if len(out) > MAX_TOKENS:
            raise TooLarge(f"an answer of more than {MAX_TOKENS} signs")
    return out


# Each cutter appends the tokens of one match to `out`, the tokens so far.


def _cut_number(match, out, spaced, _letters):
    """12, 1.5, 0.1(6), 0.333..., 52_8."""
    if len(match[0]) > MAX_DIGITS:
        raise TooLarge(f"a number of {len(match[0])} digits; the bound is {MAX_DIGITS}")
    if match.lastgroup == "num":
        out.append(("num", match[0], spaced))
    elif match["dots"]:
        out.append(("value", _dotted(match["dots"], match["tail"]), spaced))
    elif match["digits"]:
        radix = match["radix"] or match["radix1"] or BASES[match["radixword"]]
        if max(int(digit, 36) for digit in match["digits"]) >= int(radix):
            raise Unreadable(f"{match['digits']} is no number in base {radix}")
        out.append(("base", (match["digits"], int(radix)), spaced))
    else:
        cycle = match["cycle"] or match["cycle2"]
        out.append(("value", _repeating(match["whole"], match["fixed"], cycle), spaced))


def _repeating(whole, fixed, cycle):
    """The fraction that a repeating decimal is: ("0", "1", "6") is 0.1666... = 1/6."""
    scale = 10 ** len(fixed)
    value = Fraction(int(cycle), scale * (10 ** len(cycle) - 1))
    return int(whole or 0) + Fraction(int(fixed or 0), scale) + value


def _dotted(literal, tail):
    """0.1666... -> 1/6: the shortest block that ends the digits and stands there twice."""
    for size in range(1, len(tail) // 2 + 1):
        block = tail[-size:]
        if tail.endswith(block * (3 if size == 1 and len(tail) > 2 else 2)):
            fixed = re.sub(f"(?:{block})+$", "", tail)
            return _repeating(literal.split(".")[0], fixed, block)
    raise Unreadable("a decimal that goes on, but not how")


def _cut_text(match, out, spaced, letters):
    """\\text{...}: a link such as "and", a function's or a variable's name, a formula, or words."""
    inner = match["inner"].strip(" ~\\,.:;")
    low = inner.lower()
    digits = any(c.isdigit() for c in inner)
    if not inner:
        return
    if ("," in inner or " and " in inner) and not digits:
        for part in filter(str.strip, inner.replace(" and ", ",").split(",")):
            comma = [("op", ",", False)] if out and out[-1][0] == "text" else []
            out += [*comma, ("text", part.strip(), spaced)]
    elif low in _LINKS and (low != "in" or not _after_number(out)):
        out.append(("op", _LINKS[low], True))
    elif inner in FUNCTIONS:
        out.append(("fn", FUNCTIONS[inner], spaced))
    elif inner in ("i", "e") and match[0].startswith("\\math"):
        out.append(("name", inner, spaced))
    elif (
        match[0].startswith("\\math")
        and re.fullmatch("[^\\W\\d]", inner)
        and not _after_number(out)
    ):
        name = inner if "bf" not in match[0] else "bold " + inner
        out.append(("name", name, spaced))
    elif not low.islower() or (digits and not _POWER_OF_UNIT.match(inner)):
        out.extend(tokens(join_thousands(inner), letters))
    else:
        out.append(("text", inner, spaced))


def _after_number(out):
    """Does the last token end a value, so that a unit may follow?"""
    kind, value = out[-1][:2] if out else ("", "")
    return kind in ("num", "value") or value in (")", "}", "pi", "|")


def _cut_word(match, out, spaced, letters):
    """A run of letters: a link, a constant, a function, a unit or a word, else a product."""
    word, low = match[0], match[0].lower()
    after = _after_number(out)
    if word in _MONEY and not after:
        out.append(("money", _MONEY[word], spaced))
    elif low == "choose" and after:
        out.append(("op", low, spaced))
    elif low == "to" and after:
        out.append(("op", ":", spaced))
    elif low in ("and", "or", "union") or (word == "U" and out and out[-1][1] in (")", "]")):
        out.append(("op", _LINKS[low], spaced))
    elif low == "in" and spaced and len(out) == 1 and out[0][0] == "name":
        out.append(("op", "in", spaced))
    elif low == "sec" and after and not match.string[match.end() :].strip():
        out.append(("text", "second", spaced))
    elif word in CONSTANTS or word in GREEK:
        out.append(("name", CONSTANTS.get(word, word), spaced))
    elif word in FUNCTIONS:
        out.append(("fn", FUNCTIONS[word], spaced))
    elif (
        (out and out[-1][0] == "text" and out[-1][1] not in CASE_WORDS)
        or (after and is_unit(word, spaced, letters))
        or low in PLAIN_WORDS
        or (len(word) > 3 and is_plain(word) and (spaced or not after))
    ):
        out.append(("text", word, spaced))
    else:
        for part in split_names(word):
            kind = "fn" if part in FUNCTIONS else "name"
            out.append((kind, FUNCTIONS.get(part) or CONSTANTS.get(part, part), spaced))
            spaced = False


def _cut_command(match, out, spaced, _letters):
    """\\name: an operator, a function, a fraction, a constant, a variable, a wrapping."""
    name = match["cmd"]
    if name in OPERATORS:
        out.append(("op", OPERATORS[name], spaced))
    elif name in FUNCTIONS or name in ("max", "min"):
        out.append(("fn", FUNCTIONS.get(name, name), spaced))
    elif name in ("frac", "dfrac", "tfrac", "cfrac", "sfrac", "nicefrac"):
        out.append(("cmd", "frac", spaced))
    elif name in ("sum", "prod"):
        out.append(("cmd", name, spaced))
    elif name in ("binom", "dbinom", "tbinom"):
        out.append(("cmd", "binom", spaced))
    elif name in ("emptyset", "varnothing"):
        out.append(("name", "emptyset", spaced))
    elif name in ("euro", "pounds"):
        # Both pounds are "lb", since the word does not say which.
        out.append(("money", {"euro": "euro", "pounds": "lb"}[name], spaced))
    elif name in ACCENTS:
        out.append(("accent", name, spaced))
    elif name in CONSTANTS or name in GREEK or name in _OTHER_NAMES:
        out.append(("name", CONSTANTS.get(name, name), spaced))
    elif name in ("color", "textcolor", "underline", "boxed", "fbox", "ensuremath") or (
        re.fullmatch(FONT, match[0])
    ):
        out.append(("wrap", name, spaced))
    else:
        raise Unreadable(f"\\{name} is not read")


def _cut_structure(match, out, spaced, _letters):
    """\\begin and \\end, rows and columns of a matrix, degrees, a single sign."""
    if match["env"]:
        out.append((match["env"], match["kind"], spaced))
        return
    if match[0] == "." and out and out[-1][0] == "text":  # sq. ft.
        return
    value = "row" if match["row"] else "deg" if match["deg"] else match[0]
    value = _SAME_SIGN.get(value, value)
    out.append(("money", "dollar", spaced) if value == "\\$" else ("op", value, spaced))


_CUTTERS = dict.fromkeys(("num", "rep", "dots", "base"), _cut_number)
_CUTTERS |= {"text": _cut_text, "word": _cut_word, "cmd": _cut_command}
_LINKS = {"and": "and", "or": "or", "in": "in", "to": ":"}
_MONEY = {"USD": "dollar", "EUR": "euro", "GBP": "lb", "Rs": "rupee"}
_LINKS |= {"union": "cup", "u": "cup"}
_POWER_OF_UNIT = re.compile(r"[A-Za-z]{1,7}\^?\{?[23]$")
_OTHER_NAMES = ("reals", "angle", "triangle", "ell", "parallel", "hbar", "odot", "nabla")
_SAME_SIGN = {"**": "^", "+/-": "+-", "\\%": "%", "\\|": "|", "\\&": "&"}
