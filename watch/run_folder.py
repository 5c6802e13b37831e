"""The folder of a run: who owns it, config.json, metrics.jsonl, adapter/, each whole at any moment.

    .lock           held while a process works here; the second one is told who holds it
    config.json     the settings; under "run" its id, the hashes of what it began with, a checksum
    metrics.jsonl   a line a step
    state.pt        from where --resume goes on (`run_state.py`)
    adapter/        PEFT's own format; evaluations/  beside it: completions of pass@k

A run begins only in a folder that is new or empty, and goes on only in its own. Whatever is wrong is
found before anything is changed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
import secrets
import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path

from filelock import FileLock

from machine.gguf import file_of
from machine.loading import adapter_in
from policy import TRAINED
from problems import is_known_set
from settings import BUNDLED_BASE, Settings, flag, is_bundled
from watch.files import (
    PART,
    digest,
    file_digest,
    keep_bytes,
    keep_name,
    naming,
    reason,
    remove_parts,
    write_whole,
)
from watch.lock import LOCK, hold

PATHS = ("model", "data", "eval_data", "data_dir", "adapter", "trace")  # settings that may be paths
WEIGHTS = (
    "*.safetensors",
    "*.bin",
    "*config.json",
    "tokenizer.json",
)  # what decides a model's numbers


# ---------------------------------------------------------------- whose folder it is


def refuse_used(out: Path, name: str = "--out", ours: tuple[str, ...] = ()) -> None:
    """Raise ValueError unless `out` is new or empty but for a lock, half-written files and `ours`."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{name} {out} is a file: give it the name of a folder")
    if (out / "config.json").exists():
        raise ValueError(f"{out} already holds a run: --resume {out}, or another {name}")
    here = sorted(p.name for p in out.iterdir()) if out.exists() else []
    foreign = [n for n in here if n not in (LOCK, *ours) and not n.endswith(PART)]
    if foreign:
        raise ValueError(
            f"{name} {out} holds {foreign[0]} and is no run of this program: a run begins in a folder "
            f"that is new or empty, so give another {name}"
        )


def claim(out: Path, *, own_name: bool) -> tuple[Path, FileLock]:
    """Make a new run's folder and lock it; own_name: `out` was not asked for, any name like it will do.

    Three runs that start in the same second get three folders: making one is atomic. Raises ValueError,
    as `refuse_used` or for a folder that cannot be made.
    """
    try:
        place = new_folder(out) if own_name else out
        refuse_used(place)
        place.mkdir(parents=True, exist_ok=True)
        lock = hold(place / LOCK, str(place))
        refuse_used(place)  # nobody began a run between the two
        remove_parts(place)
    except OSError as error:
        raise ValueError(f"{out} cannot be written to: {reason(error)} (--out)") from error
    return place, lock


def new_folder(out: Path) -> Path:
    """Make `out`, or with a number behind its name if it is there already."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        place = out if number == 1 else out.with_name(f"{out.name}-{number}")
        with contextlib.suppress(FileExistsError):
            place.mkdir()
            return place


def claim_own(out: Path) -> FileLock:
    """Lock the folder of a run that is to go on. Raises ValueError if it is in use."""
    if not (out / "config.json").exists():
        raise ValueError(f"{out} holds no run: it has no config.json (--resume)")
    return hold(out / LOCK, str(out))


# ---------------------------------------------------------------- config.json


def save_config(settings: Settings, out: Path, run: dict | None = None) -> None:
    """Write config.json; run: {"id", "inputs"}, which a resumed run has to show again."""
    saved = asdict(located(settings))
    if is_bundled(saved["model"]):
        saved["model"] = BUNDLED_BASE.name  # wherever the checkout lies
    if run is not None:
        from_here = {
            name: os.path.relpath(saved[name], out)
            for name in PATHS
            if saved.get(name) and Path(saved[name]).is_absolute()
        }
        run = {"id": run["id"], "inputs": run["inputs"], "from_here": from_here}
        saved = {"run": run | {"sha256": config_digest(saved, run)}, **saved}
    write_whole(out / "config.json", json.dumps(saved, indent=1) + "\n")


def config_digest(saved: dict, run: dict) -> str:
    """The checksum of config.json: of all but the folder's own name, as it may be moved."""
    rest = {k: v for k, v in saved.items() if k not in ("run", "out")}
    run = {k: run[k] for k in ("id", "inputs", "from_here")}
    return digest([json.dumps([run, rest], sort_keys=True).encode()])


def load_config(out: Path, kind: type[Settings] = Settings) -> Settings:
    """The settings of the run in a folder. Raises ValueError if there is none of this kind."""
    return _read_config(out, kind)[0]


def load_run(out: Path) -> dict:
    """{"id", "inputs"} of the run in a folder. Raises ValueError if config.json has none."""
    run = _read_config(out, None)[1]
    if run is None:
        raise ValueError(
            f"{out} was begun by a version that kept no id of a run, so nothing shows that its files "
            f"belong together: begin a new run, as with --adapter {out / 'adapter'}"
        )
    return run


def settings_of(out: Path) -> Settings:
    """The settings of the run in a folder, also of `python -m scale`: what only that has is left out."""
    return _read_config(out, Settings, known={field.name for field in fields(Settings)})[0]


def _read_config(
    out: Path, kind: type[Settings] | None, known: set[str] | None = None
) -> tuple[Settings | None, dict | None]:
    path = out / "config.json"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        run = saved.pop("run", None)
        if run is not None and config_digest(saved, run) != run["sha256"]:
            raise ValueError(
                "its checksum does not fit what is in it, so it was changed or damaged"
            )
        if kind is None:
            return None, run
        saved = {name: value for name, value in saved.items() if known is None or name in known}
        return moved(kind(**saved), out, run), run
    except OSError as error:
        raise ValueError(f"{out} holds no run: {path} could not be read (--resume)") from error
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not the settings of a run: {error} (--resume)") from error


def located(settings: Settings) -> Settings:
    """Paths made absolute, so that a resume from another folder finds what they name."""
    found = {}
    for name in PATHS:
        value = getattr(settings, name, None)
        known = name in ("data", "eval_data") and value and is_known_set(value)
        if value and not known and (name == "trace" or Path(value).exists()):
            value = adapter_in(value) if name == "adapter" else value
            found[name] = str(BUNDLED_BASE if is_bundled(value) else Path(value).absolute())
    found["reward"] = tuple(located_reward(text) for text in settings.reward)
    return replace(settings, **found)


def located_reward(text: str) -> str:
    """A --reward with the path of its file made absolute; the weight and `verify` stay as they are."""
    file, colon, rest = text.rpartition(":")
    return f"{Path(file).absolute()}{colon}{rest}" if colon else text


def moved(settings: Settings, out: Path, run: dict | None) -> Settings:
    """The settings where a path has moved together with its run: what lies in the folder follows it."""
    found = {}
    if settings.model == BUNDLED_BASE.name:
        found["model"] = str(BUNDLED_BASE)
    for name, from_here in (run or {"from_here": {}})["from_here"].items():
        there, here = (
            Path(getattr(settings, name)),
            Path(os.path.normpath(out.absolute() / from_here)),
        )
        inside = not from_here.startswith("..")
        if inside or (not there.exists() and here.exists()):
            found[name] = str(here)
    return replace(settings, **found)


# ---------------------------------------------------------------- what a run began with


def model_digest(model: str, config) -> str:
    """The hash of a folder's weights, configs and tokenizer, a GGUF file, or a hub model's commit."""
    if file := file_of(model):
        return file_digest(file)
    if not Path(model).is_dir():
        return str(getattr(config, "_commit_hash", None))
    return folder_digest(Path(model))


def folder_digest(folder: Path) -> str:
    """The hash of the files that decide what a model or an adapter computes."""
    files = sorted({p for pattern in WEIGHTS for p in folder.glob(pattern)})
    return digest(f"{p.name} {file_digest(p)}\n".encode() for p in files)


def in_one(value) -> str:
    """A setting's value for a sentence; of several, one behind the other."""
    return " ".join(value) if isinstance(value, tuple) else str(value)


def check_inputs(out: Path, saved: dict[str, str], settings: Settings, now: dict[str, str]) -> None:
    """Raise ValueError for the first thing that is not what the run began with."""
    for name, value in now.items():
        if saved.get(name) != value:
            raise ValueError(
                f"{flag(name)} {in_one(getattr(settings, name))} is not what the run in {out} began with "
                f"(another hash): put the old one back, or begin a new run"
            )


# ---------------------------------------------------------------- metrics.jsonl and adapter/


def read_metrics(out: Path) -> list[dict]:
    """The lines of metrics.jsonl so far, oldest first; a null was a number that is not finite."""
    log = out / "metrics.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    rows = [json.loads(line) for line in lines]
    return [{k: math.nan if v is None else v for k, v in row.items()} for row in rows]


def cut_metrics(out: Path, steps: int) -> None:
    """Keep the first `steps` lines of metrics.jsonl: those that the saved state knows of."""
    log = out / "metrics.jsonl"
    lines = log.read_text().splitlines()[:steps] if log.exists() else []
    write_whole(log, "".join(line + "\n" for line in lines))


def save_adapter(model, out: Path) -> None:
    """The adapter in PEFT's own format, in out/adapter; other files there stay as they are."""
    from safetensors import SafetensorError

    unfinished, final = out / f"adapter.{os.getpid()}-{secrets.token_hex(4)}{PART}", out / "adapter"
    try:
        with naming(final):
            model.save_pretrained(unfinished, selected_adapters=[TRAINED])  # not the reference's
            name_base(unfinished)
            final.mkdir(exist_ok=True)
            for path in sorted(unfinished.iterdir()):
                keep_bytes(path)
                os.replace(path, final / path.name)
        keep_name(final)
    except SafetensorError as error:  # it wraps what the system said
        raise OSError(f"{final}: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def name_base(adapter: Path) -> None:
    """Let a saved adapter name its base as others know it, and not by a path of this disk.

    Whoever loads it passes the base: `PeftModel.from_pretrained(base, adapter)`. PEFT's README.md, a form
    to be filled in that holds the path too, is removed.
    """
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = known_name(config["base_model_name_or_path"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (adapter / "README.md").unlink(missing_ok=True)


def known_name(model: str) -> str:
    """The hub id of a model or of its copy in the hub's cache; of another folder its last name.

    >>> known_name("Qwen/Qwen2.5-3B"), known_name("/disk/models--Qwen--Qwen2.5-3B/snapshots/3aab1f")
    ('Qwen/Qwen2.5-3B', 'Qwen/Qwen2.5-3B')
    """
    cached = re.search(r"models--([^/\\]+?)--([^/\\]+)[/\\]snapshots[/\\]", model)
    if cached:
        return f"{cached[1]}/{cached[2]}"
    place = Path(model)
    return place.resolve().name if place.is_dir() or place.is_absolute() else model


def run_of(adapter: str) -> Settings | None:
    """The settings of the run that wrote an adapter, also of `python -m scale`; None: it lies in no run's
    folder."""
    try:
        return settings_of(Path(adapter).parent)
    except ValueError:
        return None


def trained_on_a_part(adapter: str, data: str) -> bool:
    """Is this the adapter of a run that was trained on one side of the file `data`?"""
    if (run := run_of(adapter)) is None:
        return False
    split = run.data == run.eval_data and run.eval_problems and not is_known_set(data)
    return bool(split) and Path(run.data).resolve() == Path(data).resolve()


def evaluations_of(adapter: str | Path) -> Path:
    """Where completions of an adapter are kept: beside it, in its run's folder or under its name.

    An adapter from the hub is not on this disk: then below the folder one works in.
    """
    adapter = Path(adapter)
    if adapter.name == "adapter" and (adapter.parent / "config.json").exists():
        return adapter.parent / "evaluations"
    if adapter.exists():
        return adapter.with_name(f"{adapter.absolute().name}-evaluations")
    return Path("evaluations") / str(adapter).replace("/", "--")
