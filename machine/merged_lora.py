"""LoRA as one product: W' = W + scale * B A is made once, and a layer multiplies with W' alone.

LoRA as it is written, W x + scale * B (A x), is three products and two passes over the result. With the
weights in float32 the sum can be made first, and the gradients of A and B still follow from what the
layer saw (x) and from what came back (dy), without a gradient of W':

    dA = scale * (dy B)^T x        dB = scale * dy^T (x A^T)        dx = dy W'

Over 4-bit or 16-bit weights the sum would round the adapter away: there LoRA is run as it is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MergedLinear(torch.autograd.Function):
    """x W'^T + bias, with gradients for x and for LoRA's two matrices, from which W' was made."""

    @staticmethod
    def forward(ctx, x, weight, bias, a, b, scale):
        """x (..., in), weight W' (out, in), bias (out,) or None, a (r, in), b (out, r) -> (..., out)."""
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx, dy):
        x, weight, a, b = ctx.saved_tensors
        dx = dy @ weight if ctx.needs_input_grad[0] else None  # (..., in)
        x, dy = x.flatten(0, -2), ctx.scale * dy.flatten(0, -2)  # (N, in), (N, out)
        da = (dy @ b).T @ x  # (r, in)
        db = dy.T @ (x @ a.T)  # (out, r)
        return dx, None, None, da, db, None


def lora_layers(model: nn.Module) -> list[nn.Module]:
    """The linear layers of a PEFT model that carry LoRA's matrices."""
    from peft.tuners.lora import LoraLayer

    return [m for m in model.modules() if isinstance(m, LoraLayer)]


@torch.no_grad()
def merged_weight(layer: nn.Module, adapter: str) -> Tensor:
    """W' of a layer, (out, in)."""
    return layer.weight + layer.get_delta_weight(adapter)


@contextlib.contextmanager
def merged_for_learning(model: nn.Module, adapter: str) -> Iterator[None]:
    """Each layer with LoRA on it is one product with W' while this lasts; gradients go into A and B."""
    layers = lora_layers(model)
    try:
        for layer in layers:
            layer.forward = partial(forward, layer, merged_weight(layer, adapter), adapter)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)  # that of its class again


def forward(layer: nn.Module, weight: Tensor, adapter: str, x: Tensor) -> Tensor:
    """What a layer does instead of PEFT's three products. x (..., in) -> (..., out)."""
    a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
    return MergedLinear.apply(x, weight, layer.get_base_layer().bias, a, b, layer.scaling[adapter])
