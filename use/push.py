"""Share an adapter on the Hugging Face hub, with a card that says what it is and how good it is.

What is uploaded: the adapter, README.md (`use/card.py`), the run's curves and its metrics. The bundled
base is on no hub, so an adapter on it takes it along. Then adapter and base have a folder each: beside an
adapter in the root, transformers would look for the base elsewhere.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from settings import BUNDLED_BASE, flag, is_bundled
from use.card import ADAPTER_FOLDER, BUNDLED_LICENCE, Base, card
from use.folder import refuse_used, written_whole
from use.trained import Trained, find
from watch.run_folder import known_name
from watch.terminal import harmless

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
BASE_FILES = ("*.json", "*.safetensors", "word_tokenizer.py")
SECONDS = 10  # to hear from the hub what licence a base has


@dataclass(frozen=True)
class Push:
    """Upload the adapter to the Hugging Face hub, with a model card: task, results, command, licence."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run, runs/my-run, or of its adapter."""
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """owner/name on the hub."""
    dry_run: str | None = None
    """Write what would be uploaded into this new folder, and upload nothing."""
    base_model: str | None = None
    """The base's name on the hub, owner/name, where the run had it from a folder of this disk."""
    license: str | None = None
    """The base's licence, as the hub spells it. None: what the base's own page says."""
    private: bool = False
    """Make a repository that only you can see."""
    update: bool = False
    """Write into a repository that is there already."""
    model: str | None = None
    """Where the base is now, on this disk. None: where the run had it."""


def push(asked: Push) -> None:
    """Put the files together and upload them, or with --dry-run leave them in a folder.

    Raises ValueError, naming the argument or the flag, for bad input, or with what the hub said.
    """
    for name in ("dry_run", "base_model", "license", "model"):
        if getattr(asked, name) == "":  # a script's unset variable is no leave to upload
            raise ValueError(f"{flag(name)} is empty: give it a value, or leave it out")
    check_name(asked.name, "NAME")
    if asked.base_model:
        check_name(asked.base_model, "--base-model")
    if asked.dry_run:
        refuse_used(Path(asked.dry_run), "--dry-run")
    else:
        check_login(asked.name)
    trained = find(asked.run, model=asked.model)
    base = base_of(trained, asked)
    if asked.dry_run:
        with written_whole(Path(asked.dry_run), "--dry-run") as folder:
            put_together(trained, base, asked.name, folder)
        print(f"what would be uploaded to {asked.name}: {harmless(asked.dry_run)}")
        return
    with tempfile.TemporaryDirectory() as folder:
        put_together(trained, base, asked.name, Path(folder))
        print(f"shared: {upload(Path(folder), asked)}")


def check_name(name: str, which: str) -> None:
    """Raise ValueError unless this is a name that the hub could have."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ValueError(f"{which} {harmless(name)} is no name on the hub: {error}") from error
    if name.count("/") != 1:
        raise ValueError(f"{which} {harmless(name)} must be owner/name")


def base_of(trained: Trained, asked: Push) -> Base:
    """The base by its name on the hub, and its licence. Raises ValueError if no such name is known."""
    model = trained.settings.model
    if is_bundled(model):
        return Base(None, BUNDLED_BASE.name, asked.license or BUNDLED_LICENCE)
    name = asked.base_model or known_name(model)
    if name.count("/") != 1:
        raise ValueError(
            f"the base is the folder {model} of this disk, where nobody else finds it: give its name on "
            "the hub, as --base-model Qwen/Qwen2.5-3B"
        )
    return Base(name, name, asked.license or licence_on_hub(name))


def licence_on_hub(name: str) -> str | None:
    """What a model's page says of its licence; None if it says nothing or cannot be read from here."""
    from huggingface_hub import HfApi

    try:
        data = HfApi().model_info(name, timeout=SECONDS).card_data
    except (
        Exception
    ):  # of many classes, those of an HTTP client among them; a licence may be missing
        return None
    return data and (data.get("license_name") or data.get("license"))


# ---------------------------------------------------------------- the files


def put_together(trained: Trained, base: Base, name: str, folder: Path) -> None:
    """Write all that is uploaded into a folder. Nothing in it names a path of this disk."""
    adapter = folder / (ADAPTER_FOLDER if base.hub_id is None else "")
    adapter.mkdir(exist_ok=True)
    for file in ADAPTER_FILES:
        shutil.copyfile(trained.adapter / file, adapter / file)
    config = json.loads((adapter / ADAPTER_FILES[0]).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base.name
    (adapter / ADAPTER_FILES[0]).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for file in ("curves.png", "metrics.jsonl"):
        if trained.folder and (trained.folder / file).exists():
            shutil.copyfile(trained.folder / file, folder / file)
    if base.hub_id is None:
        (folder / base.name).mkdir()
        for path in sorted(p for pattern in BASE_FILES for p in BUNDLED_BASE.glob(pattern)):
            shutil.copyfile(path, folder / base.name / path.name)
    text = card(trained, base, name, curves=(folder / "curves.png").exists())
    (folder / "README.md").write_text(text, encoding="utf-8")


# ---------------------------------------------------------------- the hub


def check_login(name: str) -> None:
    """Raise ValueError if nobody is logged in to the hub here."""
    from huggingface_hub import get_token

    if get_token() is None:
        raise ValueError(
            f"nothing was uploaded to {name}: log in first with hf auth login, or look at the files with "
            "--dry-run FOLDER"
        )


def upload(folder: Path, asked: Push) -> str:
    """Make the repository and upload the folder in one commit; the page's address.

    Raises ValueError, in one sentence, for what the hub refuses or a hub that cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub, message, made = HfApi(), "Adapter and model card by rapo-mini", ""
    try:
        url = hub.create_repo(asked.name, private=asked.private, exist_ok=asked.update)
        made = "; the repository is there, so next time add --update"
        hub.upload_folder(repo_id=asked.name, folder_path=folder, commit_message=message)
        return str(url)
    except HfHubHTTPError as error:
        refused = {
            401: "the hub does not know your token: hf auth login",
            403: "the hub does not let you write there: is the owner's name yours?",
            409: "it is there already: --update writes into it, or give another name",
        }
        status = getattr(error.response, "status_code", None)
        said = refused.get(status) or f"the hub said {str(error).splitlines()[0]}"
    except Exception as error:  # of many classes, those of an HTTP client among them
        said = f"the hub cannot be reached ({' '.join(str(error).split())[:200]})"
    raise ValueError(f"nothing was uploaded to {asked.name}: {said}{made}")
