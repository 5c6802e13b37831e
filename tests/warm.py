"""Programs of this project as processes of their own that need not import torch first.

A fresh interpreter spends ten seconds of a core on torch, transformers and peft, and a test that
starts, kills and starts again would pay that each time. Here a server (of multiprocessing) imports
those libraries once, and each program is forked from it: another process with the signals, files and
exit status of its own. None of the project's modules is imported beforehand. That the commands run in a
fresh interpreter too is what `test_rapo_mini.py` shows.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = [
    "torch",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.auto.tokenization_auto",
    "peft",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "sympy",
    "tyro",
]
_server = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
if os.name == "posix":
    _server.set_forkserver_preload(LIBRARIES)


class Program:
    """`subprocess.Popen` of `python words...`, as far as the tests need it; its output goes to files.

    words: a script of this project, or "-m" and a module, and its arguments. terminal: the name of a
    terminal that is to be its own, in place of the files.
    """

    def __init__(self, *words, cwd: str | Path | None = None, terminal: str | None = None):
        self.args = [str(word) for word in words]
        self._files = tempfile.TemporaryDirectory()
        self.stdout, self.stderr = (Path(self._files.name) / name for name in ("out", "err"))
        streams = {1: str(self.stdout), 2: str(self.stderr)}
        if terminal:
            streams = dict.fromkeys((0, 1, 2), terminal)
        self._process = _server.Process(
            target=_become, args=(self.args, str(cwd or ROOT), dict(os.environ), streams)
        )
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, -9 if it was killed; None while it runs."""
        return self._process.exitcode

    returncode = property(poll)

    def wait(self, timeout: float = 300) -> int:
        self._process.join(timeout)
        if self.poll() is None:
            self.kill()
            raise subprocess.TimeoutExpired(self.args, timeout, self.printed())
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Nothing, if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def printed(self) -> str:
        """What it wrote to stdout so far."""
        return self.stdout.read_text() if self.stdout.exists() else ""

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """All that it wrote, once it has ended: stdout, stderr."""
        self.wait(timeout)
        return self.printed(), self.stderr.read_text()


def run(*words, cwd: str | Path | None = None, timeout: float = 300) -> subprocess.CompletedProcess:
    """A program from its start to its end, with what it printed."""
    program = Program(*words, cwd=cwd)
    printed, errors = program.communicate(timeout)
    return subprocess.CompletedProcess(program.args, program.returncode, printed, errors)


def _become(
    words: list[str], cwd: str, environment: dict[str, str], streams: dict[int, str]
) -> None:
    """In the forked process: what `python words...` would do, its streams led to these files."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    if 0 in streams:
        os.setsid()  # the terminal that it opens next is its own
    for number, path in streams.items():
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    if 0 in streams:
        sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
