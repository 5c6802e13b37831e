"""Loading a base: its weights as they are or in 4 bits, its tokenizer, LoRA on its linear layers.

`--quant nf4` keeps the base weights in 4-bit NormalFloat (QLoRA), embeddings and head as they are; only
the adapter is trained, in float32.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import nn


def load_base(model: str, quant: str, device_map: str | None = None) -> tuple[nn.Module, object]:
    """The frozen base and its tokenizer. device_map None: where the trainer puts it.

    Raises ValueError, naming the flag, if the model cannot be read.
    """
    quiet_libraries()
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    options: dict = {"dtype": compute_dtype(device), "device_map": device_map}
    if quant == "nf4":
        options["quantization_config"] = nf4_config(options["dtype"])
    try:
        tokenizer = load_tokenizer(model)
        base = AutoModelForCausalLM.from_pretrained(model, **options)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"the model {model!r} could not be loaded: give --model a folder that holds one, or a "
            f"Hugging Face id that can be reached from here ({str(error).splitlines()[0]})"
        ) from error
    return base, tokenizer


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
    """The adapter in a folder, put on the base. Raises ValueError, naming the flag, if it cannot be."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(base, adapter, is_trainable=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"the adapter {str(adapter)!r} does not fit {model!r}: give --adapter the folder "
            f"that a run on this model wrote ({str(error).splitlines()[0]})"
        ) from error


def quiet_libraries() -> None:
    """Keep the screen for the run: no bars of single files, no notes that need nothing from a reader."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(
        logging.ERROR
    )  # "no kernels package": it has its own
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # peft's call


def load_tokenizer(model: str):
    """The tokenizer as its tokenizer.json says.

    Not through AutoTokenizer: for any model of the class Qwen2 that builds Qwen's own byte-level
    tokenizer around the vocabulary, and the bundled base splits its text in another way.
    """
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(model)


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
