"""The screen of a run: text of a model made harmless, and a screen that fails without costing the run.

What a model writes may hold any character: an escape sequence would move the cursor, change the title or
worse. And a screen can fail: a terminal that knows no π, a pipe whose reader has gone (`| head -4`). What
was computed is written to files first; here only the showing is at stake.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


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
