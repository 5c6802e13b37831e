"""LoRA over 16-bit and 4-bit weights, in the dtype of the activations.

The adapter's matrices are kept in float32, as a step of 1e-4 would be rounded away in 16 bits. PEFT then
multiplies in float32 too: each of a layer's seven linear maps makes, and keeps for its gradient, a copy
of x twice its size, and its result is made once more. Here the two small matrices are rounded instead,

    y = W x + scale * B (A x)        with A, B in the dtype of x

and autograd brings their gradients back to float32. With activations in float32 nothing is rounded. The
plain twin, PEFT's own forward pass, is in tests/machine/test_thin_lora.py. (Where W itself is float32,
LoRA is one product: `machine/merged_lora.py`.)
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from machine.merged_lora import can_merge, lora_layers


def forward(layer: nn.Module, x: Tensor) -> Tensor:
    """What a LoRA layer does, with the adapters that are active now. x (..., in) -> (..., out)."""
    y = layer.base_layer(x)  # (..., out)
    if layer.disable_adapters:
        return y
    for name in layer.active_adapters:
        a = layer.lora_A[name].weight.to(x.dtype)  # (r, in)
        b = layer.lora_B[name].weight.to(x.dtype)  # (out, r)
        rows, scale = linear(x, a).flatten(0, -2), layer.scaling[name]  # (N, r)
        y = torch.addmm(y.flatten(0, -2), rows, b.T, alpha=scale).view_as(y)
    return y


def teach(model: nn.Module) -> None:
    """Let the LoRA layers of a PEFT model run so from now on, unless theirs can be one product."""
    layers = lora_layers(model)
    if not can_merge(layers):
        for layer in layers:
            layer.forward = partial(forward, layer)
