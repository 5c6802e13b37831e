"""What a run left behind: its adapter, its settings, and the base that the adapter belongs to.

RUN, in every command here, is the folder of a run (of `rapo_mini.py` or of `python -m scale`), or the
folder of an adapter. An adapter without a run has no settings: then they are those that
`rapo_mini.py` would choose for its base.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from machine.loading import adapter_in, find_model
from policy import Policy, load_policy
from settings import BUNDLED_BASE, Settings, check, resolve
from watch.run_folder import load_run, model_digest, settings_of


@dataclass(frozen=True)
class Trained:
    """An adapter and the settings that it was trained with."""

    adapter: Path  # its folder
    folder: Path | None  # the run's; None: the adapter stands alone
    settings: Settings  # the run's own; its `adapter` is the one that the run began with


def find(run: str, model: str | None = None, quant: str | None = None, **changed) -> Trained:
    """The adapter in a folder and its settings, with the changes that are not None.

    model, quant: another place of the base, another form of its weights. Raises ValueError, naming the
    argument or the flag, if there is no adapter, or no base for it; no weights are loaded.
    """
    place = Path(run)
    if not place.is_dir():
        what = "is a file" if place.exists() else "is not there"
        raise ValueError(
            f"RUN {run} {what}: give the folder of a run or of an adapter, as runs/my-run"
        )
    adapter = Path(adapter_in(place))
    if not (adapter / "adapter_config.json").exists():
        if not (place / "config.json").exists():
            raise ValueError(
                f"RUN {str(run)!r} holds neither a run nor an adapter: give runs/my-run"
            )
        raise ValueError(
            f"RUN {run} holds no adapter yet, its run did not come to an end: "
            f"python rapo_mini.py --resume {run}"
        )
    folder = adapter.absolute().parent
    if adapter.name != "adapter" or not (folder / "config.json").exists():
        folder = None
    base = named_base(adapter)
    if folder:
        settings = settings_of(folder)
    else:
        settings, _ = resolve(Settings(model=model or base, quant=quant or "auto"))
    given = {"model": model, "quant": quant} | changed
    settings = replace(settings, **{k: v for k, v in given.items() if v is not None})
    if settings.model == BUNDLED_BASE.name and not Path(settings.model).is_dir():
        settings = replace(settings, model=str(BUNDLED_BASE))
    fixed = bool(settings.fixed_decode) and torch.cuda.is_available()
    settings = replace(settings, fixed_decode=fixed)
    check(settings)
    find_model(settings.model)
    if folder:
        check_base(settings.model, folder)
    return Trained(adapter, folder, settings)


def check_base(model: str, folder: Path) -> None:
    """Raise ValueError unless a base in a folder of this disk is the one that the run began with."""
    known = inputs_of_run(folder).get("model")
    if known is None:
        return
    if Path(model).is_dir() and model_digest(model, None) != known:
        raise ValueError(
            f"the base {model} is not the one that the run in {folder} was trained on (another hash): "
            "name that one with --model"
        )


def inputs_of_run(folder: Path | None) -> dict[str, str]:
    """The hashes of what the run in a folder began with; {} where it kept none, as `python -m scale`."""
    try:
        return dict(load_run(folder)["inputs"]) if folder else {}
    except (ValueError, KeyError, TypeError):
        return {}


def named_base(adapter: Path) -> str:
    """The base that an adapter names. Raises ValueError if its config cannot be read."""
    path = adapter / "adapter_config.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no adapter's config: {error} (RUN)") from error


def load(trained: Trained) -> Policy:
    """The base with the adapter on it. Raises ValueError if the two do not fit."""
    settings = trained.settings
    if settings.threads:
        torch.set_num_threads(settings.threads)
    return load_policy(settings.model, quant=settings.quant, adapter=trained.adapter)
