"""LoRA as one product: W' = W + scale * B A is made once, and a layer multiplies with W' alone.

LoRA as it is written, W x + scale * B (A x), is three products and two passes over the result. With the
weights in float32 the sum can be made first, and the gradients of A and B still follow from what the
layer saw (x) and from what came back (dy), without a gradient of W':

    dA = scale * (dy B)^T x        dB = scale * dy^T (x A^T)        dx = dy W'

Over 4-bit or 16-bit weights the sum would round the adapter away: there `machine/thin_lora.py` stands in
for it. The plain twin, PEFT's three products, is in tests/machine/test_merged_lora.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class MergedLinear(torch.autograd.Function):
    """x W'^T + bias, with gradients for x and for LoRA's two matrices, from which W' was made."""

    @staticmethod
    def forward(ctx, x, weight, bias, a, b, scale):
        """x (..., in), weight W' (out, in), bias (out,) or None, a (r, in), b (out, r) -> (..., out)."""
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return linear(x, weight, bias)

    @staticmethod
    def backward(ctx, dy):
        x, weight, a, b = ctx.saved_tensors
        dx = dy @ weight if ctx.needs_input_grad[0] else None  # (..., in)
        x, dy = x.flatten(0, -2), dy.flatten(0, -2)  # (N, in), (N, out)
        da = (dy @ (ctx.scale * b)).T @ x  # (r, in)
        db = dy.T @ (x @ (ctx.scale * a).T)  # (out, r)
        return dx, None, None, da, db, None


def lora_layers(model: nn.Module) -> list[nn.Module]:
    """The linear layers of a PEFT model that carry LoRA's matrices."""
    from peft.tuners.lora import LoraLayer

    return [m for m in model.modules() if isinstance(m, LoraLayer)]


def can_merge(layers: list[nn.Module]) -> bool:
    """Are these plain float32 layers, where the sum is exact but for rounding?"""
    plain = all(type(m.get_base_layer()) is nn.Linear for m in layers)
    return plain and all(m.weight.dtype == torch.float32 for m in layers)


def merged_weight(layer: nn.Module, adapter: str) -> Tensor:
    """W' of a layer, (out, in), without gradients."""
    a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight  # (r, in), (out, r)
    with torch.no_grad():
        return torch.addmm(layer.weight, b, a, alpha=layer.scaling[adapter])


def product_of(layer: nn.Module) -> tuple[Tensor, Tensor | None] | None:
    """The weight (out, in) and bias that a layer multiplies with now, if that is all that it does."""
    if type(layer) is nn.Linear:
        return layer.weight, layer.bias
    now = vars(layer).get("forward")  # put there by `one_product`
    if not isinstance(now, partial) or now.func is not linear:
        return None
    return now.keywords["weight"], now.keywords["bias"]


@contextlib.contextmanager
def one_product(layers: list[nn.Module], adapter: str | None) -> Iterator[None]:
    """While this lasts, each layer is one product: with W' of an adapter, or with W for None.

    Its weights stay as they are: only what the layer does is replaced, and put back, come what may.
    Where gradients are recorded they go into the adapter's A and B.
    """
    try:
        for layer in layers:
            weight = layer.weight if adapter is None else merged_weight(layer, adapter)
            if adapter is None or not torch.is_grad_enabled():
                layer.forward = partial(linear, weight=weight, bias=layer.bias)
                continue
            matrices = (layer.lora_A[adapter].weight, layer.lora_B[adapter].weight)
            rest = (weight, layer.bias, *matrices, layer.scaling[adapter])
            layer.forward = partial(learning, rest=rest)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)  # that of its class again


def learning(x: Tensor, rest: tuple) -> Tensor:
    """What a layer does instead of PEFT's three products. x (..., in) -> (..., out)."""
    return MergedLinear.apply(x, *rest)
