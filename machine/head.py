"""The head of a 16-bit model: its products are summed in float32, and there they stay.

A logit of 20 in bfloat16 is off by up to 0.06. The sampler's rounding is not the scorer's, as their
batches have other sizes, and the difference of two such roundings would pass for a change of the policy.
So the head reads 16-bit states and weights and gives float32 logits, to the sampler and to the scorer.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn


class WideProduct(torch.autograd.Function):
    """state W^T in float32 from 16-bit numbers, with a gradient for the state; W is frozen."""

    @staticmethod
    def forward(ctx, state: Tensor, weight: Tensor) -> Tensor:
        """state (..., hidden), weight (V, hidden) -> (..., V) float32."""
        ctx.save_for_backward(weight)
        ctx.dtype = state.dtype
        return product(state, weight)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (weight,) = ctx.saved_tensors
        return (gradient.to(ctx.dtype) @ weight).to(ctx.dtype), None


def product(state: Tensor, weight: Tensor) -> Tensor:
    """On a GPU one product with a float32 result; elsewhere the numbers are widened first."""
    if state.is_cuda:
        flat = torch.mm(state.flatten(0, -2), weight.T, out_dtype=torch.float32)
        return flat.view(*state.shape[:-1], len(weight))
    return nn.functional.linear(state.float(), weight.float())


def widen(head: nn.Linear) -> None:
    """From here on the head gives float32 logits. A float32 head does so anyway."""
    if head.weight.dtype != torch.float32:
        head.forward = partial(forward, head)


def forward(head: nn.Linear, state: Tensor) -> Tensor:
    logits = WideProduct.apply(state, head.weight)
    return logits if head.bias is None else logits + head.bias.float()
