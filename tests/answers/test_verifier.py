"""The verifier: golden cases, properties, hostile input, the command line, the documentation."""

import doctest
import json
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from verifier_cases import BOMBS, CONTROL, SCRAPS, cases

import verifier
from answers import (
    algebra,
    forms,
    parser,
    scalars,
    sets,
    span,
    spelling,
    structure,
    tokens,
    tree,
    words,
)
from answers.judge import judge
from answers.scalars import RUNGS, Ladder
from answers.tree import TooLarge, Unreadable
from verifier import REASONS, check_gold, equivalent, extract_answer, verify

ROOM = Path(verifier.__file__)
CASES = list(cases())


@pytest.fixture(scope="module", autouse=True)
def warm_judge():
    """The one-off start of sympy's process is not part of any verdict's second."""
    assert equivalent("2 sin x cos x", "sin 2x")


# Golden cases


@pytest.mark.parametrize("heading", list(dict.fromkeys(c[0] for c in CASES)))
def test_golden_cases(heading):
    wrong = []
    for _, gold, answer, right in (c for c in CASES if c[0] == heading):
        verdict = verify(f"so \\boxed{{{answer}}}", gold)
        if (verdict.reward, verdict.reason == "correct") != (float(right), right):
            wrong.append((gold, answer, verdict))
    assert not wrong


def test_there_are_enough_cases_of_both_verdicts():
    assert len(CASES) >= 300
    assert min(sum(c[3] for c in CASES), sum(not c[3] for c in CASES)) >= 150


def test_every_gold_of_the_cases_can_be_read():
    for _, gold, _, _ in CASES:
        check_gold(gold)


def test_conventions_hold_in_both_directions():
    """A choice with its text, or m + n = 17, is right, and another gold; all else is symmetric."""
    one_way = {"a choice with its text", "a stated sum", "second: named values"}
    one_way |= {"second: chains of approximations", "second: numbers with a comma"}
    one_way |= {heading for heading, *_ in CASES if heading.endswith("one way")}
    lopsided = [
        (gold, answer)
        for heading, gold, answer, right in CASES
        if equivalent(gold, answer) != right and heading not in one_way
    ]
    assert not lopsided


@pytest.mark.parametrize(
    ("answer", "gold", "method"),
    [
        (r"\dfrac{1}{2}", r"\frac{1}{2}", "string"),
        ("Monday", r"\text{Monday}", "string"),
        ("6/4", "3/2", "rational"),
        ("4x-7", "4x+7", "rational"),
        ("7+4x", "4x+7", "rational"),
        (r"2\sqrt3", r"\sqrt{12}", "rational"),
        ("(1,2]", "(1,2)", "structure"),
        (r"\sin x", r"\cos x", "numeric"),
        (r"2\sin x\cos x", r"\sin 2x", "sympy"),
        ("|x-1000|", "1000-x", "numeric"),
        ("|x-100000|", "100000-x", "sympy"),
    ],
)
def test_the_rung_that_decides(answer, gold, method):
    verdict = verify(f"\\boxed{{{answer}}}", gold)
    assert (verdict.method, verdict.reason in ("correct", "wrong")) == (method, True)


# Extraction


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"\boxed{14}", "14"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right\}} }", r"\left\{ x \right\}"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed 7$", "7"),
        (r"\fbox{7}", "7"),
        (r"\boxed{}", None),
        (r"\boxed{ }", None),
        (r"\boxed{5", None),
        (r"\boxed{4} or \boxed{5", None),
        (r"\boxed{4} or \boxed{}", None),
        (r"The answer is 3. \boxed{}", None),
        ("#### 12", "12"),
        ("#### 1\nno\n#### 1,234\n", "1,234"),
        ("#### 12<|im_end|>", "12"),
        ("The answer is 5.", "5"),
        ("The answer is: $\\frac12$. I hope it is correct.", r"\frac12"),
        ("The final answer is \\(x=5\\).", "x=5"),
        ("Answer: 5\n", "5"),
        ("**Answer:** 5", "5"),
        ("Answer:\n42", "42"),
        ("The answer is 3.5.", "3.5"),
        ("The answer is 4, since 2+2=4", "4"),
        ("Final answer: x = 3, y = 4", "x = 3, y = 4"),
        ("The answer is 3, or 4.", "3, or 4"),
        ("the answer is 1. No, the answer is 2", "2"),
        ("The answer is $1$ or $2$", "$1$ or $2$"),
        ("The answers are $1$ and $2$.", "$1$ and $2$"),
        ("The solutions are 1 and 2.", "1 and 2"),
        ("hence the answer equals 72", "72"),
        ("The answer is 72? No: 73.", None),
        ("The answer is 5. " + "But then again. " * 60, None),
        ("2 + 3 = 5", None),
        ("so 5", None),
        # signs, and operators that bind a box
        (r"x = -\boxed{12}", "-12"),
        (r"$-\boxed{12}$", "-12"),
        (r"\pm\boxed{2}", r"\pm 2"),
        (r"-\boxed{a+b}", "-(a+b)"),
        ("we get\n- $\\boxed{12}$", "12"),
        (r"5 - \boxed{12}", None),
        (r"7/\boxed{8}", None),
        (r"$\boxed{7}$/$8$", None),
        (r"\boxed{2} \times 10^3", None),
        (r"\frac{1}{\boxed{2}}", None),
        (r"\boxed{90}^\circ", "90"),
        (r"**\boxed{5}**!", "5"),
        # boxes that are joined
        (r"\boxed{1} and \boxed{2}", "1, 2"),
        (r"\boxed{1}, \boxed{2}, \boxed{3}", "1, 2, 3"),
        (r"\boxed{1} \quad \text{or} \quad \boxed{2}", "1, 2"),
        (r"$u = \boxed{1}$ and $v = \boxed{2}$", "u = 1, v = 2"),
        (r"\boxed{1} and -\boxed{2}", "1, -2"),
        (r"\boxed{5}, \boxed{5}", "5"),
        # where the completion ends
        (r"\boxed{5}<|im_end|>\boxed{6}", "5"),
        ("<|im_start|>assistant\n\\boxed{5}<|im_end|>\n<|im_start|>user\n\\boxed{6}", "5"),
        ("\\boxed{5}\n\nUser: and now?\n\\boxed{6}", "5"),
        # other announcements
        ("<think>\\boxed{3}</think><answer>12</answer>", "12"),
        ("<answer>it is \\boxed{12}</answer>", "12"),
        ("<answer>3</answer> <answer>12", None),
        (r"\boxed{255} Final Answer: The final answer is $10,455$. Hope so.", "10,455"),
        (r"\boxed{255} So the final answer is as above.", "255"),
        ("### Final Answer\n\n12", "12"),
        ("**Final Answer**\n12", "12"),
        ("The answer should be 12.", "12"),
        ("The correct option is B.", "B"),
        ("所以答案是12。", "12"),
        ("答案：C", "C"),
        ("Answer $$ 9 $$", "9"),
        ("The answer is 12, not 13.", "12"),
        ("The answer is for sure D, it can't be A", "D"),
        ("The answer is $\\$12$.", r"\$12"),
        ("The answer is $7$/$8$.", "$7$/$8$"),
        ("Final Answer: The largest $n$ is 34. I hope so.", "34"),
        (
            "Final Answer: The largest is 33 or the largest is 34.",
            "The largest is 33 or the largest is 34",
        ),
        (r"\boxed \frac12", r"\frac12"),
        (r"\boxed \frac{1}{2}", r"\frac{1}{2}"),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_extraction(completion, answer):
    assert extract_answer(completion) == answer


def test_reasons():
    expected = {
        r"\boxed{14}": "correct",
        r"\boxed{15}": "wrong",
        "14": "no_answer",
        r"\boxed{14+}": "unparseable",
        r"\boxed{9^{9^{9^9}}}": "too_large",
        r"\boxed{" + "1+" * 2000 + "1}": "too_large",
        r"\boxed{" + "(" * 30 + "14" + ")" * 30 + "}": "too_large",
    }
    for completion, reason in expected.items():
        verdict = verify(completion, "14")
        assert verdict.reason == reason in REASONS, completion
        assert verdict.reward == float(reason == "correct")
        assert verdict.method is None or verdict.method in RUNGS


def test_numbers_that_nearly_agree_differ():
    """The rung "numeric" alone: no exact arithmetic before it, no sympy after it."""
    almost = parser.read(r"e^{\pi\sqrt{163}}"), parser.read("262537412640768744")
    assert scalars.compare_at_points(*almost) == (True, 0)
    root = parser.read("(-8)^{1/3}")
    assert scalars.compare_at_points(root, parser.read("-2")) == (False, 1)


def test_a_function_too_large_at_every_point_is_named_so():
    assert verify(r"\boxed{x^{10^9}}", "x+1").reason == "too_large"
    assert verify(r"\boxed{2^{10^9x}}", "x+1").reason == "too_large"


def test_ends_of_intervals_that_are_not_real():
    assert verify(r"\boxed{[0,i)}", "[0,1)").reason == "wrong"
    assert equivalent("[i^2,1)", "[-1,1)")
    assert not equivalent(r"\pi \approx x", r"x<\pi")


def test_a_gold_that_cannot_be_read_is_named():
    for gold in (r"\frac{1}{", "", r"\int_0^1 x\,dx", "9" * 10_000):
        with pytest.raises(ValueError, match="gold answer"):
            check_gold(gold)
        assert verify(r"\boxed{5}", gold).reason in ("bad_gold", "too_large")


# Properties

NAMES = st.sampled_from("xyn")
LEAVES = st.one_of(st.integers(-9, 9).map(str), NAMES, st.sampled_from(["1/2", "3/4", "pi"]))


def _wrap(children):
    pairs = st.tuples(children, children)
    return st.one_of(
        pairs.map(lambda p: f"({p[0]})+({p[1]})"),
        pairs.map(lambda p: f"({p[0]})*({p[1]})"),
        pairs.map(lambda p: f"({p[0]})-({p[1]})"),
        children.map(lambda c: f"({c})^2"),
        children.map(lambda c: f"-({c})"),
    )


EXPRESSIONS = st.recursive(LEAVES, _wrap, max_leaves=5)


def _sympy_of(text):
    import sympy

    x, y, n = sympy.symbols("x y n")
    names = {"x": x, "y": y, "n": n, "pi": sympy.pi}
    return sympy.sympify(text.replace("^", "**"), locals=names)  # our own text, in a test


@settings(max_examples=60, deadline=None, derandomize=True)
@given(EXPRESSIONS)
def test_other_printings_of_an_expression_are_right(text):
    import sympy

    value = _sympy_of(text)
    for other in (sympy.expand(value), sympy.factor(value), sympy.together(value)):
        for printed in (str(other), sympy.latex(other)):
            assert equivalent(printed, text), printed
            assert equivalent(text, printed), printed


@settings(max_examples=60, deadline=None, derandomize=True)
@given(EXPRESSIONS, st.sampled_from(["+1", "-1/1000", "+x^5", "+pi/7", "+sqrt(2)"]))
def test_a_perturbed_expression_is_wrong(text, change):
    assert not equivalent(f"({text}){change}", text)
    assert not equivalent(text, f"({text}){change}")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(EXPRESSIONS, EXPRESSIONS)
def test_symmetric(one, two):
    assert equivalent(one, two) == equivalent(two, one)


# Texts of which most can be read: values, joined by the signs that stand between values.
ATOMS = st.from_regex(
    r"0|7|12|\.5|1,000|3e2|50%|1/2|-3|x|2x|x\^2|e\^x|pi|i|\(1,2\)|\[0,1\)|\{1,2\}|\|x\|",
    fullmatch=True,
)
JOINTS = st.sampled_from(["+", "-", "*", "/", "^", ",", ", ", "=", "<", ">", " ", "|", "\\ "])
NEARLY_READABLE = st.lists(st.tuples(ATOMS, JOINTS), min_size=1, max_size=5).map(
    lambda pairs: "".join(part for pair in pairs for part in pair).rstrip("+-*/^,=<>|\\ ")
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    NEARLY_READABLE
    | st.text(alphabet="0123456789xyn+-*/^()[]{},.=<>| \\%$ef", min_size=1, max_size=14)
)
def test_reflexive_on_any_text_that_can_be_read(text):
    try:
        parser.read(text)
    except (Unreadable, TooLarge):
        assume(False)
    assert equivalent(text, text)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_order_counts_in_tuples_only(items, chance):
    mixed = items[:]
    chance.shuffle(mixed)
    one, two = (", ".join(map(str, part)) for part in (items, mixed))
    assert equivalent(two, one)
    assert equivalent(f"\\{{{two}\\}}", one)
    assert equivalent(f"({two})", f"({one})") == (items == mixed)


# One verdict for two texts


def _verdicts(pairs):
    judge.known.clear()
    return [tuple(verify(f"\\boxed{{{answer}}}", gold)) for gold, answer in pairs]


# What once hung on the clock, what sympy decides, what it has no opinion on, what runs out of steps.
DISPUTED = [
    ("4", "2^{2.00000000000000000000000000000000000000000000001}"),
    ("1", r"2^{1/2^{300}}"),
    (r"\sin 2x", r"2\sin x\cos x"),
    (r"\frac{\pi}{4}", r"\arctan\frac12+\arctan\frac13"),
    (r"1+\sqrt{2}", r"\sqrt{3+2\sqrt{2}}"),
    (r"\tan 5x\tan 7x", r"\frac{\sin 5x\sin 7x}{\cos 5x\cos 7x}"),
    (
        r"\cos\frac{\pi}{17}\cos\frac{2\pi}{17}\cos\frac{4\pi}{17}\cos\frac{8\pi}{17}",
        r"\frac{1}{16}",
    ),
    (r"\sin 30x-\cos 20x\tan 10y", r"\sin 30x-\cos(20x)\tan(10y)+\sin^2 x+\cos^2 x-1"),
]


def test_verdicts_do_not_depend_on_the_run_the_thread_or_the_process():
    expected = _verdicts(DISPUTED)
    for _ in range(2):
        assert _verdicts(DISPUTED) == expected
    found = [None] * 3
    threads = [
        threading.Thread(target=lambda k=k: found.__setitem__(k, _verdicts(DISPUTED)))
        for k in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3
    code = (
        "import json, sys; from verifier import verify;"
        "print(json.dumps([verify('\\\\boxed{' + a + '}', g) for g, a in json.load(sys.stdin)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(DISPUTED), cwd=ROOM.parent, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert [tuple(verdict) for verdict in json.loads(done.stdout)] == expected


def test_no_clock_decides(monkeypatch):
    """A clock that runs a thousand times too fast changes nothing."""
    expected = _verdicts(DISPUTED[:4])
    start = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: start + 1000 * time.perf_counter())
    monkeypatch.setattr(time, "time", lambda: start + 1000 * time.perf_counter())
    assert _verdicts(DISPUTED[:4]) == expected


def test_work_is_bounded_by_a_count():
    ladder = Ladder()
    ladder.work = 10
    with pytest.raises(TooLarge, match="more work"):
        ladder.equal(parser.read("sin x+sin y"), parser.read("cos x+cos y"))


# Hostile input


def _injections(target):
    calls = [
        f"open({str(target)!r},'w')", f"__import__('os').system('touch {target}')",
        f"exec(\"open('{target}','w')\")", f"eval(\"open('{target}','w')\")",
        f"[].__class__.__base__.__subclasses__()[0]('{target}')", f"os.system('touch {target}')",
        f"print(open('{target}','w'))", f"(lambda: open('{target}','w'))()", f"$(touch {target})",
        f"`touch {target}`", f"; touch {target}", f"\\write18{{touch {target}}}",
        f"\\input{{{target}}}",
        f"\\immediate\\write18{{touch {target}}}", f"sympy.S(\"open('{target}','w')\")",
        f"sympify(\"open('{target}','w')\")", f"parse_expr('open(\"{target}\",\"w\")')",
        f"{{{{open('{target}','w')}}}}", f"%{{open('{target}','w')}}", f"x.__init__('{target}')",
    ]  # fmt: skip
    return calls + [f"x+{c}" for c in calls] + [f"\\text{{{c}}}" for c in calls]


def _hostile(target):
    huge = [
        "1" * 10**6,
        "\\boxed{" * 140_000,
        "{" * 10**6,
        "(" * 10**6,
        "\\" * 10**6,
        "x " * 500_000,
    ]
    huge += [
        "#### " * 200_000,
        "answer is " * 100_000,
        "$" * 10**6,
        "\\boxed{" + "{}" * 500_000 + "}",
    ]
    huge += [" " * 10**6, "answer" + " " * 10**6, "\n" * 10**6, "\\boxed{" + "1," * 500_000 + "1}"]
    return [*BOMBS, *CONTROL, *_injections(target), *huge]


GOLDS = ["14", r"\frac{\sqrt3}{2}", r"\sin 2x", "(1,2]", r"\text{yes}", r"\{1, 2\}"]


# In seconds of this process's own work, so that a busy machine fails nothing; what the judge may take
# is bounded in judge.py and tested there.


def test_hostile_answers_end_quickly_and_do_nothing(tmp_path):
    target = tmp_path / "touched"
    hostile = _hostile(target)
    assert len(hostile) >= 200
    slow = []
    for k, text in enumerate(hostile):
        shapes = (f"\\boxed{{{text}}}", f"The answer is {text}", text, f"\\boxed{{14}}{text}")
        for completion in shapes:
            gold = GOLDS[k % len(GOLDS)]
            start = time.process_time()
            verdict = verify(completion, gold)
            if time.process_time() - start > 1:
                slow.append((text[:60], gold, time.process_time() - start))
            assert verdict.reason in REASONS
    assert not slow
    assert not target.exists()


def test_hostile_golds_do_not_raise_either():
    for text in [*BOMBS, *CONTROL]:
        start = time.process_time()
        assert verify(r"\boxed{\sin x}", text).reason in REASONS
        assert time.process_time() - start < 1, text[:60]


def test_fuzz():
    """10,000 strings of scraps: none raises past the ladder's own errors, none takes a second."""
    chance = random.Random(0)
    scraps = SCRAPS.split()
    for _ in range(10_000):
        text = "".join(chance.choice(scraps) for _ in range(chance.randint(1, 12)))
        gold = chance.choice(GOLDS)
        start = time.process_time()
        verifier._climb(gold, text, Ladder())  # what `verify` would swallow shows here
        assert time.process_time() - start < 1, text


# The command line, the documentation


def _run(*args):
    command = [sys.executable, str(ROOM), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_explain_on_the_command_line():
    done = _run("--gold", r"\frac12", "--answer", "0.5")
    assert done.returncode == 0
    assert "rational" in done.stdout and "correct" in done.stdout


def test_grade_a_file(tmp_path):
    rows = [(r"\boxed{14}", "14"), (r"\boxed{15}", "14"), ("14", "14"), (r"\boxed{6/4}", "3/2")]
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(json.dumps({"completion": c, "gold": g}) for c, g in rows))
    done = _run(path)
    table = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}
    assert table == {"correct": "2", "wrong": "1", "no_answer": "1", "all": "4"}


def test_a_bad_line_is_named(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"completion": "x"}\n')
    done = _run(path)
    assert done.returncode != 0 and "line 1" in done.stderr
    assert _run().returncode != 0


ROOMS = [
    span,
    verifier,
    structure,
    forms,
    sets,
    scalars,
    algebra,
    parser,
    spelling,
    tokens,
    words,
    tree,
]


def test_the_table_of_the_documentation():
    """Each answer in the columns "right" and "wrong" of docs/verifier.md gets that verdict."""
    page = (ROOM.parent / "docs" / "verifier.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| `")]
    rows = [[re.findall("`([^`]+)`", cell) for cell in row] for row in rows]
    assert len(rows) > 15
    refused = [(gold, a) for (gold,), right, _ in rows for a in right if not equivalent(a, gold)]
    accepted = [(gold, a) for (gold,), _, wrong in rows for a in wrong if equivalent(a, gold)]
    assert not refused and not accepted


def test_the_hack_list_of_the_documentation():
    page = (ROOM.parent / "docs" / "verifier.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| \d+ \| `(.+?)` \| `(.+?)` \| (yes|no) \| (.+) \|$", re.MULTILINE)
    hacks = row.findall(page)
    assert len(hacks) >= 60 and sum(paid == "no" for *_, paid, _ in hacks) >= 55
    told_wrong = [
        (gold, completion)
        for gold, completion, paid, _ in hacks
        if verify(completion.replace("↵", "\n"), gold).reward != (paid == "yes")
    ]
    assert not told_wrong


def test_golds_of_physics_are_read():
    for gold in (
        r"-1./3",
        r"y^{\prime}",
        r"\dot x",
        r"\hbar",
        r"M_{\odot}",
        r"\ddot{x}=-\omega^2 x",
    ):
        check_gold(gold)
        assert equivalent(gold, gold)


@pytest.mark.parametrize("module", ROOMS)
def test_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted and not result.failed
