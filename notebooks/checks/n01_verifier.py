"""Checks of notebook 01: finding the answer, comparing it exactly, what is equal, a reward hack."""

from __future__ import annotations

import contextlib

from checks import Answer, NotYet, exercise
from verifier import equivalent, extract_answer, verify

BACKSPACE = (  # for a text "\boxed" with neither an r before it nor a second stroke
    "Python reads '\\b' in a text as one sign, a backspace: write '\\\\boxed{' or r'\\boxed{'"
)
TRAP: list[int] = []  # an answer that is executed leaves a mark here


@exercise("01.1", "my_extract")
def last_box(answer: Answer) -> str:
    cases = [
        (r"so it is \boxed{14}", "14", "a single box"),
        (r"so \boxed{\frac{1}{2}} it is", r"\frac{1}{2}", "a box with braces inside"),
        (r"\boxed{3}? No: \boxed{4}", "4", "two boxes, of which the last counts"),
        ("no box here, 14", None, "a text without a box: None"),
        (r"\log{21}, not in a box", None, "braces, and no box: None"),
        (r"\boxed{4}, since \frac{8}{2} = 4", "4", "braces after the box"),
        (r"\boxed{3} and then \boxed{4", None, "a last box that is never closed: None"),
        (r"\boxed{3} and then \boxed{42", None, "a last box that is never closed: None"),
        (r"so \boxed{\frac{1}{2}", None, "a box whose own brace is never closed: None"),
        ("so boxed{5}, without a stroke", None, "a word, and no box: None"),
        (r"\boxed{}", None, "an empty box: None, not an empty text"),
        (r"\boxed{ }", None, "a box with a blank alone is as empty: None"),
        (r"\boxed{{1},{2}} leads to \boxed{x^{2^{3}}}", "x^{2^{3}}", "braces three deep"),
    ]
    for text, truth, what in cases:
        got = answer(text)
        answer.need(
            got is not None or truth is None or answer("\boxed{12345}") is None,
            f"from {text!r} it takes None. {BACKSPACE}",
        )
        answer.need(
            truth is None or got != truth[:-1],
            f"from {text!r} it takes {got!r}: the last character is missing, the slice ends too early",
        )
        answer.need(
            truth is None or "}" not in truth or got != truth[: truth.find("}")],
            f"from {text!r} it takes {got!r}: the first closing brace need not be the box's own. "
            "Count the braces",
        )
        answer.need(
            truth is not None or got != "",
            f"{what}: from {text!r} it takes an empty text, which is not the same as None",
        )
        answer.need(
            not (truth is None and got == "3"),
            f"{what}: from {text!r} it takes '3', an earlier box. The last box is what counts, and "
            "it has no end",
        )
        answer.need(
            truth is not None or got != text[text.rfind("{") + 1 : -1],
            f"{what}: from {text!r} it takes {got!r}, which is what the loop happened to reach: it "
            "ended with the text, not with the box",
        )
        answer.need(
            truth is not None or "\\boxed" in text or got is None,
            f"{what}: from {text!r} it takes {got!r}. A box begins with \\boxed{{, stroke and all",
        )
        answer.need(got == truth, f"{what}: from {text!r} it takes {got!r}, and {truth!r} is right")
        assert extract_answer(text) == truth
    return "right, braces and all."


@exercise("01.2", "my_same")
def same_number(answer: Answer) -> str:
    TRAP.clear()
    trap = "__import__('sys').modules['checks.n01_verifier'].TRAP.append(1)"
    cases = [("6/4", "3/2"), ("1.5", "3/2"), ("14", "14"), ("-2/6", "-1/3"), ("13", "14")]
    cases += [("0.333", "1/3"), ("0.3333333333333333", "1/3"), ("1/0", "3"), ("an apple", "14")]
    cases += [("", "0"), ("an apple", "an apple"), (trap, "14")]
    with contextlib.suppress(NotYet):  # what else is wrong is said below
        answer(trap, "14")
    executed = bool(TRAP)
    TRAP.clear()
    answer.need(
        not executed,
        "my_same EXECUTED the answer: the text it was given ran as a program. No eval!",
    )
    for text, gold in cases:
        truth = text in ("6/4", "1.5", "14", "-2/6")
        got = answer(text, gold)
        answer.need(
            isinstance(got, bool),
            f"my_same({text!r}, {gold!r}) gives {got!r}, and True or False is needed",
        )
        answer.need(
            not (text == "0.3333333333333333" and got),
            "0.3333333333333333 counts as 1/3: somewhere a float has rounded. Compare Fractions",
        )
        answer.need(
            text != "an apple" or not got,
            f"my_same({text!r}, {gold!r}) gives True: two texts that are no numbers are not one number",
        )
        answer.need(got == truth, f"my_same({text!r}, {gold!r}) gives {got}, and {truth} is right")
    return "right: exact, and nothing that the model writes is executed."


PAIRS = {
    "A": ("0.333", r"\frac{1}{3}", "a rounded decimal is another number"),
    "B": ("0.35", r"35\%", "35% is the number 0.35, and both spellings of a share are common"),
    "C": ("0.05 m", r"5\text{ cm}", "m and cm are units, and units are compared, not converted"),
    "D": ("(2,1)", "(1,2)", "round brackets make a pair, and in a pair the order counts"),
    "E": ("2, 1", r"\{1,2\}", "a list of solutions is a set, and a set has no order"),
    "F": ("x=5", "5", "naming the unknown changes nothing of the value"),
    "G": (r"(3,\infty)", "x>3", "an interval and an inequality may describe the same numbers"),
    "H": (r"\pi/2", r"90^\circ", "the degree is a unit, and units are not converted"),
}


@exercise("01.3", "my_verdicts")
def careful_teacher(answer: Answer) -> str:
    answer.need(isinstance(answer.value, dict), "my_verdicts has to be the dictionary of the cell")
    wrong = []
    for letter, (text, gold, because) in PAIRS.items():
        given = answer.value.get(letter)
        answer.need(isinstance(given, bool), f"{letter} is {given!r}, and True or False is needed")
        if given != equivalent(text, gold):
            wrong.append(f"{letter} ({text} for {gold}): {because}")
    answer.need(
        {letter for letter in PAIRS if answer.value[letter]} != {"F"},
        "only F is let through: that is a teacher who reads spelling, not values. "
        "35% and 0.35 are one number, and a set has no order",
    )
    answer.need(not wrong, f"{len(wrong)} of 8 differ from our choice. {'; '.join(wrong)}")
    return "all eight as we chose. C and H could be argued about."


@exercise("01.4", "my_hack")
def be_the_policy(answer: Answer) -> str:
    text = answer.value
    answer.need(isinstance(text, str), "my_hack has to be a text, the completion")
    answer.need(
        "14" not in text,
        "the text holds 14, and here it must not: let the verifier do the computing",
    )
    answer.need("\b" not in text, BACKSPACE)
    answer.need(
        "fourteen" not in text.lower(),
        "fourteen is 14 in another spelling: nothing is left for the verifier to compute",
    )
    verdict = verify(text, "14")
    answer.need(
        verdict.reason != "no_answer",
        "the verifier finds no answer in it: is there a closed \\boxed{...}?",
    )
    answer.need(
        bool(verdict.reward),
        f"refused: the verifier found {verdict.answer!r} and calls it {verdict.reason}",
    )
    return (
        f"let through: {verdict.answer!r} earned a reward of 1. That is what a policy would learn."
    )
