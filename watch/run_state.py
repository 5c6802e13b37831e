"""A run's hold on its folder, and state.pt: from where it goes on, and proof that all belongs together.

A state holds the run's id, the adapter, the optimizer, the step, how many bytes of metrics.jsonl it has
seen and their hash, and a hash of all of this. Whatever is wrong on a resume is found while nothing has
been changed: `check` looks at everything, `go_on` cuts.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from policy import REFERENCE, TRAINED
from settings import Settings
from watch.files import digest, remove_parts, whole
from watch.run_folder import check_inputs, claim, claim_own, load_run, save_config

PUT_BACK = "put the right one back, or begin a new run with another --out"


class Owner:
    """The one process that works in a run's folder, from `begin` or `check` until `release`."""

    def __init__(self, out: Path):
        self.out, self.id, self.inputs, self.lock = out, secrets.token_hex(8), {}, None

    def begin(self, settings: Settings, inputs: dict[str, str], *, own_name: bool) -> Path:
        """Make the folder and its config.json; which folder it was. Raises ValueError as `claim`."""
        self.out, self.lock = claim(self.out, own_name=own_name)
        self.inputs = inputs
        save_config(settings, self.out, {"id": self.id, "inputs": inputs})
        return self.out

    def check(
        self, settings: Settings, inputs: dict[str, str], shapes: dict[str, torch.Size], device
    ) -> dict | None:
        """The state to go on from, or None: from the beginning. Changes nothing.

        Raises ValueError for whatever does not belong to this run, or is in use.
        """
        self.lock = claim_own(self.out)
        run = load_run(self.out)
        check_inputs(self.out, run["inputs"], settings, inputs)
        self.id, self.inputs = run["id"], inputs
        return load_state(self.out, self.id, shapes, device)

    def go_on(self, settings: Settings, state: dict | None) -> None:
        """Cut metrics.jsonl to what the state has seen, and note the settings."""
        remove_parts(self.out)
        cut_log(self.out, state["metrics"]["bytes"] if state else 0)
        save_config(settings, self.out, {"id": self.id, "inputs": self.inputs})

    def save(self, state: dict) -> None:
        """Write state.pt; state: "step" and whatever is to be found again."""
        save_state(self.out, {"run": self.id, **state})

    def release(self) -> None:
        """Let go of the folder."""
        if self.lock:
            self.lock.release()


# ---------------------------------------------------------------- state.pt


def save_state(out: Path, state: dict) -> None:
    """Write out/state.pt; state: "run", "step" and whatever is to be found again.

    In memory first: a full disk is then an error of this program's own write, with a path in it.
    """
    log = out / "metrics.jsonl"
    seen = log.read_bytes() if log.exists() else b""
    state = {**state, "metrics": {"bytes": len(seen), "sha256": digest([seen])}}
    packed = io.BytesIO()
    torch.save(state | {"sha256": digest(as_bytes(state))}, packed)
    with whole(out / "state.pt") as unfinished:
        unfinished.write_bytes(packed.getbuffer())


def load_state(out: Path, run: str, shapes: dict[str, torch.Size], device) -> dict | None:
    """The saved state of this run, or None if it was killed before the first one.

    shapes: of the policy's parameters by name. Raises ValueError, naming the file and what is wrong with
    it, for a state that is missing, damaged, of another run, or does not fit the policy or the log.
    """
    path, log = out / "state.pt", out / "metrics.jsonl"
    lines = log.read_bytes() if log.exists() else b""
    if not path.exists():
        if not lines.strip():
            return None
        raise ValueError(
            f"{path} is missing beside {lines.count(bytes([10]))} lines of metrics: {PUT_BACK}"
        )
    state = read_state(path, device)
    if state["run"] != run:
        raise ValueError(
            f"{path} is the state of another run ({state['run']}, not {run}): {PUT_BACK}"
        )
    saved = {name: value.shape for name, value in state["adapter"].items()}
    for name in [*shapes, *saved]:  # a refreshed reference has the shapes of the trained adapter
        has, needs = saved.get(name), shapes.get(name.replace(f".{REFERENCE}.", f".{TRAINED}."))
        if has != needs:
            raise ValueError(
                f"{path} holds another adapter: {name} is {has and tuple(has)}, not "
                f"{needs and tuple(needs)}: {PUT_BACK}"
            )
    seen = state["metrics"]
    if digest([lines[: seen["bytes"]]]) != seen["sha256"]:
        raise ValueError(
            f"{log} is not the log that {path} was saved with: of its {state['step']} steps some are "
            f"missing or changed: {PUT_BACK}"
        )
    return state


def read_state(path: Path, device) -> dict:
    """What is in state.pt, once its checksum fits. Raises ValueError if it does not."""
    packed = io.BytesIO(path.read_bytes())
    try:
        state = torch.load(packed, map_location=device, weights_only=True)
        saved = state.pop("sha256")
        whole = saved == digest(as_bytes(state))
    except Exception as error:  # a damaged archive raises whatever its reader stumbles over
        raise ValueError(f"{path} is damaged and cannot be read: {PUT_BACK}") from error
    if not whole:
        raise ValueError(f"{path} is damaged, its checksum does not fit: {PUT_BACK}")
    return state


def as_bytes(value) -> Iterator[bytes]:
    """A nested value as bytes, the same for the same content: names, shapes and every number's bits."""
    if isinstance(value, Tensor):
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        flat = value.detach().cpu().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().tobytes()
    elif isinstance(value, dict):
        yield f"dict {len(value)}".encode()
        for key, inner in value.items():
            yield repr(key).encode()
            yield from as_bytes(inner)
    elif isinstance(value, (list, tuple)):
        yield f"list {len(value)}".encode()
        for inner in value:
            yield from as_bytes(inner)
    else:
        yield repr(value).encode()


def cut_log(out: Path, length: int) -> None:
    """Cut metrics.jsonl to its first bytes: those that the state has seen."""
    log = out / "metrics.jsonl"
    kept = log.read_bytes()[:length] if log.exists() else b""
    if not log.exists() or log.stat().st_size != length:
        with whole(log) as unfinished:
            unfinished.write_bytes(kept)
