"""The screen of a run: text of a model made harmless, and a screen that fails without costing the run.

What a model writes may hold any character: an escape sequence would move the cursor, change the title or
worse. And a screen can fail: a terminal that knows no π, a pipe whose reader has gone (`| head -4`). What
was computed is written to files first; here only the showing is at stake.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

WIDTH = 80  # columns that everything a run shows fits into
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-:=+*#"


def visible(text: str) -> str:
    """A text in which blanks and control characters are seen, and none reaches the terminal.

    >>> visible(" a\\n\\x1b[0m")
    '␣a↵␛[0m'
    """
    shown = {" ": "␣", "\n": "↵", "\t": "⇥", "\x7f": "␡"}
    return "".join(
        shown.get(c) or (chr(0x2400 + ord(c)) if ord(c) < 32 else c if c.isprintable() else "�")
        for c in text
    )


def harmless(text: str) -> str:
    """`visible`, with its blanks as they are: for a line that a person reads.

    >>> harmless("so it is \\x1b[2J14")
    'so it is ␛[2J14'
    """
    return "".join(c if c == " " else visible(c) for c in text)


def cut(text: str, columns: int) -> str:
    """A harmless text that takes at most so many columns of a terminal; what is cut off ends in "...".

    >>> cut("so it is 14", 11), cut("so it is 14", 8), cut("漢字漢字", 7)
    ('so it is 14', 'so it...', '漢字...')
    """
    text = harmless(text)
    if sum(map(columns_of, text)) <= columns:
        return text
    while text and sum(map(columns_of, text)) > columns - 3:
        text = text[:-1]
    return text + "..."


def columns_of(character: str) -> int:
    """How many columns a character takes: 2 for a wide one, 0 for an accent on the one before."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrapped(text: str) -> str:
    """A sentence in lines of at most WIDTH columns; a path that is longer stays whole.

    >>> wrapped("one " * 21).splitlines()[1]
    '  one'
    """
    options = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "  "}
    return "\n".join(textwrap.fill(line, WIDTH - 1, **options) for line in text.splitlines())


def tell(sentence: str) -> None:
    """Print a sentence, `wrapped`."""
    print(wrapped(sentence))


def bar_width() -> int:
    """The columns of a progress bar: those of the terminal, WIDTH at most."""
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) - 1


def sparkline(values: Sequence[float], width: int = 8, stream=None) -> str:
    """Values as a row of blocks, from 0 (or the least) to the largest; of more than `width` the means.

    >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7], stream=sys.__stdout__) in (BLOCKS, ASCII_BLOCKS)
    True
    """
    finite = [v for v in values if v == v and abs(v) != float("inf")]
    count = min(width, len(finite))
    ends = [round(i * len(finite) / count) for i in range(count + 1)] if count else []
    pieces = [finite[a:b] for a, b in zip(ends, ends[1:], strict=False)]
    means = [sum(piece) / len(piece) for piece in pieces]
    low = min([0.0, *means])
    high = max([low, *means])
    blocks = BLOCKS if shows(BLOCKS, stream or sys.stderr) else ASCII_BLOCKS
    return "".join(blocks[int(7 * (m - low) / (high - low)) if high > low else 0] for m in means)


def shows(text: str, stream) -> bool:
    """Can the stream's encoding say this?"""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class Screen:
    """A stream that shows what it can: "?" for what it cannot, nothing once its reader has gone."""

    def __init__(self, stream):
        self.stream, self.gone = stream, False

    def write(self, text: str) -> int:
        if not self.gone:
            with self.surviving():
                self.stream.write(self.known(text))
        return len(text)

    def known(self, text: str) -> str:
        """The text with "?" for what the stream's encoding lacks."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        return text.encode(encoding, errors="replace").decode(encoding)

    def flush(self) -> None:
        if not self.gone:
            with self.surviving():
                self.stream.flush()

    @contextlib.contextmanager
    def surviving(self) -> Iterator[None]:
        """A stream that cannot be written to is written to no more; the run goes on."""
        try:
            yield
        except (OSError, ValueError):  # ValueError: it was closed
            self.gone = True
            self.to_nowhere()

    def to_nowhere(self) -> None:
        """What the stream still holds goes to the null device, or Python would complain at its end."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


@contextlib.contextmanager
def steady_screen() -> Iterator[None]:
    """While the block runs no failure of the screen, of stdout or stderr, is an error of the program."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (s if isinstance(s, Screen) else Screen(s) for s in before)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before
