"""One token at a time on the CPU, for small models: the decode step written out in few operations.

A step of the bundled base for a hundred rows is a millisecond of arithmetic. transformers' forward, made
for every model and every kind of cache, spends three more on building masks, growing caches and calling
modules. Here the same step is written for one family, Qwen2 and Llama, and says less often what to do:

* the weights that read the same input are one matrix: query, key and value; gate and up;
* keys and values lie in blocks as long as a completion may get: a token writes itself into its slot, and
  when rows end, the last rows move into their places;
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
        row = torch.arange(len(copies)).repeat_interleave(copies)  # (b,)
        self.model, self.body = model, model.model
        self.layers = [layer_of(layer) for layer in self.body.layers]
        self.filled = prompt_ids.shape[1]  # slots with a token in them
        size = self.filled + max_new_tokens
        cache = out.past_key_values.layers
        self.keys = [block_of(layer.keys, row, size) for layer in cache]  # each (b, h, size, d)
        self.values = [block_of(layer.values, row, size) for layer in cache]
        self.logits = out.logits[row, -1]  # (b, V)
        self.mask = torch.zeros(len(row), 1, 1, size)  # added to the scores
        self.mask[..., : self.filled].masked_fill_(prompt_mask[row, None, None] == 0, -torch.inf)
        self.position = position[row, -1]  # (b,)
        self.place = torch.arange(len(row))  # (b,) where in the blocks each running row lies
        table = torch.arange(size + 1)[None]  # positions
        cos, sin = self.body.rotary_emb(self.body.embed_tokens.weight, table)  # (1, size + 1, d)
        half = sin.shape[-1] // 2
        self.cos, self.sin = cos[0], torch.cat([-sin[0, :, :half], sin[0, :, half:]], dim=-1)

    def keep(self, kept: Tensor) -> None:
        """Only these of the rows go on; those that lie past their number move to places left empty."""
        self.place, rows = self.place[kept], len(kept)  # (b,)
        late = (self.place >= rows).nonzero()[:, 0]  # (m,) of the rows that go on
        taken = torch.zeros(len(self.position), dtype=torch.bool)
        taken[self.place] = True
        empty, moved = (~taken[:rows]).nonzero()[:, 0], self.place[late]  # (m,), (m,)
        for block in (*self.keys, *self.values):
            block[empty, :, : self.filled] = block[moved, :, : self.filled]
        self.mask[empty], self.position[empty] = self.mask[moved], self.position[moved]
        self.place[late] = empty
        self.keys = [block[:rows] for block in self.keys]
        self.values = [block[:rows] for block in self.values]
        self.mask, self.position = self.mask[:rows], self.position[:rows]

    def step(self, token: Tensor) -> Tensor:
        """token (b,), the last one of each row -> logits (b, V) of the next."""
        placed = torch.empty_like(token)
        placed[self.place] = token  # (b,) in the order of the places
        self.position += 1
        cos, sin = self.cos[self.position][:, None], self.sin[self.position][:, None]  # (b, 1, d)
        slot, self.filled = self.filled, self.filled + 1
        mask = self.mask[..., : self.filled]  # (b, 1, 1, filled)
        eps = self.body.norm.variance_epsilon
        x = self.body.embed_tokens(placed)  # (b, hidden)
        shape, wide = x.shape[-1:], cos.shape[-1]  # (hidden,), d
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            h = keys.shape[1]
            y = rms_norm(x, shape, layer.norm, eps)  # (b, hidden)
            heads = linear(y, layer.qkv, layer.qkv_bias).view(len(x), -1, wide)  # (b, H + 2h, d)
            turned = rotate(heads[:, :-h], cos, sin)  # (b, H + h, d)
            keys[:, :, slot], values[:, :, slot] = turned[:, -h:], heads[:, -h:]
            query = turned[:, :-h].unflatten(1, (h, -1))  # (b, h, H / h, d)
            seen = scaled_dot_product_attention(
                query, keys[:, :, : self.filled], values[:, :, : self.filled], mask
            )  # (b, h, H / h, d)
            x = x + linear(seen.flatten(1), layer.out, layer.out_bias)  # (b, hidden)
            y = rms_norm(x, shape, layer.mlp_norm, eps)  # (b, hidden)
            gate, up = linear(y, layer.gate_up, layer.gate_up_bias).chunk(2, dim=-1)
            x = x + linear(silu(gate) * up, layer.down, layer.down_bias)  # (b, hidden)
        x = rms_norm(x, shape, self.body.norm.weight, eps)[self.place]  # (b, hidden)
        return self.model.lm_head(x)  # (b, V)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions. x (b, heads, d); cos, sin (b, 1, d), the first half of sin negated."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)


def block_of(filled: Tensor, row: Tensor, size: int) -> Tensor:
    """A prompt's keys or values (p, h, L, d), copied for each of its rows, with room: (b, h, size, d)."""
    block = filled.new_empty(len(row), filled.shape[1], size, filled.shape[3])
    block[:, :, : filled.shape[2]] = filled[row]
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
