"""Ctrl-C and what means the same: the signals TERM (a scheduler's) and HUP (a closed terminal's)."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]


@contextlib.contextmanager
def on_stop(handler: Callable) -> Iterator[None]:
    """While the block runs these signals call handler(number, frame).

    One that is ignored stays ignored (`nohup` ignores HUP); outside the main thread nothing is changed,
    as Python lets no other thread do it.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def interrupt(*_signal) -> None:
    """The handler that stops at once, for where everything worth keeping is on disk already."""
    raise KeyboardInterrupt
