"""The folder of a run: config.json, metrics.jsonl, state.pt, adapter/, each whole at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from settings import Settings


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file so that a kill at any moment leaves the old one or the new one, never half of it.

    Yields the path to write to; it takes the place of `path` when the block ends without an error.
    """
    unfinished = path.with_name(path.name + ".part")
    yield unfinished
    os.replace(unfinished, path)


def write_whole(path: Path, text: str) -> None:
    """Write a text file as `whole` does."""
    with whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def save_config(settings: Settings, out: Path) -> None:
    write_whole(out / "config.json", json.dumps(asdict(settings), indent=1) + "\n")


def load_config(out: Path, kind: type[Settings] = Settings) -> Settings:
    """The settings of the run in a folder. Raises ValueError if there is none of this kind."""
    path = out / "config.json"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return kind(**saved)
    except OSError as error:
        raise ValueError(f"{out} holds no run: {path} could not be read (--resume)") from error
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not the settings of a run: {error} (--resume)") from error


def read_metrics(out: Path) -> list[dict]:
    """The lines of metrics.jsonl so far, oldest first."""
    log = out / "metrics.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def cut_metrics(out: Path, steps: int) -> None:
    """Keep the first `steps` lines of metrics.jsonl: those that the saved state knows of."""
    log = out / "metrics.jsonl"
    lines = log.read_text().splitlines()[:steps] if log.exists() else []
    write_whole(log, "".join(line + "\n" for line in lines))


def save_adapter(model, out: Path) -> None:
    """The adapter in PEFT's own format, in out/adapter."""
    unfinished, final = out / "adapter.part", out / "adapter"
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished, selected_adapters=["default"])  # not the reference's
    shutil.rmtree(final, ignore_errors=True)
    os.replace(unfinished, final)
