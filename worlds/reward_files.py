"""From the words of --reward to functions: FILE.py:NAME=WEIGHT, the file's hash, which kind it is.

    verify            the built-in verifier
    mine.py:even=0.5  the function `even` of the file mine.py, times 0.5

`read_term` runs the file. `terms_unrun` only reads it, for whoever wants to say what a run was paid for.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import math
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import SourceFileLoader
from pathlib import Path

BUILT_IN = "verify"
LARGEST = 1e6  # a reward beyond it is taken for a mistake; float32 has to square it
SHOWN = 60  # characters of a completion or a value in a sentence


@dataclass(frozen=True)
class Term:
    """One function of --reward and its weight in the sum."""

    name: str  # verify, or FILE.py:NAME
    weight: float = 1.0
    function: Callable | None = None  # None: the verifier
    by_batch: bool = False  # TRL's kind: a list for a list of completions
    sha256: str = ""  # of the file

    @property
    def short(self) -> str:
        """Its name in metrics and on the screen."""
        return self.name.rpartition(":")[2]

    @property
    def file(self) -> Path | None:
        """The file that has the function; None: the verifier needs none."""
        file, colon, _ = self.name.rpartition(":")
        return Path(file) if colon else None


def read_term(text: str) -> Term:
    """The function and the weight that a --reward names. Raises ValueError, in one sentence.

    >>> read_term("verify=0.5")
    Term(name='verify', weight=0.5, function=None, by_batch=False, sha256='')
    """
    term = named_term(text)
    if term.file is None:
        return term
    called, sha256 = load(term.file, term.short)
    by_batch = takes_batches(called, term.name)
    return replace(term, function=called, by_batch=by_batch, sha256=sha256)


def named_term(text: str) -> Term:
    """The name and the weight that a --reward gives; no file is read. Raises ValueError."""
    found = re.fullmatch(rf"({BUILT_IN}|.+\.py:[A-Za-z_]\w*)(?:=(.*))?", text.strip())
    if not found:
        raise ValueError(
            f"--reward {text!r} must be {BUILT_IN} or FILE.py:NAME, with =WEIGHT behind it if not 1"
        )
    name, weight = found.groups()
    try:
        number = 1.0 if weight is None else float(weight)
    except ValueError:
        number = math.nan
    if not 0 < abs(number) <= LARGEST:
        raise ValueError(
            f"--reward {text!r}: the weight {weight!r} must be a finite number of at most "
            f"{LARGEST:,.0f} and not 0"
        )
    return Term(name, number)


def terms_unrun(given: Sequence[str]) -> list[Term]:
    """What --reward names, with the hash of each file as it is now ("": it is gone); none is run."""
    terms = [named_term(text) for text in given]
    return [
        replace(term, sha256=hashlib.sha256(term.file.read_bytes()).hexdigest())
        if term.file and term.file.is_file()
        else term
        for term in terms
    ]


def digest_of(terms: Sequence[Term]) -> str:
    """The hash of all that decides a reward: functions, weights, files."""
    said = [f"{t.short} {t.weight!r} {t.sha256}" for t in terms]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def load(path: Path, name: str) -> tuple[Callable, str]:
    """The function in a file, and the file's SHA-256; runs the file. Raises ValueError, naming it."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ValueError(f"--reward {path}: {error.strerror or error}") from error
    sha256 = hashlib.sha256(source).hexdigest()
    loader = SourceFileLoader(f"reward_{sha256[:12]}", str(path))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader(loader.name, loader, origin=str(path))
    )
    module.__file__ = str(path)
    sys.modules[loader.name] = module
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last: its neighbours can be imported, and hide nothing
    try:  # from the bytes that were hashed, past any cache
        exec(loader.source_to_code(source, str(path)), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ValueError(f"--reward {path} cannot be imported: {said_of(error, path)}") from error
    called = getattr(module, name, None)
    if not callable(called):
        here = [
            n for n, f in vars(module).items()
            if inspect.isfunction(f) and f.__module__ == loader.name
        ]  # fmt: skip
        raise ValueError(f"--reward {path} has no function {name}; it has {some(here) or 'none'}")
    return called, sha256


def takes_batches(function: Callable, name: str) -> bool:
    """Is it TRL's kind? Raises ValueError for what is neither kind."""
    if inspect.iscoroutinefunction(function) or inspect.isclass(function):
        what = "a class" if inspect.isclass(function) else "async"
        raise ValueError(f"--reward {name} is {what}: give a plain function")
    try:
        parameters, asked = inspect.signature(function).parameters, str(inspect.signature(function))
    except (TypeError, ValueError):
        parameters, asked = {}, "what cannot be said"
    if "completion_ids" in parameters:
        raise ValueError(
            f"--reward {name} asks for completion_ids, which are not kept here: grade the text"
        )
    if "completions" in parameters:
        return True
    with contextlib.suppress(TypeError):
        inspect.signature(function).bind("completion", {})
        return False
    raise ValueError(
        f"--reward {name} takes {asked}: it must take (completion, problem), or as in "
        "TRL (prompts, completions, **columns)"
    )


def said_of(error: BaseException, path: Path) -> str:
    """An exception in one line, with its line in the file; harmless, whatever it holds.

    >>> said_of(ValueError("\\x1b[2J"), Path("mine.py"))
    "ValueError('\\\\x1b[2J')"
    """
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    frames = traceback.extract_tb(error.__traceback__)
    line = line or next((f.lineno for f in reversed(frames) if f.filename == str(path)), None)
    try:
        text = str(error)
    except Exception:  # somebody else's class
        text = ""
    said = f"{type(error).__name__}({shown(text) if text else ''})"
    return said + (f" in line {line}" if line else "")


def some(names: Sequence[str], most: int = 8) -> str:
    """The first names of a list.

    >>> some(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shown(value: object) -> str:
    """A value as Python writes it, cut short: control characters come out as escapes.

    >>> shown("\\x1b[2J"), shown(None)
    ("'\\\\x1b[2J'", 'None')
    """
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
