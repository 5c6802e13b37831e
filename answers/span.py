r"""Which span of a completion is its final answer?

Before the ladder of `verifier.py`. One rule, with no second guess: what ends the completion is cut
off; then the last announcement of the strongest kind that occurs is the answer, and if it holds
nothing there is none. The kinds, strongest first:

    1. a box, <answer>...</answer>, or "final answer" with a value behind it
    2. #### x
    3. "answer is x" and its like, in the last NEAR_END characters

A number that nothing announces is never an answer. docs/verifier.md says the same to its readers.
"""

import re

from answers.words import CONSTANTS, GREEK

NEAR_END = 600  # characters in which an unboxed "answer is" counts
MAX_BOXES = 64  # that one list of boxes may have

# An end token, or the line that opens another turn; what a chat template puts first is passed over.
_HEADER = re.compile(r"\s*(?:<\|(?:im_start|start_header_id|assistant)\|>\s*(?:assistant)?|<s>)?")
_ENDS = re.compile(
    r"<\|(?:im_(?:end|start)|endoftext|end_of_text|end_of_turn|eo[tm]_id|eos|end|user|assistant"
    r"|system|start_header_id)\|>|</s>|<eos>|<end_of_turn>|<｜(?:end▁of▁sentence|User)｜>"
    r"|\n\s{0,9}(?:User|Human|Assistant):"
)

_BE = r"(?:is|are|equals|(?:should|would|must|will)\s+be)\b"
_ADVERBS = r"(?:(?:therefore|thus|simply|clearly|definitely|for sure|indeed|just)\b,?)?"
_LINK = rf"\s{{0,9}}(?:{_BE}|[:：=]|\*\*[:：]?)(?:\s|{_BE}|[:：=*]){{0,30}}{_ADVERBS}[\s:*]{{0,30}}(?=\S)"
_HEADING = r"(?:^|\n)#{1,6}\s{0,9}\**(?:the\s)?(?:final\s)?answer\**[:：]?\**\s*\n\s*(?=\S)"
_MARKED = re.compile(
    rf"(?:answers?|solutions?|(?:correct|right)\s(?:option|choice)){_LINK}|{_HEADING}"
    r"|\banswers?\s{0,9}(?=\$|\\\[|\\\()|答案\s{0,9}(?:应该|应)?[是为:：]+\s{0,9}(?=\S)",
    re.IGNORECASE,
)
_FINAL = re.compile(
    rf"final\sanswer{_LINK}(?=[-+\d$\\(\[{{*.√π]|[A-J]\b)|{_HEADING}", re.IGNORECASE
)
_TAG = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL | re.IGNORECASE)
_STOP = re.compile(r"<\|[a-z_]{1,20}\|>|</?[a-z]{1,10}>|\n")
_SENTENCE = re.compile(
    r"[.!?;。；！？](?:\s+[A-Za-z]|\s*$)|[,\s]\s*(?:because|since|so|which|as|where)\s"
    r"|,?\s+(?:not|rather than|instead of)\s|,\s*it\s+(?:can't|cannot|can not|doesn't|isn't|is not)\s"
)
# "The largest n is 34": what stands before the one "is" only says what the value is of.
_SUBJECT = re.compile(
    r"(?:the|a|an|there|its?)\s(?:(?!\b(?:is|are|equals?|or|not|if)\b)[^.;,\n]){1,150}?"
    r"(?<=\s)(?:is|are|equals?)\s+(?=[-+\d$\\(\[{])(?![^.]*\s(?:is|are|equals?|or)\s)",
    re.IGNORECASE,
)


def final_span(completion: str) -> str | None:
    r"""The text of the final answer of a completion, or None if it gives none.

    >>> final_span(r"so \boxed{\frac{1}{2}}, no: \boxed{\{1, 2\}}")
    '\\{1, 2\\}'
    >>> final_span(r"x = -\boxed{12}"), final_span(r"\boxed{1} and \boxed{2}")
    ('-12', '1, 2')
    >>> final_span("5 + 3 = 8\n#### 8"), final_span("The answer is 8, not 9.")
    ('8', '8')
    >>> final_span("5 + 3 = 8")
    """
    text = _own(completion)
    box = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    tags = text.rfind("<answer>")
    near = max(len(text) - NEAR_END, box, tags, 0)
    finals = list(_FINAL.finditer(text, near))
    if finals:
        return _sentence_answer(text[finals[-1].end() :])
    if tags > box:
        tag = _TAG.match(text, tags)
        return tag[1].strip() or None if tag else None
    if box >= 0:
        return _boxes(text, box)
    start = text.rfind("####")
    if start >= 0 and not _MARKED.match(text, start):
        rest = text[start + 4 : start + 4000].lstrip(" ")
        return _STOP.split(rest, maxsplit=1)[0].strip() or None
    tail = text[-NEAR_END:]
    marks = list(_MARKED.finditer(tail))
    return _sentence_answer(tail[marks[-1].end() :]) if marks else None


def _own(completion):
    """The completion up to the first end token or the next turn."""
    end = _ENDS.search(completion, _HEADER.match(completion).end())
    return completion[: end.start()] if end else completion


# Boxes.

_JOINT = re.compile(
    r"(?:\s|\$|\\[()\[\],;:! ]|\\q?quad|~|&)*(?:(?P<link>[,;]|and\b|or\b|\\text\w*\s*\{(?:[^{}]{0,30}\s)?"
    r"(?:and|or)\b[^{}]{0,30}\})(?:\s|\$|\\[()\[\],;:! ]|\\q?quad|~|&)*){1,2}"
)
_COMMAND_BOX = re.compile(r"\\[a-z]+\s*")
_UNBRACED = re.compile(r"\\[A-Za-z]+(?:\s*\{[^{}]*\}|\d)+|[^\s${}]+")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_NAMED = re.compile(r"([A-Za-z](?:_\{?\w{1,5}\}?)?)\s*=\s*$")
_OPEN = r"(?:\s|\\?\$|\\[(\[,;:! ]|\{)*"
_SIGN = re.compile(rf"(?P<sign>[-+−±]|\\(?:pm|mp))(?P<gap>{_OPEN})$")
_BULLET = re.compile(r"(?:^|\n)[ \t]*[-+*]\s+(?:\$|\*\*)?$")
_DASH = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}[.:]?\s+-\s+[$*]*$")
_OPERAND = re.compile(r"[\w)\]}|!]\$?\s*$")
_COMMAND = re.compile(r"\\([A-Za-z]+)\s*$")
_BOUND_BEFORE = re.compile(
    rf"(?:\d|[\w)}}\]$]\s*/{_OPEN}|[\d)}}\]]\s*\*{_OPEN}|\^\s*\{{?|\\(?:cdot|times|div){_OPEN}"
    r"|\}\s*\{|\\(?:[dtc]?frac|sqrt|overline)\s*(?:\[[^\[\]]{1,9}\])?\s*\{)$"
)
_BOUND_AFTER = re.compile(
    r"[ \t]{0,9}(?:\$|\\\)|\})?[ \t]{0,9}(?:/[ \t]*[\w$\\(]|\^[ \t]*\{?[ \t]*(?:-?\d|[a-z]\}?(?![a-z]))"
    r"|\\(?:cdot|times|div)(?![a-z])|[-+][ \t]*(?:\d|\\(?![()\]\[]))|\*[ \t]*[\d\\])"
)


def _boxes(text, start):
    """The last box; with it those before it that "and", "or" or a comma joins to it, as a list."""
    found, edge = [], 0  # edge: where the text between this box and the one before it ends
    later = len(text)  # where the box after this one begins
    while start >= 0 and len(found) < MAX_BOXES:
        content, end = _content(text, start, later)
        if found and (content is None or not _JOINT.fullmatch(text, end, edge)):
            break
        if content is not None:
            content, edge = _with_sign(text, start, end, content)
        if content is None:
            return None
        if not found and not edge:
            return content
        name = _NAMED.search(text, max(0, edge - 20), edge)
        found.insert(0, (name, content))
        edge = name.start() if name else edge
        later = start
        start = max(text.rfind("\\boxed", 0, start), text.rfind("\\fbox", 0, start))
    return _listed(found)


def _listed(found):
    """One box, or several as a list; their names count only if there are several."""
    values = [value for _, value in found]
    if len(set(values)) == 1:
        return values[0]
    if all(name for name, _ in found):
        values = [f"{name[1]} = {value}" for name, value in found]
    return ", ".join(values)


def _content(text, start, limit):
    r"""(content, end) of the box at `start`, braces counted, \{ and \} passed over; else (None, 0).

    A box that is not closed before `limit` has no content.
    """
    at = _COMMAND_BOX.match(text, start).end()
    if text[at : at + 1] != "{":
        lone = _UNBRACED.match(text, at)
        return (lone[0], lone.end()) if lone else (None, 0)
    depth = 0
    for match in _BRACES.finditer(text, at, limit):
        brace = match[0]
        if brace == "{":
            depth += 1
        elif brace == "}":
            depth -= 1
            if depth == 0:
                return text[at + 1 : match.start()].strip() or None, match.end()
    return None, 0


def _with_sign(text, start, end, content):
    """(a box's content with the sign before it, where that begins).

    The content is None if another operator binds the box to what stands outside, as 7 / box does:
    then the box holds a part of an answer.
    """
    before = text[max(0, start - 60) : start]
    if not before and end == len(text):
        return content, start
    if _BOUND_AFTER.match(text, end) or _BOUND_BEFORE.search(before):
        return None, start
    sign = _SIGN.search(before)
    if not sign or _BULLET.search(before) or _DASH.search(before):
        return content, start
    left = before[: sign.start()]
    command = _COMMAND.search(left)
    if command:
        binary = command[1] in GREEK or command[1] in CONSTANTS
    else:
        word = re.search(r"[A-Za-z]{2}\s+$", left) and sign["gap"][:1] != " "  # is -5
        binary = bool(_OPERAND.search(left)) and not word
    if binary:
        return None, start
    mark = {"−": "-", "±": "\\pm"}.get(sign["sign"], sign["sign"])
    inner = f"({content})" if re.search(r"(?<=.)[-+]|[=,]", content) else content
    return f"{mark} {inner}" if mark[0] == "\\" else mark + inner, start - len(sign[0])


# Sentences.


def _sentence_answer(rest):
    """The answer at the head of a sentence: the formula it begins with, else all up to its end."""
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        if rest.startswith(opening):
            end = _unescaped(rest, closing, len(opening))
            tail = rest[end + len(closing) :] if end > 0 else ""
            if end > 0 and not re.match(
                r"\s*(?:,(?!\s*not\b)|and|or|[$\\/^]|[-+*]\s*[\d$\\])", tail
            ):
                return rest[len(opening) : end].strip() or None
    line = _STOP.split(rest, maxsplit=1)[0]
    subject = _SUBJECT.match(line)
    if subject:
        return _sentence_answer(line[subject.end() :])
    stop = _SENTENCE.search(line)
    if stop and stop[0][0] in "?？":
        return None
    return (line[: stop.start()] if stop and stop.start() else line).strip(" *_`.。") or None


def _unescaped(text, sign, start):
    r"""Where a delimiter stands next, \$ passed over; -1 if nowhere."""
    at = text.find(sign, start)
    while at > 0 and text[at - 1] == "\\" and sign[0] == "$":
        at = text.find(sign, at + 1)
    return at
