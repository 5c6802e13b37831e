"""A file system that fails: at the n-th operation below a folder, and from then on."""

import builtins
import errno
import io
import os
from pathlib import Path

from peft import PeftModel


class Crash(BaseException):
    """The process is dead: nothing that it would still do happens."""


class Disk:
    """Counts what is done below `folder`; from operation `fails_at` (None: never) on it fails.

    how: "full" and "read-only" are what the system says, after half of a write; "crash" is the process's
    end in the middle of the operation, after which nothing is cleaned up.
    """

    def __init__(self, folder: Path, fails_at: int | None = None, how: str = "full"):
        self.folder, self.fails_at, self.how = str(folder), fails_at, how
        self.done: list[str] = []

    def __enter__(self):
        self.real = {name: getattr(os, name) for name in ("replace", "fsync", "mkdir", "unlink")}
        self.open, self.save = io.open, PeftModel.save_pretrained
        for name in self.real:
            setattr(os, name, self.checked(name))
        io.open = builtins.open = self.opened
        disk, save = self, self.save

        def saved(model, place, **options):
            disk.operation("save_pretrained", place)
            return save(model, place, **options)

        PeftModel.save_pretrained = saved
        return self

    def __exit__(self, *_error):
        for name, function in self.real.items():
            setattr(os, name, function)
        io.open = builtins.open = self.open
        PeftModel.save_pretrained = self.save

    def operation(self, name: str, place) -> None:
        """Count one; raise if it is the one that fails, or later."""
        if not isinstance(place, int) and self.folder not in str(place):
            return
        self.done.append(name)
        if self.fails_at is None or len(self.done) <= self.fails_at:
            return
        if self.how == "crash":
            raise Crash(name)
        if name != "unlink" or self.how == "read-only":
            number = errno.ENOSPC if self.how == "full" else errno.EROFS
            named = [] if name in ("write", "fsync") else [str(place)]  # an open file has no name
            raise OSError(number, os.strerror(number), *named)

    def checked(self, name: str):
        def function(place, *rest, **options):
            self.operation(name, place)
            return self.real[name](place, *rest, **options)

        return function

    def opened(self, file, mode="r", *rest, **options):
        if set(mode) & set("wax"):
            self.operation("open", file)
        stream = self.open(file, mode, *rest, **options)
        ours = not isinstance(file, int) and self.folder in str(file)
        return Stream(stream, self) if ours and set(mode) & set("wax") else stream


class Stream:
    """An open file whose writes count, and of which the failing one writes half."""

    def __init__(self, stream, disk: Disk):
        self.stream, self.disk = stream, disk

    def write(self, content):
        try:
            self.disk.operation("write", self.disk.folder)
        except BaseException:
            self.stream.write(content[: len(content) // 2])
            self.stream.flush()
            raise
        return self.stream.write(content)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.stream.close()

    def __getattr__(self, name):
        return getattr(self.stream, name)
