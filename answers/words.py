"""The vocabulary of answers: functions, constants, operators, units, and the words of a text answer.

Tables from the many spellings of a thing to the one name that the tree uses, and the two readers of
plain words, `words` and `unit_name`.
"""

import re

from answers.tree import Unreadable


def _split(text):
    return text.split()


FUNCTIONS = {f + h: f + h for f in _split("sin cos tan cot sec csc") for h in ("", "h")}
FUNCTIONS |= {a + f: "arc" + f for f in list(FUNCTIONS) for a in ("a", "arc", "ar")}
FUNCTIONS |= {"ln": "log", "log": "log", "lg": "lg", "exp": "exp", "sqrt": "sqrt", "cbrt": "cbrt"}
FUNCTIONS |= {"cuberoot": "cbrt"}
FUNCTIONS |= {"abs": "abs", "Abs": "abs", "floor": "floor", "ceil": "ceil", "ceiling": "ceil"}
FUNCTIONS |= {"gcd": "gcd", "lcm": "lcm"}
FUNCTIONS |= {"binomial": "binom", "factorial": "factorial", "Rational": "frac", "Matrix": "matrix"}
GREEK = _split("""alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa
lambda mu nu xi rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma
Phi Psi Omega""")
CONSTANTS = {"pi": "pi", "Pi": "pi", "e": "e", "i": "i", "oo": "oo", "infty": "oo"}
CONSTANTS |= {"inf": "oo", "infinity": "oo", "Infinity": "oo", "Inf": "oo"}

# LaTeX commands that are operators. `_named("<= le leq")` says that \le and \leq are both <=.


def _named(*rows):
    return {name: row.split()[0] for row in rows for name in row.split()[1:]}


OPERATORS = _named(
    "* cdot times ast bullet", "/ div", "<= le leq leqslant", ">= ge geq geqslant", "< lt", "> gt",
    "!= ne neq", "== equiv", "~ approx simeq", "+- pm", "-+ mp", "' prime", "in in",
    "cup cup bigcup", "cap cap", "minus setminus backslash", "and land wedge", "or lor vee",
    "| mid vert lvert rvert", "( langle lparen", ") rangle rparen", "[ lbrack", "] rbrack",
    "\\{ lbrace", "\\} rbrace", "lfloor lfloor", "rfloor rfloor", "lceil lceil", "rceil rceil",
    "choose choose", "over over", ": to colon",
)  # fmt: skip
RELATIONS = {sign: sign for sign in _split("= < > <= >= != ~ in")} | {"==": "=", "=<": "<="}
ACCENTS = _split("""mathbb mathcal overline bar vec hat widehat overrightarrow tilde dot ddot
overleftrightarrow""")

# Words that may follow a number, in lower case but for a few symbols, and in the singular.
_UNITS = {
    "": "unit squareunit cubicunit sq.unit",
    "cm": "centimeter centimetre", "mm": "millimeter millimetre", "km": "kilometer kilometre",
    "m": "meter metre", "inch": "inches in inche", "ft": "foot feet", "yd": "yard", "mi": "mile",
    "kg": "kilogram kilo", "g": "gram", "mg": "milligram", "lb": "pound lbs", "oz": "ounce",
    "ton": "tonne", "l": "liter litre L", "ml": "milliliter millilitre mL", "gal": "gallon",
    "s": "second sec", "min": "minute", "h": "hour hr", "year": "yr", "mole": "mol",
    "mph": "mile/hour miles/hour mi/h mi/hr", "kph": "km/h kmph km/hr", "degree": "deg",
    "rad": "radian", "dollar": "usd buck", "euro": "eur", "percent": "percentage pct",
    "hz": "hertz", "n": "newton", "j": "joule", "w": "watt", "v": "volt", "k": "kelvin",
    "penny": "pennies", "people": "person", "yuan": "rmb",
}  # fmt: skip
UNITS = {alias: name for name, also in _UNITS.items() for alias in [name, *also.split()] if alias}
UNITS |= {name: name for name in _split("day week month cent quart pint cup acre am pm")}
UNITS |= {name: name for name in _split("sq cubic square per")}
MULTIPLIERS = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9}
MULTIPLIERS |= {"trillion": 10**12, "dozen": 12}
NUMERALS = _split("""zero one two three four five six seven eight nine ten eleven twelve
thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty""")
TENS = _split("twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = _split("third fourth fifth sixth seventh eighth ninth tenth")
BASES = {name: k for k, name in enumerate(NUMERALS) if k > 1}
CASE_WORDS = ("if", "for", "when")  # before the condition of a case
PLAIN_WORDS = set(_split("yes no odd none all both true false dne red blue"))

# A LaTeX command whose argument is upright text; a text with words in it; one with mathematics.
FONT = r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|[mh]box|math(?:rm|bf|it|sf|tt)|emph|operatorname\*?)"
_WORDY = re.compile(
    FONT + r"\s*\{\s*[^\W\d_]|(?<!\\)\b[^\W\d_]{3}|^[^\W\d_]{2}$|[^\W\d_]{2}\W.*\b[^\W\d_]{2}"
)
_FORMULA = re.compile(r"\\(?!text|mbox|math|emph|bf|it|rm|quad|left|right|ldots)[a-zA-Z]{2}")
_LEADING = ("a", "an", "the", "option", "choice", "answer", "it", "is")
_FILLERS = ("of", "the", "each", "a", "an", "long", "old", "total")
_CONDITIONS = ("or", "than", "least", "most", "not", "if")
_HEDGES = ("but", "maybe", "perhaps", "possibly", "probably", "likely", "either", "unless")
_NAMES = sorted({*FUNCTIONS, *CONSTANTS, *GREEK} - {"in"}, key=len, reverse=True)
_NAME_OR_LETTER = re.compile("|".join(n for n in _NAMES if len(n) > 1) + "|.")


def words(text: str) -> str:
    r"""The words of a text answer, without case, markup and punctuation.

    >>> words(r"\textbf{(C)}"), words("An Ellipse.")
    ('c', 'ellipse')
    """
    text = re.sub(r"\\(?:[a-zA-Z]+|.)|[{}$]", " ", text).lower().replace(".", "")
    found = [w for w in re.findall(r"[^\W_]+(?::\d+)?", text) if w != "and"]
    while found[1:] and found[0] in _LEADING:
        del found[0]
    return " ".join(found)


def is_wordy(text: str) -> bool:
    r"""May a text that is no mathematics be an answer in words?

    >>> is_wordy("It is even"), is_wordy("2 +* x"), is_wordy(r"\frac even")
    (True, False, False)
    """
    return bool(_WORDY.search(text) and not _FORMULA.search(text) and words(text))


def unit_name(text: str) -> str:
    """One name for a unit however it is written: "square centimeters" and "cm^2" are "cm^2".

    A word that is no unit is its own; "" stands for a mere "units". Raises Unreadable for a
    condition, such as "or more".

    >>> unit_name("Square centimetres"), unit_name("cm^2"), unit_name("units"), unit_name("apples")
    ('cm^2', 'cm^2', '', 'apple')
    """
    text = re.sub(r"[(){}\\.,]", " ", text.replace(" per ", "/").replace("**", "^"))
    power, names = "", []
    for word in re.findall(r"[A-Za-z]+|\^?\s*\d|/", text):
        low = word.lower()
        if low in _CONDITIONS or low in _HEDGES:
            raise Unreadable("a condition, not a unit")
        if low in ("square", "squared", "sq") or word in ("^2", "2"):
            power = "^2"
        elif low in ("cubic", "cubed", "cu") or word in ("^3", "3"):
            power = "^3"
        elif low not in _FILLERS and not (names and low == "in"):
            single = low[:-1] if low.endswith("s") and len(low) > 2 else low
            names.append(UNITS.get(word) or UNITS.get(low, UNITS.get(single, single)))
    name = " ".join(names).replace(" / ", "/")
    name = UNITS.get(name, name)
    return name + power if name else ""


def is_unit(word: str, spaced: bool, letters: bool) -> bool:
    """Is a word after a number its unit? A lone letter only if `letters`, `in` only with a space.

    >>> is_unit("cm", False, False), is_unit("m", True, False), is_unit("m", True, True)
    (True, False, True)
    """
    low = word.lower()
    if len(word) == 1:
        return letters and word in UNITS
    if low == "of":  # 3/4 of an hour
        return spaced
    return low in MULTIPLIERS or (
        (low in UNITS or (low[-1] == "s" and low[:-1] in UNITS)) and (spaced or word != "in")
    )


def is_plain(word: str) -> bool:
    """A word, not a product: it has a vowel, and is more than sin x or beta with letters around.

    >>> is_plain("parabola"), is_plain("sinx"), is_plain("xzt")
    (True, False, False)
    """
    if not re.search("[aeiouyAEIOUY]", word) or word.isupper():
        return False
    parts = split_names(word)
    return max(map(len, parts)) < 3 or sum(len(part) == 1 for part in parts) > 3


def split_names(word: str) -> list[str]:
    """A run of letters as the names in it: functions, constants, Greek letters, else letters.

    >>> split_names("xsinpi")
    ['x', 'sin', 'pi']
    """
    return _NAME_OR_LETTER.findall(word)
