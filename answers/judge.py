"""sympy decides what exact arithmetic and numbers leave open, in a process that can be killed.

The top rung of the ladder in `verifier.py`, "sympy". Importing this file neither imports sympy nor
starts a process: the first question does. The process is this file, run as a script.

sympy hangs on some inputs, even while it builds them. An alarm works in the main thread only, and a
thread's time-out does not stop the thread. So the judge is a process of its own, which is killed
when it overruns, and replaced. It is a plain `subprocess` that speaks lines of JSON, so it works
from threads, notebooks and scripts without a main guard, on any system. It gets trees, never text,
and builds sympy's objects from them node by node.
"""

import atexit
import contextlib
import faulthandler
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

JUDGE_SECONDS = 0.45  # of one question; then the process is killed and replaced
START_SECONDS = 20  # for a new process to import sympy
NO_WINDOW = 0x08000000  # Windows: open no console


class Judge:
    """A handle on the process; any thread may ask, one at a time is answered."""

    def __init__(self):
        self.lock = threading.Lock()
        self.process = None  # a Popen, once there was a question
        self.owner = None  # the process id that started it
        self.ready = False  # has it imported sympy?
        self.answers = None  # a queue of the lines it printed

    def ask(self, question: str, gold: tuple, answer: tuple, seconds: float) -> bool | str | None:
        """Put one question about two trees of scalars; wait `seconds` for it at most.

        `question` is "zero" (is gold - answer zero?) or "ratio" (is gold / answer a constant?).
        Returns True, False, "undecided", or None if there was no answer in time: other threads
        were asking, sympy took longer than JUDGE_SECONDS, or the process died. The start of a
        new process is waited for on top of that. Never raises.
        """
        line = json.dumps([question, gold, answer], default=str) + "\n"  # a Fraction is "3/2"
        began = time.monotonic()
        if not self.lock.acquire(timeout=max(0, seconds)):
            return None
        try:
            return self._ask_alone(line, seconds - (time.monotonic() - began))
        finally:
            self.lock.release()

    def stop(self) -> None:
        """Kill the process, if it is ours; the next question starts another."""
        process, self.process = self.process, None
        if process is not None and self.owner == os.getpid():
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _ask_alone(self, line, seconds):
        """`ask` for the one thread that holds the lock."""
        try:
            if not self._alive():
                self._start()
            if not self.ready:
                self.ready = self.answers.get(timeout=START_SECONDS) is True
            self.process.stdin.write(line)
            self.process.stdin.flush()
            found = self.answers.get(timeout=max(0.05, min(seconds, JUDGE_SECONDS)))
            if found != "gone":
                return found
        except (OSError, ValueError, queue.Empty):
            pass
        self.stop()
        with contextlib.suppress(OSError, ValueError):
            self._start()  # at once, so that it is ready when next asked
        return None

    def _alive(self):
        """Is there a process, and is it ours? After a fork the old pipes are the parent's."""
        return (
            self.process is not None and self.owner == os.getpid() and self.process.poll() is None
        )

    def _start(self):
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                str(Path(__file__).resolve()),
            ],  # -P: no module of this folder is found
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            creationflags=NO_WINDOW if os.name == "nt" else 0,
        )
        self.owner, self.answers, self.ready = os.getpid(), queue.Queue(), False
        listener = threading.Thread(
            target=_listen, args=(self.process.stdout, self.answers), daemon=True
        )
        listener.start()


def _listen(pipe, answers):
    """Move the lines that the process prints into a queue, which can be waited for with a bound."""
    with contextlib.suppress(ValueError, OSError), pipe:
        for line in pipe:
            answers.put(json.loads(line))
    answers.put("gone")


judge = Judge()
atexit.register(judge.stop)


# From here on: what runs in the process itself.


def _symbolic(tree, sp):
    """A sympy object, node by node, from the JSON of a tree; variables count as positive."""
    kind, *rest = tree
    if kind == "num":
        return sp.Rational(*map(int, str(rest[0]).split("/")))
    if kind == "var":
        return sp.Symbol(rest[0], positive=True)
    if kind == "const":
        return {"pi": sp.pi, "e": sp.E, "i": sp.I}[rest[0]]
    name = rest.pop(0) if kind == "fn" else kind
    parts = [_symbolic(part, sp) for part in rest]
    if name == "add":
        return sp.Add(*parts)
    if name == "mul":
        return sp.Mul(*parts)
    if name == "pow":
        return _symbolic_power(*parts, sp)
    if name == "percent":
        return parts[0] / 100
    if name == "deg":
        return parts[0] * sp.pi / 180
    names = {"abs": "Abs", "ceil": "ceiling", "binom": "binomial"}
    return getattr(sp, names.get(name, name.replace("arc", "a")))(*parts)


def _symbolic_power(base, power, sp):
    """base^power; an odd root of a negative number is the real one, which is not sympy's choice."""
    odd_root = power.is_Rational and power.q % 2 and power.q > 1
    if base.is_number and base.is_negative and odd_root:
        return (-1) ** power.p * sp.Pow(-base, power)
    return sp.Pow(base, power)


def _answer(question, gold, answer, sp):
    """sympy's opinion: True, False, or None if it has none."""
    one, two = _symbolic(gold, sp), _symbolic(answer, sp)
    if question == "ratio":
        ratio = sp.simplify(one / two)
        return bool(ratio.is_number and ratio.is_finite and not ratio.is_zero)
    gap = one - two
    if gap == 0 or sp.expand(gap) == 0:
        return True
    top = sp.numer(sp.together(sp.expand(gap.rewrite(sp.exp))))  # trigonometry as exponentials
    if sp.expand(top) == 0 or sp.simplify(sp.expand_trig(gap)) == 0:
        return True
    return gap.equals(0)


def _serve():
    """Questions on stdin, answers on stdout, one line each, until stdin closes."""
    import sympy as sp

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which then stops us
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    x = sp.Symbol("x", positive=True)
    ready = sp.simplify(sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1) == 0  # warms sympy's own imports
    print(json.dumps(bool(ready)), flush=True)
    for line in sys.stdin:
        faulthandler.dump_traceback_later(3, exit=True)  # for when nobody is left to kill us
        try:
            found = _answer(*json.loads(line), sp)
        except Exception:
            found = None
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps("undecided" if found is None else bool(found)), flush=True)


if __name__ == "__main__":
    _serve()
