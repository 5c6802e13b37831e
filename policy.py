"""One set of weights, two policies: which weights each pass uses, and log pi, KL and H of each token.

* One set of weights is both policies: pi_theta with the LoRA adapter on, pi_ref with it off. The
  reference costs no memory. Once it has been refreshed (Algorithm 1: pi_ref <- pi_theta), pi_ref is a
  second, frozen adapter on the same weights: it costs an adapter.
* `--checkpoint-layers` keeps only each layer's input while learning, and computes the layer again in
  the backward pass.
* Scoring never makes the logits of a batch. The hidden states of the completion go through the head
  a chunk of tokens at a time, and the backward pass computes each chunk again: of B*T*V numbers only
  one chunk exists at once. With a vocabulary of 151,936 nothing else fits. (Where all tokens are one
  chunk, as on the bundled base, its logits are kept.)

LoRA, 4-bit weights (`machine/loading.py`) and chunks are ours; the paper trains full weights on 8 GPUs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from machine import shared_prompts, thin_lora
from machine.chat import turn_end
from machine.loading import load_base, switch_off_dropout, with_new_lora, with_saved_lora
from machine.merged_lora import can_merge, lora_layers, one_product
from objective import TokenTerms, token_terms

TRAINED, REFERENCE = "default", "reference"  # names of the adapters in PEFT


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
    def shares_prompts(self) -> bool:
        """A prompt is read once for all of its completions in a micro-batch."""
        return shared_prompts.taught(self.model.get_base_model().model)

    @property
    def end_ids(self) -> list[int]:
        """The tokens that end a completion: the model's or the tokenizer's, and those that end a turn.

        Qwen2.5's base models name <|endoftext|> only, but asked by the template qwen-boxed they end
        their turn with <|im_end|>, and what follows would be a dialogue with themselves. A tokenizer with
        a chat template ends its turns as the template does.
        """
        ids = self.model.generation_config.eos_token_id
        ids = self.tokenizer.eos_token_id if ids is None else ids
        ids = list(ids) if isinstance(ids, list) else [ids]
        for end in (self.tokenizer.convert_tokens_to_ids("<|im_end|>"), turn_end(self.tokenizer)):
            if end not in (None, self.tokenizer.unk_token_id, *ids):
                ids.append(end)
        return ids

    @property
    def pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return self.end_ids[0] if pad is None else pad

    def trainable(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]


def load_policy(
    model: str,
    *,
    quant: str = "none",
    lora_r: int = 16,
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
        peft_model = with_new_lora(base, lora_r, seed)
    else:
        peft_model = with_saved_lora(base, adapter, model)
    return Policy(made_ready(peft_model), tokenizer, quant, checkpoint_layers)


def made_ready(model: nn.Module) -> nn.Module:
    """A PEFT model as it is run here: prompts shared, LoRA in the activations' dtype, in train mode.

    Without dropout train mode changes nothing but this: it lets layers be checkpointed, and on the CPU
    keeps bitsandbytes from packing 4-bit weights into a form without gradients.
    """
    shared_prompts.teach(model.get_base_model())
    thin_lora.teach(model)
    return model.train()


# ---------------------------------------------------------------- which weights are read


@contextlib.contextmanager
def weights(policy: Policy, adapter: str | None) -> Iterator[None]:
    """The model with this adapter on it, None: without any; LoRA as one product where that is exact.

    W + scale * B A is exact enough (float32 rounding) for unquantised float32 weights. Over 4-bit or
    16-bit weights the sum would round the adapter away, and a layer that is checkpointed runs again
    after this has ended: there LoRA runs as it is written, or as in `machine/thin_lora.py`.
    """
    layers = lora_layers(policy.model)
    if can_merge(layers) and not (policy.checkpoint_layers and torch.is_grad_enabled()):
        with one_product(layers, adapter):
            yield
    elif adapter is None:
        policy.model.base_model.disable_adapter_layers()
        try:
            yield
        finally:
            policy.model.base_model.enable_adapter_layers()
    elif adapter == TRAINED:
        yield
    else:
        policy.model.set_adapter(adapter)
        try:
            yield
        finally:
            policy.model.set_adapter(TRAINED)  # and only this one is trained again


@contextlib.contextmanager
def sampling_weights(policy: Policy) -> Iterator[nn.Module]:
    """The policy for sampling, without gradients."""
    with torch.no_grad(), weights(policy, TRAINED):
        yield policy.model.get_base_model()  # LoRA's layers are in it; PEFT's wrapper only costs time


@contextlib.contextmanager
def base_weights(policy: Policy) -> Iterator[nn.Module]:
    """The model that training began with: the adapter off, without gradients."""
    with torch.no_grad(), weights(policy, None):
        yield policy.model.get_base_model()


@contextlib.contextmanager
def reference_weights(policy: Policy) -> Iterator[nn.Module]:
    """pi_ref, without gradients: the base, or after a refresh the policy of that step."""
    refreshed = REFERENCE in policy.model.peft_config
    with torch.no_grad(), weights(policy, REFERENCE if refreshed else None):
        yield policy.model


def refresh_reference(policy: Policy) -> None:
    """pi_ref <- pi_theta [paper, Algorithm 1]: a frozen copy of the adapter, not of the model."""
    if REFERENCE not in policy.model.peft_config:
        policy.model.add_adapter(REFERENCE, policy.model.peft_config[TRAINED])
        policy.model.set_adapter(TRAINED)  # the one that is trained stays active
    with torch.no_grad():
        for mine, copy in zip(
            adapter_weights(policy, TRAINED), adapter_weights(policy, REFERENCE), strict=True
        ):
            copy.copy_(mine)
            copy.requires_grad_(False)


def adapter_weights(policy: Policy, adapter: str) -> list[nn.Parameter]:
    """The matrices A and B of one adapter, in the order of the layers."""
    return [p for n, p in policy.model.named_parameters() if f".{adapter}." in n and "lora_" in n]


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
        with weights(policy, TRAINED):
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

    Rows with the same prompt share it (`machine/shared_prompts.py`), where the model can.
    """
    body = model.get_base_model().model  # the transformer without its head
    real = mask.bool()
    if not shared_prompts.taught(body):
        return states_row_by_row(body, prompt_ids, prompt_mask, tokens, mask)
    dtype = body.get_input_embeddings().weight.dtype
    packed = shared_prompts.pack(prompt_ids, prompt_mask, tokens, dtype)
    hidden = body(
        input_ids=packed.ids,
        position_ids=packed.position,
        attention_mask=packed.mask,
        packed=packed,
        use_cache=False,
    ).last_hidden_state  # (1, places, hidden)
    return hidden[0].index_select(
        0, packed.before[real]
    )  # (N, hidden): one place before each token


def states_row_by_row(
    body: nn.Module, prompt_ids: Tensor, prompt_mask: Tensor, tokens: Tensor, mask: Tensor
) -> Tensor:
    """`completion_states`, each row with its own prompt: the plain way.

    Each row is moved to the left edge, so that all its padding stands on the right. There causal
    attention never looks, and the model runs without an attention mask.
    """
    ids = torch.cat([prompt_ids, tokens], dim=1)  # (b, L + T)
    pads = (prompt_mask == 0).sum(dim=1, keepdim=True)  # (b, 1)
    lengths = mask.sum(dim=1, keepdim=True)  # (b, 1)
    width = int((prompt_ids.shape[1] - pads + lengths).max())
    source = torch.arange(width, device=ids.device) + pads  # (b, width)
    ids = ids.gather(1, source.clamp_max(ids.shape[1] - 1))  # (b, width)
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
    terms: Callable[..., NamedTuple] = token_terms,
) -> TokenTerms:
    """The TokenTerms of every sampled token, with gradients into the adapter.

    prompt_ids, prompt_mask (b, L); tokens, mask (b, T); phi (b,) -> fields of (b, T), 0 on padding.
    `chunk_tokens` tokens go through the head at a time; the result does not depend on it. terms: the
    function applied to each chunk of logits: `objective.token_terms`, or what a trace asks for.
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
    flat = terms_in_chunks(
        (head, state),
        None if ref_state is None else (head, ref_state),
        tokens[real],
        phi[:, None].expand_as(tokens)[real],
        arm=arm,
        form=form,
        temperature=temperature,
        chunk_tokens=chunk_tokens,
        terms=terms,
    )
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
    terms: Callable[..., NamedTuple] = token_terms,
) -> TokenTerms:
    """The TokenTerms of N tokens; of the logits, `chunk_tokens` rows exist at a time.

    policy_at, reference_at: the head of pi_theta and of pi_ref, each with its states (N, hidden); the
    reference's carry no gradient; token, phi (N,) -> fields of (N,).
    """
    head, state = policy_at
    ref_head, ref_state = (None, None) if reference_at is None else reference_at

    def terms_of(state: Tensor, ref_state: Tensor | None, token: Tensor, phi: Tensor):
        logits = head(state) / temperature  # (n, V)
        with torch.no_grad():
            ref_logits = None if ref_state is None else ref_head(ref_state) / temperature  # (n, V)
        return terms(logits, ref_logits, token, phi, arm, form)

    if len(token) <= chunk_tokens:  # one chunk is all there is: nothing is won by making it twice
        return terms_of(state, ref_state, token, phi)
    chunks = [
        checkpoint(
            terms_of,
            state[i : i + chunk_tokens],
            None if ref_state is None else ref_state[i : i + chunk_tokens],
            token[i : i + chunk_tokens],
            phi[i : i + chunk_tokens],
            use_reentrant=False,
        )
        for i in range(0, len(token), chunk_tokens)
    ]
    return type(chunks[0])(*(torch.cat(field) for field in zip(*chunks, strict=True)))


def to_rows(flat: NamedTuple, real: Tensor) -> NamedTuple:
    """Fields of (N, ...) put where real (b, T) is True, 0 elsewhere: fields of (b, T, ...)."""

    def placed(field: Tensor) -> Tensor:
        rows = field.new_zeros(*real.shape, *field.shape[1:])  # (b, T, ...)
        where = real.view(*real.shape, *[1] * (field.dim() - 1)).expand_as(rows)
        return rows.masked_scatter(where, field)

    return type(flat)(*map(placed, flat))
