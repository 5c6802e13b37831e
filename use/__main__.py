"""python -m use: talk to what was trained, merge it, share it."""

from __future__ import annotations

import sys

import tyro

from use.merge import Merge, merge
from use.push import Push, push
from use.talk import Talk, talk
from watch.command_line import guarded

WORK = {Talk: talk, Merge: merge, Push: push}


def main(asked: Talk | Merge | Push) -> int:
    """The exit status: 0 done, 1 a file could not be written, 2 bad input, 130 stopped by Ctrl-C."""
    return guarded("use", work, asked)


def work(asked: Talk | Merge | Push) -> int:
    """What `main` does while errors of files, the screen and signals are looked after."""
    try:
        WORK[type(asked)](asked)
    except ValueError as error:
        print(f"use: {error}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: list[str] | None = None) -> Talk | Merge | Push:
    """What a command line asks for."""
    return tyro.cli(Talk | Merge | Push, args=arguments, prog="python -m use", description=__doc__)


if __name__ == "__main__":
    sys.exit(main(parse()))
