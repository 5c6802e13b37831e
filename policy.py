"""The model: load it, put LoRA on it, read the reference from it, and score tokens in chunks.

* One set of weights is both policies: pi_theta with the LoRA adapter on, pi_ref with it off. The
  reference costs no memory.
* `--quant nf4` keeps the base weights in 4 bits (QLoRA), embeddings and head as they are; only the
  adapter is trained, in float32.
* `--checkpoint-layers` keeps only each layer's input while learning, and computes the layer again in
  the backward pass.
* Scoring never makes the logits of a batch. The hidden states of the completion go through the head
  a chunk of tokens at a time, and the backward pass computes each chunk again: of B*T*V numbers only
  one chunk exists at once. With Qwen2.5's 151,936 tokens nothing else fits.

All of this is ours; the paper trains full weights on many GPUs.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from objective import Glimpse, TokenTerms, token_terms

BUNDLED_BASE = Path(__file__).resolve().parent / "tiny_base"
GPU_BASE = "Qwen/Qwen2.5-3B"


@dataclass(frozen=True)
class Policy:
    """A base model with a LoRA adapter on it, and its tokenizer."""

    model: nn.Module  # a peft.PeftModel around a causal language model
    tokenizer: object
    quant: str  # "nf4" or "none"
    checkpoint_layers: bool = False

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """That of the activations: float32, bfloat16 or float16."""
        return self.model.get_input_embeddings().weight.dtype

    @property
    def end_ids(self) -> list[int]:
        """The tokens that end a completion: the model's own, or the tokenizer's; and the end of a turn.

        Qwen2.5's base models name <|endoftext|> only, but asked by the template qwen-boxed they end
        their turn with <|im_end|>, and what follows would be a dialogue with themselves.
        """
        ids = self.model.generation_config.eos_token_id
        ids = self.tokenizer.eos_token_id if ids is None else ids
        ids = list(ids) if isinstance(ids, list) else [ids]
        turn_end = self.tokenizer.convert_tokens_to_ids("<|im_end|>")
        if turn_end not in (None, self.tokenizer.unk_token_id, *ids):
            ids.append(turn_end)
        return ids

    @property
    def pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return self.end_ids[0] if pad is None else pad

    def trainable(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]


def choose_model(model: str, quant: str, planned: float | None = None) -> tuple[str, str, str]:
    """What `--model auto` and `--quant auto` mean on this machine: (model, quant, why).

    With a CUDA GPU: Qwen2.5-3B in NF4. Without: the bundled base, unquantised. planned: GiB of a GPU
    that is not here, for `--dry-run --gpu-memory`.
    """
    gpu = planned is not None or torch.cuda.is_available()
    if model == "auto":
        why = "no CUDA GPU is here"
        if planned is not None:
            why = f"planning for a CUDA GPU of {planned:g} GiB"
        elif gpu:
            why = f"a CUDA GPU is here ({torch.cuda.get_device_name()})"
        model = GPU_BASE if gpu else str(BUNDLED_BASE)
    else:
        why = "asked for by --model"
    if quant == "auto":
        quant = "nf4" if gpu and not is_bundled(model) else "none"
    return model, quant, why


def is_bundled(model: str) -> bool:
    return Path(model).resolve() == BUNDLED_BASE


def load_policy(
    model: str,
    *,
    quant: str = "none",
    lora_r: int = 16,
    lora_alpha: int = 32,
    adapter: str | Path | None = None,
    seed: int = 0,
    checkpoint_layers: bool = False,
) -> Policy:
    """Load a base model from a folder or by its hub id, with a new LoRA adapter or a saved one.

    quant: "nf4" (4-bit NormalFloat with double quantisation, through bitsandbytes, on a GPU or the
    CPU) or "none". The new adapter's matrix B is zero, so that the policy starts as the reference.
    Raises ValueError, naming the flag, if the model or the adapter cannot be read.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    base, tokenizer = load_base(model, quant, device)
    switch_off_dropout(base)
    if adapter is None:
        peft_model = with_new_lora(base, lora_r, lora_alpha, seed)
    else:
        peft_model = with_saved_lora(base, adapter, model)
    # Without dropout train mode changes nothing but this: it lets layers be checkpointed, and on the CPU
    # keeps bitsandbytes from packing 4-bit weights into a form without gradients.
    peft_model.train()
    return Policy(peft_model, tokenizer, quant, checkpoint_layers)


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


def with_new_lora(base: nn.Module, lora_r: int, lora_alpha: int, seed: int) -> nn.Module:
    """LoRA on all linear layers but the head, in float32 also over 16-bit and 4-bit weights."""
    from peft import get_peft_model

    torch.manual_seed(seed)  # LoRA's matrix A is random
    return get_peft_model(base, lora_config(lora_r, lora_alpha))


def lora_config(lora_r: int, lora_alpha: int):
    from peft import LoraConfig

    return LoraConfig(
        r=lora_r, lora_alpha=lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
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


# ---------------------------------------------------------------- which weights are read


@contextlib.contextmanager
def sampling_weights(policy: Policy) -> Iterator[nn.Module]:
    """The policy for sampling: with the adapter merged into the weights where that is exact.

    It is exact enough (float32 rounding) for unquantised float32 weights: W + scale * B A replaces
    W, and each layer does one product instead of three. Afterwards the very same W is put back:
    subtracting B A again would leave a rounding error behind, step after step. Over 4-bit or 16-bit
    weights merging would round the adapter away, so there the model is used as it is.
    """
    from peft.tuners.lora import LoraLayer

    layers = [m for m in policy.model.modules() if isinstance(m, LoraLayer)]
    exact = policy.quant == "none" and all(m.weight.dtype == torch.float32 for m in layers)
    if not exact:
        yield policy.model
        return
    kept = [m.weight.data for m in layers]
    try:
        with torch.no_grad():
            for m, weight in zip(layers, kept, strict=True):
                m.get_base_layer().weight.data = weight + m.get_delta_weight("default")
        with policy.model.disable_adapter():
            yield policy.model.get_base_model()
    finally:
        for m, weight in zip(layers, kept, strict=True):
            m.get_base_layer().weight.data = weight


@contextlib.contextmanager
def reference_weights(policy: Policy) -> Iterator[nn.Module]:
    """pi_ref: the same model with the adapter off, without gradients."""
    with torch.no_grad(), policy.model.disable_adapter():
        yield policy.model


@contextlib.contextmanager
def learning_weights(policy: Policy) -> Iterator[nn.Module]:
    """The policy for learning: with --checkpoint-layers only each layer's input is kept.

    Non-reentrant checkpoints take their gradients from the adapter inside, so the frozen embeddings
    need none. The switch is on for the forward pass alone: a checkpointed layer uses no key/value cache.
    """
    base = policy.model.get_base_model()
    if policy.checkpoint_layers:
        base.activation_checkpointing_enable({"use_reentrant": False})
    try:
        yield policy.model
    finally:
        if policy.checkpoint_layers:
            base.activation_checkpointing_disable()


# ---------------------------------------------------------------- text and tokens


def encode_prompts(policy: Policy, prompts: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids and mask of the prompts, each (P, L), padded on the left."""
    encoded = [policy.tokenizer.encode(prompt) for prompt in prompts]
    width = max(map(len, encoded))
    ids = torch.full((len(prompts), width), policy.pad_id)  # (P, L)
    mask = torch.zeros_like(ids)  # (P, L)
    for row, tokens in enumerate(encoded):
        ids[row, width - len(tokens) :] = torch.tensor(tokens)
        mask[row, width - len(tokens) :] = 1
    return ids.to(policy.device), mask.to(policy.device)


def decode(policy: Policy, tokens: Tensor, mask: Tensor) -> list[str]:
    """The completions as text, without the end token. tokens, mask (B, T) -> B strings."""
    rows = [row[real.bool()].tolist() for row, real in zip(tokens, mask, strict=True)]
    return policy.tokenizer.batch_decode(rows, skip_special_tokens=True)


# ---------------------------------------------------------------- scoring


def completion_states(
    model: nn.Module, prompt_ids: Tensor, prompt_mask: Tensor, tokens: Tensor, mask: Tensor
) -> Tensor:
    """The last hidden state at each s_t, the state from which token y_t was drawn.

    prompt_ids, prompt_mask (b, L) padded left; tokens, mask (b, T) padded right -> (N, hidden), row
    by row for the N tokens where mask is 1.

    Each row is moved to the left edge, so that all its padding stands on the right. There causal
    attention never looks, and the model runs without an attention mask, which is quicker.
    """
    ids = torch.cat([prompt_ids, tokens], dim=1)  # (b, L + T)
    pads = (prompt_mask == 0).sum(dim=1, keepdim=True)  # (b, 1)
    lengths = mask.sum(dim=1, keepdim=True)  # (b, 1)
    width = int((prompt_ids.shape[1] - pads + lengths).max())
    source = torch.arange(width, device=ids.device) + pads  # (b, width)
    ids = ids.gather(1, source.clamp_max(ids.shape[1] - 1))  # (b, width)
    body = model.get_base_model().model  # the transformer without its head
    hidden = body(input_ids=ids, use_cache=False).last_hidden_state  # (b, width, hidden)
    before = prompt_ids.shape[1] - 1 - pads + torch.arange(tokens.shape[1], device=ids.device)
    row = torch.arange(len(ids), device=ids.device)[:, None].expand_as(before)  # (b, T)
    real = mask.bool()
    return hidden[row[real], before[real]]  # (N, hidden): the state one place before each token


def score(
    policy: Policy,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    tokens: Tensor,
    mask: Tensor,
    phi: Tensor,
    *,
    arm: str,
    form: str,
    temperature: float,
    chunk_tokens: int,
    glimpses: list[Glimpse] | None = None,
) -> TokenTerms:
    """The TokenTerms of every sampled token, with gradients into the adapter.

    prompt_ids, prompt_mask (b, L); tokens, mask (b, T); phi (b,) -> fields of (b, T), 0 on padding.
    `chunk_tokens` tokens go through the head at a time; the result does not depend on it.
    If a list of glimpses is given, one with fields of (b, T, C) is added to it.
    """
    batch = (prompt_ids, prompt_mask, tokens, mask)
    ref_state = None
    if form != "none":
        with reference_weights(policy) as reference:
            ref_state = completion_states(reference, *batch)  # (N, hidden), N sampled tokens
    with learning_weights(policy) as learner:
        state = completion_states(learner, *batch)  # (N, hidden)
    head = policy.model.get_output_embeddings()
    real = mask.bool()
    flat, seen = terms_in_chunks(
        (head, state),
        None if ref_state is None else (head, ref_state),
        tokens[real],
        phi[:, None].expand_as(tokens)[real],
        arm=arm,
        form=form,
        temperature=temperature,
        chunk_tokens=chunk_tokens,
        look=glimpses is not None,
    )
    if glimpses is not None:
        fields = zip(*(glimpse for (glimpse,) in seen), strict=True)
        glimpses.append(Glimpse(*(unflatten(field, real) for field in fields)))
    return to_rows(flat, real)


def terms_in_chunks(
    policy_at: tuple[nn.Module, Tensor],
    reference_at: tuple[nn.Module, Tensor] | None,
    token: Tensor,
    phi: Tensor,
    *,
    arm: str,
    form: str,
    temperature: float,
    chunk_tokens: int,
    look: bool = False,
) -> tuple[TokenTerms, list]:
    """The TokenTerms of N tokens; of the logits, `chunk_tokens` rows exist at a time.

    policy_at, reference_at: the head of pi_theta and of pi_ref, each with its states (N, hidden), which
    have no gradient in the reference's; token, phi (N,) -> fields of (N,), and for each chunk a list:
    with its Glimpse if `look`, else None.
    """
    head, state = policy_at
    ref_head, ref_state = (None, None) if reference_at is None else reference_at

    def terms_of(state: Tensor, ref_state: Tensor | None, token: Tensor, token_phi: Tensor):
        logits = head(state) / temperature  # (n, V)
        with torch.no_grad():
            ref_logits = None if ref_state is None else ref_head(ref_state) / temperature  # (n, V)
        seen = [] if look else None  # its own list: the backward pass comes here again
        return token_terms(logits, ref_logits, token, token_phi, arm, form, seen), seen

    chunks = [
        checkpoint(
            terms_of,
            state[i : i + chunk_tokens],
            None if ref_state is None else ref_state[i : i + chunk_tokens],
            token[i : i + chunk_tokens],
            phi[i : i + chunk_tokens],
            use_reentrant=False,
        )
        for i in range(0, max(len(token), 1), chunk_tokens)  # without tokens: one chunk of none
    ]
    parts, seen = zip(*chunks, strict=True)
    return TokenTerms(*(torch.cat(field) for field in zip(*parts, strict=True))), list(seen)


def to_rows(flat: TokenTerms, real: Tensor) -> TokenTerms:
    """Fields of (N,) put where real (b, T) is True, 0 elsewhere: fields of (b, T)."""
    return TokenTerms(*(x.new_zeros(real.shape).masked_scatter(real, x) for x in flat))


def unflatten(parts: tuple[Tensor | None, ...], real: Tensor) -> Tensor | None:
    """Chunks of (n, C) back to (b, T, C), 0 on padding; real (b, T) is True at the N tokens."""
    if parts[0] is None:
        return None
    flat = torch.cat(parts)  # (N, C)
    placed = flat.new_zeros(*real.shape, flat.shape[1])  # (b, T, C)
    placed[real] = flat
    return placed
