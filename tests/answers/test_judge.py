"""sympy's process: when it starts, what kills it, what replaces it, and who waits for it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import verifier
from answers.judge import judge
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


def test_an_overrun_is_killed_and_replaced():
    first, start = judge.process, time.perf_counter()
    bomb = ("fn", "factorial", num(10**8))  # the ladder's bounds keep such from sympy
    assert judge.ask("zero", bomb, num(1), 1) is None
    assert time.perf_counter() - start < 1
    assert judge.process is not first
    assert first.poll() is not None
    assert equivalent("2 sin x cos x", "sin 2x")


def test_a_slow_judge_is_a_timeout(monkeypatch):
    monkeypatch.setattr(judge, "ask", lambda *_: None)
    assert verify(r"\boxed{2\sin x\cos x}", r"\sin 2x").reason == "timeout"


def test_a_judge_that_dies_is_replaced():
    judge.process.kill()
    judge.process.wait()
    assert equivalent("2 sin x cos x", "sin 2x")


def test_threads_share_one_judge():
    pairs = [("2 sin x cos x", "sin 2x", True), ("sin x", "cos x", False), ("7+4x", "4x+7", True)]
    wrong = []

    def grade():
        wrong.extend(p for p in pairs * 5 if equivalent(p[0], p[1]) != p[2])

    threads = [threading.Thread(target=grade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_who_queues_for_the_judge_gives_up_in_time():
    """Another thread holds the judge for long: the verdict is a timeout, within its second."""
    found = []

    def grade():
        start = time.perf_counter()
        verdict = verify(r"\boxed{2\sin x\cos x}", r"\sin 2x")
        found.append((verdict.reward, verdict.reason, time.perf_counter() - start < 1))

    threads = [threading.Thread(target=grade, daemon=True) for _ in range(3)]
    with judge.lock:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=3)
        assert found == [(0.0, "timeout", True)] * 3
    assert equivalent("2 sin x cos x", "sin 2x")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_its_own_judge():
    child = os.fork()
    if child == 0:
        os._exit(0 if equivalent("2 sin x cos x", "sin 2x") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert equivalent("2 sin x cos x", "sin 2x")
