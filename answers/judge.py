"""sympy decides what exact arithmetic and numbers leave open, in a process that can be killed.

The top rung of the ladder in `verifier.py`, "sympy". Importing this file neither imports sympy nor
starts a process: the first question does. The process is this file, run as a script; it speaks lines
of JSON, so it works from threads, notebooks and scripts without a main guard, on any system. It gets
trees, never text, and builds sympy's objects from them node by node.

sympy runs for ever on some inputs. A clock would bound that, but then a verdict would depend on how
busy the machine is. So the process counts the calls of Python functions that sympy makes, and stops
at a number of them: the same question ends at the same call everywhere. Where the system can fork,
each question gets a child with sympy as it was freshly imported, since what sympy remembers of an
earlier question changes that number. The clock and the memory bounds are there for what no count
sees, such as one huge multiplication in C; the bounds of `answers.tree` keep such from sympy.
"""

import atexit
import contextlib
import gc
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

STEPS = 500_000  # calls of Python functions for the questions of one verdict, about half a second
CPU_SECONDS = 5  # of work on one question, if it escapes the count
WALL_SECONDS = 60  # until a process that does not answer is killed
START_SECONDS = 60  # for a new process to import sympy
MAX_KNOWN = 4096  # replies that are remembered
NO_WINDOW = 0x08000000  # Windows: open no console


class Judge:
    """A handle on the process. Any thread may ask; the questions are answered one at a time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.process = None  # a Popen, once there was a question
        self.owner = None  # the process id that started it
        self.ready = False  # has it imported sympy?
        self.answers = None  # a queue of the lines it printed
        self.known = {}  # replies: the answers of a group repeat each other

    def ask(self, question: str, gold: tuple, answer: tuple, steps: int) -> tuple[object, int]:
        """Put one question about two trees of scalars: (what sympy says, the steps it took).

        `question` is "zero" (is gold - answer zero?) or "ratio" (is gold / answer a constant?).
        sympy says True, False, "undecided", or None: it did not end within `steps`, or the process
        died. Waits while other threads ask. Never raises.
        """
        line = json.dumps([question, gold, answer, steps], default=str) + "\n"  # 3/2 is "3/2"
        with self.lock:
            if line in self.known:
                return self.known[line]
            for _ in range(2):  # a process that somebody killed is replaced once
                found = self._ask_alone(line)
                if found is not None:
                    if len(self.known) >= MAX_KNOWN:
                        self.known.clear()
                    if found[0] is not None:
                        self.known[line] = tuple(found)
                    return tuple(found)
        return None, steps

    def stop(self) -> None:
        """Kill the process, if it is ours; the next question starts another."""
        process, self.process = self.process, None
        if process is not None and self.owner == os.getpid():
            with contextlib.suppress(OSError):
                if hasattr(os, "killpg"):  # with the child that works on a question
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _ask_alone(self, line):
        """The reply to one line, [verdict, steps]; None if there is none."""
        try:
            if not self._alive():
                self._start()
            if not self.ready:
                self.ready = self.answers.get(timeout=START_SECONDS) is True
            self.process.stdin.write(line)
            self.process.stdin.flush()
            found = self.answers.get(timeout=WALL_SECONDS)
            if found != "gone":
                return found
        except (OSError, ValueError):
            pass
        except queue.Empty:
            self.stop()
            return [None, STEPS]
        self.stop()
        return None

    def _alive(self):
        """Is there a process, and is it ours? After a fork the old pipes are the parent's."""
        return (
            self.process is not None and self.owner == os.getpid() and self.process.poll() is None
        )

    def _start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).resolve())],  # -P: not this folder's modules
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONHASHSEED": "0"},  # sympy walks through sets
            start_new_session=True,
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


class _OutOfSteps(BaseException):
    """sympy made more calls than it may; no `except Exception` of its own stops this."""


class _Steps:
    """Counts the calls of Python functions within a `with`, and ends it past a number of them."""

    def __init__(self, most):
        self.most, self.taken = most, 0

    def __call__(self, *_):
        self.taken += 1
        if self.taken > self.most:
            sys.settrace(None)
            raise _OutOfSteps

    def __enter__(self):
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(None)


def _zeros(gap, sp):
    """Ways to see that an expression is zero, cheapest first."""
    from sympy.simplify.fu import TR8

    if gap.has(sp.sin, sp.cos):
        yield TR8(gap) == 0  # their products as sums, by Fu, Zhong and Zeng (2006)
    yield sp.expand(gap) == 0
    yield sp.expand(sp.expand_trig(gap)) == 0
    if gap.is_number:
        yield sp.expand(gap, complex=True) == 0
        yield sp.sqrtdenest(gap) == 0
    exponentials = sp.expand(gap.rewrite(sp.exp))
    yield sp.expand(sp.numer(sp.together(exponentials))) == 0
    yield sp.simplify(sp.expand_trig(gap)) == 0


def _answer(question, gold, answer, sp):
    """sympy's opinion: True, False, or None if it has none."""
    one, two = _symbolic(gold, sp), _symbolic(answer, sp)
    if question == "ratio":
        ratio = sp.simplify(one / two)
        return bool(ratio.is_number and ratio.is_finite and not ratio.is_zero)
    gap = one - two
    return True if gap == 0 or any(_zeros(gap, sp)) else gap.equals(0)


def _counted_answer(question, gold, answer, most, sp):
    """[verdict, steps] of one question, the verdict None past `most` steps."""
    steps = _Steps(most)
    sp.core.random.seed(0)  # sympy tries random points
    try:
        with steps:
            found = _answer(question, gold, answer, sp)
    except _OutOfSteps:
        return [None, most]
    except Exception:
        found = None
    return ["undecided" if found is None else bool(found), steps.taken]


class _Child:
    """A fork of this process, made ahead of its one question: sympy as freshly imported."""

    def __init__(self, sp):
        asked, told = os.pipe(), os.pipe()
        self.id = os.fork()
        if self.id == 0:
            with contextlib.suppress(BaseException):
                os.close(asked[1])
                self._work(asked[0], told[1], sp)
            os._exit(0)
        os.close(asked[0])
        os.close(told[1])
        self.question, self.reply = os.fdopen(asked[1], "w"), os.fdopen(told[0])

    @staticmethod
    def _work(asked, told, sp):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        line = os.fdopen(asked).readline()  # empty if this process's parent is gone
        if line:
            os.write(told, json.dumps(_counted_answer(*json.loads(line), sp)).encode())

    def answer(self, line):
        """The reply to a line of JSON; none past all steps if the child died of it."""
        with self.question as pipe:
            pipe.write(line)
        with self.reply as pipe:
            reply = pipe.read()
        os.waitpid(self.id, 0)
        return json.loads(reply) if reply else [None, STEPS]


def _in_this_process(line, sp):
    """The same where the system cannot fork: sympy forgets what it remembers instead."""
    sp.core.cache.clear_cache()
    return _counted_answer(*json.loads(line), sp)


def _serve():
    """Questions on stdin, answers on stdout, one line each, until stdin closes."""
    import sympy as sp

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which then stops us
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    x = sp.Symbol("x", positive=True)  # what sympy imports late and remembers, for all children
    known = sp.sin(2 * x) - 2 * sp.sin(x) * sp.cos(x), sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1
    ready = all(way for gap in known for way in (any(_zeros(gap, sp)), sp.simplify(gap) == 0))
    gc.freeze()  # or every child would copy the pages that its collector touches
    child = _Child(sp) if hasattr(os, "fork") else None
    print(json.dumps(bool(ready)), flush=True)
    for line in sys.stdin:
        reply = child.answer(line) if child else _in_this_process(line, sp)
        print(json.dumps(reply), flush=True)
        child = child and _Child(sp)


if __name__ == "__main__":
    _serve()
