"""One spelling for what differs only in characters: the text of an answer, before it is cut up.

The first step of reading an answer. Unicode mathematics becomes LaTeX or ASCII, decoration is
dropped, and the table `_RESPELLED` respells a few habits that no grammar would read. Separators of
thousands are joined last, since 1,234 may also be two numbers.
"""

import re
import unicodedata

from answers.tree import MAX_CHARS, TooLarge
from answers.words import BASES

# Characters.

_AS_ASCII = str.maketrans(
    "−–—‐‑﹣×·⋅∙∗÷⁄∕，、；：（）［］｛｝＝＋％′’“”",
    "------*****///,,;:()[]{}=+%''\"\"",
)
_WITH_A_COMMAND = "π∞√∛≤⩽≥⩾≠≈±∓∪∩∈∅∖⌊⌋⌈⌉⟨⟩∣θαβγδλμωφστρεηψχξκΓΔΘΛΣΦΨΩ"
_COMMANDS = """pi infty sqrt cbrt le le ge ge ne approx pm mp cup cap in emptyset setminus lfloor rfloor
lceil rceil langle rangle mid theta alpha beta gamma delta lambda mu omega phi sigma tau rho epsilon
eta psi chi xi kappa Gamma Delta Theta Lambda Sigma Phi Psi Omega"""
_AS_COMMAND = {
    ord(sign): f" \\{name} " for sign, name in zip(_WITH_A_COMMAND, _COMMANDS.split(), strict=True)
}
_OTHER_SIGNS = str.maketrans(
    {"…": "...", "ℝ": "\\reals ", "¢": " cents ", "€": "\\euro ", "£": "\\pounds "}
    | {"º": "°", "˚": "°"}
)
_SIGNS = _AS_ASCII | _AS_COMMAND | _OTHER_SIGNS
_SUPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ⁽⁾ˣ", "0123456789-+n()x")
_SUB = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_VULGAR = re.compile("[¼½¾⅐-⅞]")

# Habits.

# What may stand before an answer and says nothing: =, "the answer is", an arrow.
_LEAD = re.compile(
    r"^(?:\s*(?:(?:[=:~→⇒为]|[a-z]?\s*是)|\\(?:approx|to|implies|Rightarrow|therefore)\b"
    r"|(?:\\text\s*\{\s*)?(?:(?:therefore|thus|hence|so|then|approximately|about|roughly|exactly"
    r"|we (?:get|have))\b,?)\s*\}?(?=\s*[-+$\\\d(\[{]|\s*[A-Za-z]\s*=)"
    r"|(?:\\text\s*\{\s*)?(?:the |my )?(?:final |correct )?answer (?:is|=|:)\s*\}?))+\s*",
    re.IGNORECASE,
)
_IMPLIES = re.compile(r"\\(?:implies|Rightarrow|Longrightarrow|therefore)(?![a-zA-Z])|=>(?=.*=)")
# A value that is computed from what no answer is read in; its = gives the answer.
_COMPUTED = re.compile(r"\\(?:sum|prod|int|lim|det|begin\{[vV]matrix\}|\|)|\\left\\\|")
_CHINESE = {
    "元": " yuan", "米": " meters", "厘米": " cm", "千米": " km", "公里": " km", "克": " grams",
    "千克": " kg", "公斤": " kg", "小时": " hours", "分钟": " minutes", "秒": " seconds",
    "天": " days", "年": " years", "岁": " years", "度": " degrees", "平方米": " square meters",
    "平方厘米": " square cm", "升": " liters", "吨": " tons",
}  # fmt: skip
_COUNTERS = "个 只 条 张 本 名 人 块 种 件 次 倍 位 棵 辆 支 页 台 套 组 场 户 头 瓶 份 枚"
_CHINESE |= dict.fromkeys(_COUNTERS.split(), "")
_COUNTED = re.compile(
    rf"(?<=[\d)}}\]$])\s*({'|'.join(sorted(_CHINESE, key=len, reverse=True))})\$?$"
)


def _modulus(match):
    r"""\pmod{7} as a unit, its digits in letters, since a digit behind a unit is a power.

    \mod and \bmod without a congruence compute a remainder, and are not read.
    """
    if match[0][1] != "p" and "\\equiv" not in match.string:
        return match[0]
    name = "".join(chr(97 + int(c)) if c.isdigit() else c for c in match[1] or match[2])
    return f" \\text{{ modulo{name} }}"


# (pattern, what takes its place, what a text must have for it), in this order
_RESPELLED = [
    (re.compile(pattern), new, sign)
    for pattern, new, sign in (
        # 3e5 km is a number
        (r"^(-?\d+(?:\.\d+)?)[eE]([-+]?\d{1,3})(?=\s*(?:\\text|\s[A-Za-z]))", r"\1*10^{\2}", ""),
        # f^{-1}(x) = ... names a function
        (r"^([a-zA-Z])\^(?:\{-1\}|-1)(\([\w./-]{1,9}\)\s*=)", r"\1\2", ")"),
        # twenty-five
        (r"\b((?:twen|thir|for|fif|six|seven|eigh|nine)ty)-([a-z]{3,5})\b", r"\1 \2", "ty-"),
        # sympy prints f{\left(x \right)}
        (r"(?<=[A-Za-z'}])\{\\left\(([^{}]*)\\right\)\}", r"(\1)", "{\\left("),
        (r"\\(q?quad)(?=[A-Za-z])", r"\\\1 ", "quad"),
        (r"\\[pb]?mod\s*(?:\{\s*(\w{1,9})\s*\}|(\w{1,9}))", _modulus, "mod"),
        (
            r"\\frac\s*\{\s*\\(?:text|mathrm)\{\s*([a-z]+)\s*\}\s*\}"
            r"\s*\{\s*\\(?:text|mathrm)\{\s*([a-z]+(?:\^?[23])?)\s*\}\s*\}",
            r"\\text{ \1/\2}",
            "}}{\\",
        ),
        (
            r"^all real (?:numbers|values)(?: of [a-z])?,? except(?: for)?\s+(?:[a-z]\s*=\s*)?(.+)$",
            r"\\reals \\setminus \\{\1\\}",
            "except",
        ),
        # \text{DE}_{16}, (52)_8
        (r"(?:\\(?:text|mathrm)\s*\{|\()\s*([0-9A-F]+)\s*[})](?=\s*_)", r"\1", "_"),
        # 52_{\text{eight}}
        (r"_\s*(?:\{\s*\\text\s*\{\s*(\w+)\s*\}\s*\}|\\text\s*\{\s*(\w+)\s*\})", r"_{\1\2}", "_"),
        # 52 base 8, 52 (base 8), 52_{base 8}
        (
            r"(?<=[0-9A-F])(?:\s*_\s*\{|\s)\s*(?:\\text\s*\{)?[\s(]*(?:in )?base"
            r"[\s~-]*(\d+|[a-z]+)[)}\s]*$",
            lambda match: f"_{{{BASES.get(match[1], match[1])}}}",
            "base",
        ),
        # <1, 2> is a vector
        (r"^<([^<>]*,[^<>]*)>$", r"(\1)", "<"),
        # C(5, 2)
        (r"(?<![A-Za-z\\])(?:n?C|nCr|binom)\((\d+),\s*(\d+)\)", r"\\binom{\1}{\2}", ")"),
        # log10(x), log_10(x)
        (r"(?:\blog_|(?<!\\)\blog)(\d+)(?=\()", r"log_{\1}", "log"),
        # 22", US$5
        (r"(?<!_\d)(?<=\d)\s*(?:\"|'')$", " inches", ""),
        (r"\bUS\s*(?=\\?\$)", "", "$"),
        # 3 x 10^5 multiplies
        (r"(?<=[\d)])\s*[xX]\s*(?=10\s*\^)", "*", "10"),
        # a.m. is no sentence; 7:00 pm is 7 pm
        (r"\b([aApP])\.\s?[mM]\b\.?", r"\1m", "."),
        (r"(?<=\d):00(?=\s*(?:\\text\s*\{\s*)?[aApP][mM])", "", ":00"),
        (
            r"\\(?:mathbb|mathbf|Bbb)\s*(?:\{\s*R\s*\}|R\b)|\\R(?:eals)?(?![a-zA-Z])",
            r"\\reals ",
            "R",
        ),
    )
]
# A separator of thousands that can be nothing else, {,} or \, or \!, and one that might be.
_JOINED = re.compile(
    r"(?<=\d)(?:\s?\{\s?,\s?\}|\\!\s*,|,\s*\\!|\\,|\\;|\\!|\{\\,\})\s*(?=\d{3}(?!\d))"
)
_THOUSANDS = re.compile(
    r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!,?\d)|(?<![\d.,/])\d{1,3}(?:\s\d{3})+(?![\d/])"
)


def clean(text: str) -> str:
    r"""One spelling for what differs only in characters: Unicode signs, delimiters, end stops.

    Raises TooLarge past MAX_CHARS.

    >>> clean("**x ≤ ½.**"), clean("10{,}000")
    ('x  \\le   1/2', '10000')
    """
    if len(text) > MAX_CHARS:
        raise TooLarge(f"an answer of {len(text)} characters; the bound is {MAX_CHARS}")
    text = text if text.isascii() else _ascii(text)
    text = _single_backslashes(text) if "\\\\" in text else text
    text = text.strip().strip("*`_✓✔✅").strip().rstrip(",;:").strip()
    if text.endswith(".") and not text.endswith("..."):
        text = text[:-1].rstrip()
    text = _LEAD.sub("", text.rstrip("\\").rstrip())
    text = _concluded(text)
    for pattern, new, sign in _RESPELLED:
        if sign in text:
            text = pattern.sub(new, text)
    return _JOINED.sub("", text)


def _single_backslashes(text):
    r"""Text in which every backslash was written twice: \\\\frac12; rows of a matrix end in two."""
    if "\\\\begin" in text:
        return text.replace("\\\\", "\\")
    if "\\begin" in text:
        return text
    return re.sub(r"\\\\(?=[A-Za-z{}%$!,;:()\[\]|])", r"\\", text)


def _concluded(text):
    r"""What is concluded: the x=4 of x^3=64 \implies x=4, the 3 of \det A = 3."""
    if "=" not in text:
        return text
    text = _IMPLIES.split(text)[-1]
    if text[0:1] != "\\" or not _COMPUTED.match(text):
        return text
    depth = 0
    for match in re.finditer(r"\\.|[{}=]", text):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] == "=" and depth == 0:
            return text[match.end() :].strip() or text
    return text


def _ascii(text):
    """Unicode mathematics as LaTeX or ASCII; control and formatting characters go."""
    text = _COUNTED.sub(lambda match: _CHINESE[match[1]], text.translate(_SIGNS))
    text = _VULGAR.sub(lambda m: " " + unicodedata.normalize("NFKC", m[0]).replace("⁄", "/"), text)
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ⁽⁾ˣ]+", lambda m: "^{" + m[0].translate(_SUPER) + "}", text)
    text = re.sub("[₀-₉]+", lambda m: "_{" + m[0].translate(_SUB) + "}", text)
    text = unicodedata.normalize("NFKC", text)
    return "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc") or c in "\n\t")


def join_thousands(text: str) -> str:
    """Join 12,345 at the top level; in brackets only where a group could be no item (1,050).

    >>> join_thousands("12,345"), join_thousands("(12,345)"), join_thousands("(1,050)")
    ('12345', '(12,345)', '(1050)')
    """

    def join(match):
        before = text[: match.start()]
        inside = sum(before.count(c) for c in "([") - sum(before.count(c) for c in ")]")
        inside += before.count("\\{") + text.startswith("{")
        groups = re.split(r"[,\s]", match[0])
        return "".join(groups) if inside <= 0 or any(g[0] == "0" for g in groups[1:]) else match[0]

    return _THOUSANDS.sub(join, text)
