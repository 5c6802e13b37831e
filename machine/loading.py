"""Loading a base: its weights as they are or in 4 bits, its tokenizer, LoRA on its linear layers.

`--quant nf4` keeps the base weights in 4-bit NormalFloat (QLoRA), embeddings and head as they are; only
the adapter is trained, in float32. Any dense decoder of transformers will do: what differs between
families lies in its body, but for soft-capped logits, and those are the head's here.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from machine.gguf import file_of, folder_of
from machine.head import widen

HUB_SECONDS = 10  # to hear from the hub whether it has a model


def load_base(model: str, quant: str, device_map: str | None = None) -> tuple[nn.Module, object]:
    """The frozen base and its tokenizer. device_map None: where the trainer puts it.

    Raises ValueError, naming the flag, if the model cannot be read or is no decoder that can be scored.
    """
    quiet_libraries()
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    options: dict = {"dtype": compute_dtype(device), "device_map": device_map}
    options["trust_remote_code"] = False  # nothing of a model is run, and nobody is asked
    if quant == "nf4":
        options["quantization_config"] = nf4_config(options["dtype"])
    tokenizer = load_tokenizer(model)
    try:
        base = AutoModelForCausalLM.from_pretrained(folder_of(model), **options)
        check_decoder(base)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ValueError(not_loaded(model, error)) from error
    widen(base.get_output_embeddings())
    cap_in_the_head(base)
    return base, tokenizer


def check_decoder(base: nn.Module) -> None:
    """Raise ValueError unless the logits are the head of what the body returns, as `policy.score` has it.

    A few families scale or shift their logits after the head; they would be scored wrongly.
    """
    body, config = getattr(base, "model", None), base.config
    if not hasattr(body, "layers") or not isinstance(base.get_output_embeddings(), nn.Linear):
        raise ValueError(
            f"a model of the type {config.model_type!r} is no decoder with a linear head"
        )
    for name in ("logits_scaling", "logit_scale", "lm_head_multiplier"):
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise ValueError(
                f"its logits are scaled after the head ({name}), which is not done here"
            )


def cap_in_the_head(base: nn.Module) -> None:
    """Gemma 2 caps its logits, c * tanh(logit / c), after the head: from here on the head does it itself.

    So it holds wherever the head is called, and the model's own forward pass does not do it twice.
    """
    cap = getattr(base.config, "final_logit_softcapping", None)
    if cap is not None:
        head = base.get_output_embeddings()
        head.register_forward_hook(lambda _head, _state, logits: cap * torch.tanh(logits / cap))
        head.cap, base.config.final_logit_softcapping = cap, None


def name_the_cap(base: nn.Module) -> None:
    """Before a model is saved: its config names the cap again, as the saved head does not know it."""
    cap = getattr(base.get_output_embeddings(), "cap", None)
    if cap is not None:
        base.config.final_logit_softcapping = cap


def find_model(model: str) -> None:
    """Raise ValueError, naming --model, at once and once if no such model can be had from here."""
    if file_of(model):
        return
    if Path(model).is_dir():
        if not (Path(model) / "config.json").exists():
            raise ValueError(not_loaded(model, OSError("it holds no config.json")))
        return
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        if isinstance(try_to_load_from_cache(model, "config.json"), str):
            return
        get_hf_file_metadata(hf_hub_url(model, "config.json"), timeout=HUB_SECONDS)
    except HFValidationError as error:
        raise ValueError(not_loaded(model, error)) from error
    except HfHubHTTPError as error:
        raise ValueError(not_loaded(model, OSError("the hub has no such model for you"))) from error
    except Exception as error:  # of many classes, those of an HTTP client among them
        raise ValueError(not_loaded(model, OSError("the hub cannot be reached"))) from error


def not_loaded(model: str, error: Exception) -> str:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"the model {model!r} could not be loaded: give --model a folder that holds one, or a "
        f"Hugging Face id that can be reached from here ({said})"
    )


def switch_off_dropout(model: nn.Module) -> None:
    """With dropout, scoring would not repeat what sampling did."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0


def with_new_lora(base: nn.Module, lora_r: int, seed: int) -> nn.Module:
    """LoRA on all linear layers but the head, in float32 also over 16-bit and 4-bit weights."""
    from peft import get_peft_model

    torch.manual_seed(seed)  # LoRA's matrix A is random
    return get_peft_model(base, lora_config(lora_r))


def lora_config(lora_r: int):
    """Rank r on all linear layers but the head, its product with B A scaled by 2."""
    from peft import LoraConfig

    return LoraConfig(
        r=lora_r, lora_alpha=2 * lora_r, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def with_saved_lora(base: nn.Module, adapter: str | Path, model: str) -> nn.Module:
    """The adapter in a folder, or in a run's, put on the base.

    Raises ValueError, naming the flag, if it cannot be.
    """
    from peft import PeftModel

    adapter = adapter_in(adapter)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keys that are missing: that is checked here
            loaded = PeftModel.from_pretrained(base, adapter, is_trainable=True)
        for config in loaded.peft_config.values():
            config.base_model_name_or_path = model  # PEFT asks the hub for whatever stands here
        check_tensors(loaded, adapter)
        check_plain(loaded)
        return loaded
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"the adapter {adapter!r} does not fit {model!r}: give --adapter the folder "
            f"that a run on this model wrote ({said})"
        ) from error


def adapter_in(folder: str | Path) -> str:
    """The folder of an adapter, given itself or the run that wrote it."""
    inside = Path(folder) / "adapter"
    alone = not (Path(folder) / "adapter_config.json").exists()
    return str(inside) if alone and (inside / "adapter_config.json").exists() else str(folder)


def check_tensors(loaded: nn.Module, adapter: str) -> None:
    """Raise ValueError unless the adapter's file holds just the tensors that the model has room for.

    PEFT itself takes a file with none of them: then the base would pass for a trained model.
    """
    from peft import get_peft_model_state_dict
    from peft.utils import load_peft_weights

    saved, needed = load_peft_weights(adapter, device="cpu"), get_peft_model_state_dict(loaded)
    for name in [*needed, *saved]:
        if name not in saved:
            raise ValueError(f"its file lacks {name}")
        if name not in needed:
            raise ValueError(f"the model has no {name}")
        if not bool(torch.isfinite(saved[name]).all()):
            raise ValueError(f"{name} holds numbers that are not finite")


def check_plain(loaded: nn.Module) -> None:
    """Raise ValueError unless all that the adapter trains is LoRA's A and B on layers of the body.

    Sampler and scorer compute W x + s B A x there; biases, DoRA's magnitudes, a trained head or whole
    modules they would leave out of the policy, or in the reference, without a word.
    """
    head = loaded.get_output_embeddings()
    others = {id(weight) for weight in head.parameters()}
    for name, weight in loaded.named_parameters():
        plain = re.search(r"\.lora_[AB]\.\w+\.weight$", name) and id(weight) not in others
        if weight.requires_grad and not plain:
            raise ValueError(
                f"it trains {name.removeprefix('base_model.model.')}, and only plain LoRA on linear "
                "layers of the body is known here"
            )


def quiet_libraries() -> None:
    """Keep the screen for the run: no bars but of downloads, no notes that need nothing from a reader."""
    from huggingface_hub.utils import enable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # the hub's too, and a download of gigabytes must not be silent
    if os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "0") in ("0", ""):
        enable_progress_bars()
    logging.getLogger("bitsandbytes").setLevel(
        logging.ERROR
    )  # silences its notice about the missing kernels package
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # peft's call


def load_tokenizer(model: str):
    """The tokenizer as its tokenizer.json says.

    Not through AutoTokenizer: for a model of the class Qwen2 that builds Qwen's own byte-level tokenizer
    around any vocabulary, unless the folder asks for another (`tiny_base/word_tokenizer.py`).
    Raises ValueError, naming the flag, if it cannot be read.
    """
    from transformers import PreTrainedTokenizerFast

    try:
        return PreTrainedTokenizerFast.from_pretrained(folder_of(model))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(not_loaded(model, error)) from error


def compute_dtype(device: str) -> torch.dtype:
    """float32 on the CPU; on a GPU bfloat16, or float16 where the card has no bfloat16."""
    if device == "cpu":
        return torch.float32
    return (
        torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    )


def nf4_config(dtype: torch.dtype):
    """Weights in 4-bit NormalFloat, their scales quantised once more, arithmetic in `dtype`."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "--quant nf4 needs the package bitsandbytes: pip install bitsandbytes, or --quant none"
        ) from error
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
