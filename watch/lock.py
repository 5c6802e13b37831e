"""One process a folder: a lock that a crash releases, and the name of whoever holds it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


def hold(path: Path, what: str) -> FileLock:
    """The lock file `path`, locked by this process until `.release()`, its end or its death.

    what: what is locked, for the sentence. Raises ValueError with the holder's process id, host and
    time if another one has it, OSError if the file cannot be made.
    """
    lock = FileLock(path, thread_local=False, on_acquired=sign)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{what} is in use by {holder(path)}: wait for its end, stop it, or take another folder"
        ) from None
    return lock


def sign(descriptor: int) -> None:
    """Write who holds the lock into its file."""
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(mine).encode() + b"\n", 0)


def holder(path: Path, patience: float = 1.0) -> str:
    """Who holds a lock, in words; patience: seconds that a holder gets to sign what it just locked."""
    until = time.monotonic() + patience
    while True:
        try:
            signed = json.loads(path.read_text())
            return f"process {signed['pid']} on {signed['host']} since {signed['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            if time.monotonic() > until:
                return "another process"
            time.sleep(0.02)


@contextlib.contextmanager
def held(file: Path) -> Iterator[None]:
    """While the block runs nobody else writes this file (in a folder that is made if need be)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = hold(file.with_name(f".{file.name}{LOCK}"), str(file))
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def locked(folder: Path, what: str = "") -> Iterator[None]:
    """While the block runs the folder is this process's own. Raises ValueError as `hold` does."""
    lock = hold(folder / LOCK, what or str(folder))
    try:
        yield
    finally:
        lock.release()
