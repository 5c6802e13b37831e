"""What a completion is worth: the verifier, or functions of one's own.

    --reward mine.py:even                          one's own function in the verifier's place
    --reward verify --reward mine.py:even=0.5      r = verify + 0.5 * even

    def even(completion: str, problem: dict) -> float            # or (float, "a word why")
    def even(prompts, completions, **columns) -> list[float]     # TRL's kind works as well

A function runs in this process, and may do there what any Python may do. It costs a run no more than its
reward: what it raises, a value that is no number, or more than `--reward-seconds`, is shown once with the
completion, counts as 0 and stands under `reasons` as reward_error. One that fails on every completion of
a trial is refused before anything is trained.
"""

from __future__ import annotations

import contextlib
import inspect
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

from tqdm import tqdm

from verifier import Verdict, extract_answer, verify
from worlds.files import folded
from worlds.reward_files import (
    BUILT_IN,
    LARGEST,
    SHOWN,
    Term,
    digest_of,
    read_term,
    said_of,
    shown,
)

FAILED = "reward_error"  # the reason of a completion on which a function failed
TRL_OWN = (
    "trainer_state",
    "log_extra",
    "log_metric",
    "environments",
)  # what TRL passes beside columns
Row = dict  # of one problem: prompt, problem, answer, kind, and the other columns of its data


class Late(BaseException):
    """A function took longer than it may. Not an Exception, which it might catch itself."""


class Faulty(Exception):
    """A function returned something that is no reward."""


# ---------------------------------------------------------------- from functions to rewards


class Rewards:
    """The sum of the functions of --reward; without one, the verifier."""

    def __init__(self, given: Sequence[str] = (), seconds: float = 5.0):
        """Runs the files that are named. Raises ValueError, in one sentence, for what cannot be used.

        seconds: of one completion; a function of TRL's kind has as many for each of its batch.
        """
        self.terms = [read_term(text) for text in given or (BUILT_IN,)]
        self.seconds, self.told = seconds, set()
        self.trial, self.fault = False, ""  # is this a trial?; the last fault, as a sentence
        names = [term.name for term in self.terms]
        if twice := next((n for n in names if names.count(n) > 1), None):
            raise ValueError(f"--reward {twice} is given twice: add up its weights")

    def sha256(self) -> str:
        """`digest_of` its functions."""
        return digest_of(self.terms)

    def __call__(
        self, rows: Sequence[Row], texts: Sequence[str]
    ) -> tuple[list[Verdict], dict[str, float]]:
        """A Verdict for each completion, and each function's mean where there are several."""
        graded = [self.graded_by(term, rows, texts) for term in self.terms]
        if len(self.terms) == 1 and self.terms[0] == Term(BUILT_IN):
            return graded[0], {}
        verdicts = [self.total(of_one, text) for *of_one, text in zip(*graded, texts, strict=True)]
        self.tell_of_range(verdicts)
        means = {
            term.short: sum(v.reward for v in of_all) / max(len(of_all), 1)
            for term, of_all in zip(self.terms, graded, strict=True)
        }
        return verdicts, means if len(means) > 1 else {}

    def total(self, of_one: list[Verdict], text: str) -> Verdict:
        """The weighted sum of one completion's verdicts, with the first reason that was given."""
        weighed = (t.weight * v.reward for t, v in zip(self.terms, of_one, strict=True))
        reward = round(sum(weighed), 9)  # 0.7 + 0.2 + 0.1 is 1
        reasons = [v.reason for v in of_one if v.reason]
        usual = "correct" if reward >= 1 else "partly" if reward > 0 else "wrong"
        reason = FAILED if FAILED in reasons else next(iter(reasons), usual)
        answer = next((v.answer for v in of_one if v.answer is not None), None)
        method = next((v.method for v in of_one if v.method is not None), None)
        return Verdict(reward, reason, answer or extract_answer(text), method)

    def tell_of_range(self, verdicts: list[Verdict]) -> None:
        """Say once that rewards lie outside of what phi is made for."""
        low, high = (f(v.reward for v in verdicts) for f in (min, max)) if verdicts else (0, 0)
        if low < 0 or high > 1:
            self.tell(
                "range",
                f"rewards from {low:g} to {high:g}: the advantage takes any numbers, phi takes less than "
                "0 for 0 and more than 1 for 1",
            )

    def graded_by(self, term: Term, rows: Sequence[Row], texts: Sequence[str]) -> list[Verdict]:
        """One function's verdicts, without its weight."""
        if term.function is None:
            return [verify(t, row["answer"]) for t, row in zip(texts, rows, strict=True)]
        if term.by_batch:
            found = self.tried(term, lambda: batch_of(term.function, rows, texts), texts)
            return found or [Verdict(0.0, FAILED, None, None)] * len(texts)
        return [
            self.tried(term, lambda t=t, row=row: one_of(term.function, row, t), [t], row)
            or Verdict(0.0, FAILED, None, None)
            for t, row in zip(texts, rows, strict=True)
        ]

    def tried(self, term: Term, call: Callable, texts: Sequence[str], row: Row | None = None):
        """What the call gives, or None if it fails, which is said once for each way to fail."""
        seconds = self.seconds * max(len(texts), 1)
        try:
            with within(seconds):
                return call()
        except Late:
            why = f"took longer than {seconds:g} s (--reward-seconds)"
        except Faulty as error:
            why = str(error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, GeneratorExit and the like among them
            why = f"raised {said_of(error, term.file)}"
            if isinstance(error, KeyError) and row:
                why += f", a problem has {', '.join(row)}"
        on = f"the completion {texts[0][:SHOWN]!r}"
        if row is None:
            on = f"{len(texts)} completions, the first of them {texts[0][:SHOWN]!r}"
        self.fault = f"--reward {term.name} {why}; on {on}"
        if not self.trial:
            self.tell((term.name, why.split("(")[0]), f"{self.fault}: it counts as 0")
        return None

    def tell(self, what, sentence: str) -> None:
        """Say something, above the bar, once."""
        if what not in self.told:
            tqdm.write(folded(sentence))
        self.told.add(what)

    def as_trl(self) -> Callable[..., list[float]]:
        """The same rewards as one function that TRL can call.

            GRPOTrainer(model, reward_funcs=Rewards(["mine.py:even"]).as_trl(), ...)

        A problem is then a row of the trainer's data set, with its own columns.
        """

        def reward(prompts: list, completions: list, **columns) -> list[float]:
            texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
            own = {k: v for k, v in columns.items() if k not in (*TRL_OWN, "completion_ids")}
            rows = [
                {"prompt": prompt, **{name: values[i] for name, values in own.items()}}
                for i, prompt in enumerate(prompts)
            ]
            return [verdict.reward for verdict in self(rows, texts)[0]]

        reward.__name__ = "+".join(term.short for term in self.terms)
        return reward

    def try_on(self, rows: Sequence[Row]) -> None:
        """Try each function on some problems. Raises ValueError if one fails on all of them."""
        texts = [f"The answer is {row['answer']}." for row in rows]
        self.trial = True
        for term in self.terms:
            if term.by_batch:
                check_columns(term, rows)
            graded = self.graded_by(term, rows, texts)
            if all(v.reason == FAILED for v in graded):
                raise ValueError(f"{self.fault}, as on every completion of a trial before the run")
        self.trial = False


def one_of(function: Callable, row: Row, text: str) -> Verdict:
    """What a function of (completion, problem) says. Raises Faulty."""
    return verdict_of(function(text, dict(row)))


def batch_of(function: Callable, rows: Sequence[Row], texts: Sequence[str]) -> list[Verdict]:
    """What a function of TRL's kind says; None in its list: not its business, 0. Raises Faulty."""
    found = function(**arguments(function, rows, list(texts)))
    if isinstance(found, (str, bytes, dict)) or not hasattr(found, "__len__"):
        raise Faulty(f"returned {shown(found)}, not a list of {len(texts)} numbers")
    if len(found) != len(texts):
        raise Faulty(f"returned {len(found)} rewards for {len(texts)} completions")
    return [Verdict(0.0, "", None, None) if value is None else verdict_of(value) for value in found]


def verdict_of(value: object) -> Verdict:
    """A number, or a number and a word, as a Verdict. Raises Faulty.

    >>> verdict_of((0.5, "no box")), verdict_of(True).reward
    (Verdict(reward=0.5, reason='no box', answer=None, method=None), 1.0)
    """
    reason = ""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
        value, reason = value
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise Faulty(f"returned {shown(value)}, not a number")
    number = float(value)
    if not abs(number) <= LARGEST:
        raise Faulty(f"returned {number}, not a number of at most {LARGEST:,.0f}")
    return Verdict(number, reason[:SHOWN], None, None)


def arguments(function: Callable, rows: Sequence[Row], texts: list[str]) -> dict:
    """TRL's keywords, those that the function takes: prompts, completions, a list a column."""
    names = dict.fromkeys(name for row in rows for name in row if name != "prompt")
    every = {name: [row.get(name) for row in rows] for name in names}
    every |= {"prompts": [row["prompt"] for row in rows], "completions": texts}
    every |= {"trainer_state": None, "log_extra": ignore, "log_metric": ignore}
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return every
    return {name: value for name, value in every.items() if name in parameters}


def ignore(*_arguments) -> None:
    """For what a function of TRL's kind wants to log: here metrics.jsonl has its mean."""


def check_columns(term: Term, rows: Sequence[Row]) -> None:
    """Raise ValueError for a column that a function of TRL's kind needs and the data lacks."""
    given = arguments(term.function, rows, [])
    parameters = inspect.signature(term.function).parameters.values()
    needs = [
        p.name for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]  # fmt: skip
    if missing := [name for name in needs if name not in given]:
        raise ValueError(
            f"--reward {term.name} asks for the column {missing[0]}; the data has "
            f"{', '.join(dict.fromkeys(name for row in rows for name in row))} (--data)"
        )


# ---------------------------------------------------------------- somebody else's code


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise Late in a block that takes longer, and again each second if it swallows that.

    By a timer's signal, which Linux and macOS have, for Python's main thread; elsewhere, as on Windows,
    there is no limit. A single long call into C is not interrupted.
    """
    main = threading.current_thread() is threading.main_thread()
    if not (main and hasattr(signal, "setitimer")):
        yield
        return

    def late(*_signal):
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
