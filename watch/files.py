"""Writing files: the old one or the new one is there, never half of it; JSON that every reader reads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

PART = ".part"  # a file under way; one that is left over belonged to a process that was killed


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file so that a kill, a full disk or a power cut leaves the old one or the new one.

    Yields the path to write to, which nobody else has; it takes the place of `path` when the block ends
    without an error, and is removed when it ends with one.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PART}")
    try:
        with naming(path):
            yield unfinished
            keep_bytes(unfinished)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    keep_name(path.parent)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """A failing write says only why; within this block it says also where."""
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, str):
            error.filename = str(path)
        raise


def keep_bytes(path: Path) -> None:
    """Have the disk hold a file's bytes before anything relies on them."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


def keep_name(folder: Path) -> None:
    """Have the disk remember which names a folder holds; a file's own bytes are another matter."""
    with contextlib.suppress(OSError, AttributeError):  # Windows opens no folders
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def write_whole(path: Path, text: str) -> None:
    """Write a text file as `whole` does."""
    with whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def remove_parts(folder: Path) -> None:
    """Remove what killed processes left half written; only for whoever holds the folder's lock."""
    for left in [*folder.rglob(f"*{PART}")]:
        if re.search(r"\.\d+-[0-9a-f]{8}\.part$", left.name):  # only names as `whole` makes them
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def finite(value):
    """The same structure with None in the place of NaN and infinities, which JSON does not have.

    >>> finite({"loss": float("nan"), "rows": [1.5, float("inf")]})
    {'loss': None, 'rows': [1.5, None]}
    """
    if isinstance(value, dict):
        return {key: finite(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(value, **options) -> str:
    """JSON that every reader reads: null in the place of numbers that are not finite."""
    return json.dumps(finite(value), allow_nan=False, **options)


def digest(parts: Iterable[bytes]) -> str:
    """SHA-256 of some bytes."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason(error: OSError) -> str:
    """An OSError as part of a sentence: the path and what the system said of it.

    >>> reason(OSError(28, "No space left on device", "runs/a/state.pt.41-a0b1c2d3.part"))
    'runs/a/state.pt: No space left on device'
    """
    name = str(error.filename or "")
    if name.endswith(PART):
        name = name.rsplit(".", 2)[0]
    said = error.strerror or str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{name}: {said}" if name else said
