"""A folder that is written whole or not at all, and never over another one."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from watch.files import PART, keep_bytes, keep_name, naming
from watch.lock import held


def refuse_used(out: Path, name: str) -> None:
    """Raise ValueError, with the argument's name, unless nothing is at `out` and something can be."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{name} {out} is there already: give the name of a new folder")
    parent = out.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ValueError(
            f"{name} {out} cannot be made: {parent} is no folder that can be written to"
        )


@contextlib.contextmanager
def written_whole(out: Path, name: str) -> Iterator[Path]:
    """A folder to write into, which becomes `out` when the block ends without an error.

    Killed before that, there is no `out`; what was left half written is removed by the next attempt.
    """
    out = out.absolute()
    with held(out):
        for left in out.parent.iterdir():
            if re.fullmatch(re.escape(out.name) + r"\.\d+-[0-9a-f]{8}\.part", left.name):
                shutil.rmtree(left)
        unfinished = out.with_name(f"{out.name}.{os.getpid()}-{secrets.token_hex(4)}{PART}")
        try:
            with naming(out):
                unfinished.mkdir()
                yield unfinished
                for path in unfinished.rglob("*"):
                    if path.is_file():
                        keep_bytes(path)
                refuse_used(out, name)  # nobody made it meanwhile
                os.replace(unfinished, out)
            keep_name(out.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            out.with_name(f".{out.name}.lock").unlink(missing_ok=True)
