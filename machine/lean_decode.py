"""One token at a time on the CPU, for small models: the decode step written out in few operations.

A step of the bundled base for a hundred rows is a millisecond of arithmetic. transformers' forward, made
for every model and every kind of cache, spends three more on building masks, growing caches and calling
modules. Here the same step is written for one family, Qwen2 and Llama, and says less often what to do:

* the weights that read the same input are one matrix: query, key and value; gate and up;
* rows of a prompt that drew the same tokens so far are one text: it is read once, and lies in one place
  until they part;
* keys and values lie in blocks as long as a completion may get: a token writes itself into its slot, and
  texts that part or end move no others than the last ones;
* the rotation of queries and keys is one product with a table, and its twin half a head further.

The plain twin is `sampler.GrowingDecoder`, which every other model takes: the same tokens (tests).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

from machine.fixed_decode import prefill
from machine.merged_lora import product_of

FAMILY = ("Qwen2Model", "LlamaModel")  # what the step below is written for


class Layer(NamedTuple):
    """The weights of a decoder layer, those with the same input as one matrix, (out, in)."""

    norm: Tensor  # (hidden,) before attention
    qkv: Tensor  # (H d + 2 h d, hidden): H heads of queries, h of keys and of values, d wide
    qkv_bias: Tensor | None
    out: Tensor  # (hidden, H d)
    out_bias: Tensor | None
    mlp_norm: Tensor  # (hidden,)
    gate_up: Tensor  # (2 intermediate, hidden)
    gate_up_bias: Tensor | None
    down: Tensor  # (hidden, intermediate)
    down_bias: Tensor | None


class LeanDecoder:
    """Runs the model one token at a time, written out; used like `sampler.GrowingDecoder`."""

    def __init__(
        self,
        model: Callable,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        copies: Tensor,
        max_new_tokens: int,
    ):
        """The prefill. prompt_ids, prompt_mask (p, L); copies (p,): how many rows each prompt gets."""
        position, out = prefill(model, prompt_ids, prompt_mask)  # (p, L)
        self.place = torch.arange(len(copies)).repeat_interleave(copies)  # (b,) of each row's text
        self.model, self.body = model, model.model
        self.layers = [layer_of(layer) for layer in self.body.layers]
        self.filled = prompt_ids.shape[1]  # slots with a token in them
        rows, size = len(self.place), self.filled + max_new_tokens  # at most b texts
        cache = out.past_key_values.layers
        self.keys = [block_of(layer.keys, rows, size) for layer in cache]  # each (b, h, size, d)
        self.values = [block_of(layer.values, rows, size) for layer in cache]
        self.logits = out.logits[self.place, -1]  # (b, V)
        self.mask = torch.zeros(rows, 1, 1, size)  # added to the scores
        padding = prompt_mask[:, None, None] == 0  # (p, 1, 1, L)
        self.mask[: len(copies), ..., : self.filled].masked_fill_(padding, -torch.inf)
        self.position = torch.zeros(rows, dtype=torch.long)  # of each text's last token
        self.position[: len(copies)] = position[:, -1]
        table = torch.arange(size + 1)[None]  # positions
        cos, sin = self.body.rotary_emb(self.body.embed_tokens.weight, table)  # (1, size + 1, d)
        half = sin.shape[-1] // 2
        self.cos, self.sin = cos[0], torch.cat([-sin[0, :, :half], sin[0, :, half:]], dim=-1)

    def keep(self, kept: Tensor) -> None:
        """Only these of the rows go on."""
        self.place = self.place[kept]

    def read(self, token: Tensor) -> Tensor:
        """Find the n texts that the rows are by now, and let them lie in the first n places.

        token (b,), the last one of each row -> (n,), that of each place. One of the texts that part stays
        where they were, if that is among the first n; others copy what was common into empty places.
        """
        vocabulary = self.logits.shape[-1]
        texts, text_of = torch.unique(self.place * vocabulary + token, return_inverse=True)
        before, token = texts // vocabulary, texts % vocabulary  # (n,) the place so far, (n,)
        stays = before < len(texts)
        stays[1:] &= before[1:] != before[:-1]  # the first of those that part
        place = before.clone()  # (n,)
        empty = torch.ones(len(texts), dtype=torch.bool)
        empty[before[stays]] = False
        place[~stays] = empty.nonzero()[:, 0]
        moved, to = before[~stays], place[~stays]  # (m,), (m,)
        if len(to):
            for block in (*self.keys, *self.values):
                block[to, :, : self.filled] = block[moved, :, : self.filled]
            self.mask[to], self.position[to] = self.mask[moved], self.position[moved]
        self.place = place[text_of]  # (b,)
        return torch.empty_like(token).scatter_(0, place, token)

    def step(self, token: Tensor) -> Tensor:
        """token (b,), the last one of each row -> logits (b, V) of the next."""
        token = self.read(token)  # (n,)
        n = len(token)
        self.position[:n] += 1
        position = self.position[:n]
        cos, sin = self.cos[position][:, None], self.sin[position][:, None]  # (n, 1, d)
        slot, self.filled = self.filled, self.filled + 1
        mask = self.mask[:n, ..., : self.filled]  # (n, 1, 1, filled)
        eps = self.body.norm.variance_epsilon
        x = self.body.embed_tokens(token)  # (n, hidden)
        shape, wide = x.shape[-1:], cos.shape[-1]  # (hidden,), d
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            keys, values, h = keys[:n], values[:n], keys.shape[1]  # (n, h, size, d)
            y = rms_norm(x, shape, layer.norm, eps)  # (n, hidden)
            heads = linear(y, layer.qkv, layer.qkv_bias).view(n, -1, wide)  # (n, H + 2h, d)
            turned = rotate(heads[:, :-h], cos, sin)  # (n, H + h, d)
            keys[:, :, slot], values[:, :, slot] = turned[:, -h:], heads[:, -h:]
            query = turned[:, :-h].unflatten(1, (h, -1))  # (n, h, H / h, d)
            seen = scaled_dot_product_attention(
                query, keys[:, :, : self.filled], values[:, :, : self.filled], mask
            )  # (n, h, H / h, d)
            x = x + linear(seen.flatten(1), layer.out, layer.out_bias)  # (n, hidden)
            y = rms_norm(x, shape, layer.mlp_norm, eps)  # (n, hidden)
            gate, up = linear(y, layer.gate_up, layer.gate_up_bias).chunk(2, dim=-1)
            x = x + linear(silu(gate) * up, layer.down, layer.down_bias)  # (n, hidden)
        x = rms_norm(x, shape, self.body.norm.weight, eps)  # (n, hidden)
        return self.model.lm_head(x)[self.place]  # (b, V)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions. x (b, heads, d); cos, sin (b, 1, d), the first half of sin negated."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)


def block_of(filled: Tensor, rows: int, size: int) -> Tensor:
    """Keys or values of p prompts (p, h, L, d) in the first places of a block (rows, h, size, d)."""
    prompts, heads, length, width = filled.shape
    block = filled.new_empty(rows, heads, size, width)
    block[:prompts, :, :length] = filled
    return block


def layer_of(layer: nn.Module) -> Layer:
    """The weights of a layer of transformers, as they are used now: with LoRA merged or without it."""
    attention, mlp = layer.self_attn, layer.mlp
    return Layer(
        layer.input_layernorm.weight,
        *as_one([attention.q_proj, attention.k_proj, attention.v_proj]),
        *as_one([attention.o_proj]),
        layer.post_attention_layernorm.weight,
        *as_one([mlp.gate_proj, mlp.up_proj]),
        *as_one([mlp.down_proj]),
    )


def as_one(layers: list[nn.Module]) -> tuple[Tensor, Tensor | None]:
    """The weights (out, in) and biases (out,) of linear layers that read the same input, stacked."""
    products = [product_of(layer) for layer in layers]
    weights, biases = zip(*products, strict=True)
    if all(bias is None for bias in biases):
        return torch.cat(weights), None
    return torch.cat(weights), torch.cat(
        [w.new_zeros(len(w)) if bias is None else bias for w, bias in products]
    )


def fits(model: nn.Module) -> bool:
    """Is this a model that the step above is written for, float32 on the CPU, without LoRA beside it?"""
    body = getattr(model, "model", None)
    if type(body).__name__ not in FAMILY or model.device.type != "cpu":
        return False
    config = model.config
    windows = set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}
    if windows or config.hidden_act != "silu" or model.dtype != torch.float32:
        return False
    attention, mlp = body.layers[0].self_attn, body.layers[0].mlp
    linears = [attention.q_proj, attention.o_proj, mlp.up_proj, mlp.down_proj]
    return all(product_of(layer) is not None for layer in linears)
