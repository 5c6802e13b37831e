"""sympy's process: when it starts, what kills it, what replaces it, and who waits for it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import verifier
from answers.judge import STEPS, Judge, judge
from answers.parser import read
from answers.tree import num
from verifier import equivalent, verify

ROOM = Path(verifier.__file__)


@pytest.fixture(scope="module", autouse=True)
def warm_judge():
    """The one-off start of sympy's process is not part of any verdict's second."""
    assert equivalent("2 sin x cos x", "sin 2x")


def test_nothing_starts_before_the_first_symbolic_case():
    code = (
        "import sys, verifier; from answers.judge import judge;"
        "assert verifier.equivalent('7+4x', '4x+7');"
        "assert not verifier.equivalent('sin x', 'cos x');"
        "assert 'sympy' not in sys.modules and 'torch' not in sys.modules;"
        "assert judge.process is None;"
        "assert verifier.equivalent('2 sin x cos x', 'sin 2x');"
        "assert judge.process is not None and 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOM.parent, check=True, timeout=60)


def test_a_script_without_a_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(ROOM.parent)!r})\n"
        "import verifier\nprint(verifier.equivalent('2 sin x cos x', 'sin 2x'))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n", done.stderr


def test_too_many_steps_end_a_question_not_the_process():
    process = judge.process
    hard = read(r"\cos 20^\circ\cos 40^\circ\cos 80^\circ"), read("1/8")
    assert judge.ask("zero", *hard, 1000) == (None, 1000)
    found, steps = judge.ask("zero", *hard, STEPS)
    assert found is True and 1000 < steps < STEPS
    assert judge.process is process


def test_what_no_count_sees_is_ended_by_its_own_cpu_time():
    """One factorial in C is one call; the child that works on it dies, and the verdict is no."""
    bomb = ("fn", "factorial", num(10**7))  # the bounds of answers.tree keep such from sympy
    assert judge.ask("zero", bomb, num(1), STEPS)[0] is None
    judge.known.clear()
    assert equivalent("2 sin x cos x", "sin 2x")


def test_a_question_that_does_not_end_is_not_paid(monkeypatch):
    monkeypatch.setattr(judge, "ask", lambda *_: (None, STEPS))
    for answer, gold in ((r"2\sin x\cos x", r"\sin 2x"), (r"\arctan 1", r"\frac{\pi}{4}")):
        verdict = verify(f"\\boxed{{{answer}}}", gold)
        assert (verdict.reward, verdict.reason) == (0.0, "timeout")


def test_steps_do_not_depend_on_what_was_asked_before():
    """First question or third, the steps are the same; in another process they hardly move."""
    pairs = [(r"\tan 2x", r"\frac{2\tan x}{1-\tan^2 x}"), (r"\tan^2 y+1", r"\sec^2 y")]
    trees = [(read(gold), read(answer)) for gold, answer in pairs]
    counts = []
    for _ in range(3):
        judge.known.clear()
        counts.append([judge.ask("zero", *each, STEPS) for each in trees])
    assert counts == [counts[0]] * 3 and all(found is True for found, _ in counts[0])
    other = Judge()
    for each, (found, steps) in zip(trees, counts[0], strict=True):
        there, taken = other.ask("zero", *each, STEPS)
        assert there is found and abs(taken - steps) < 0.005 * steps
    other.stop()


def test_a_judge_that_dies_is_replaced():
    judge.known.clear()
    judge.process.kill()
    judge.process.wait()
    assert equivalent("2 sin x cos x", "sin 2x")


def test_threads_share_one_judge():
    pairs = [("2 sin x cos x", "sin 2x", True), ("sin x", "cos x", False), ("7+4x", "4x+7", True)]
    wrong = []

    def grade():
        judge.known.clear()
        wrong.extend(p for p in pairs * 5 if equivalent(p[0], p[1]) != p[2])

    threads = [threading.Thread(target=grade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_who_queues_for_the_judge_waits_for_it():
    """Another thread holds the judge: the verdict comes later, and is the same."""
    found = []
    judge.known.clear()

    def grade():
        found.append(verify(r"\boxed{2\sin x\cos x}", r"\sin 2x").reward)

    threads = [threading.Thread(target=grade, daemon=True) for _ in range(3)]
    with judge.lock:
        for thread in threads:
            thread.start()
        threads[0].join(timeout=1)
        assert not found
    for thread in threads:
        thread.join(timeout=20)
    assert found == [1.0] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_its_own_judge():
    child = os.fork()
    if child == 0:
        os._exit(0 if equivalent("2 sin x cos x", "sin 2x") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert equivalent("2 sin x cos x", "sin 2x")
