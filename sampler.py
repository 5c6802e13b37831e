"""Sampling: a group of completions for each prompt, and the log-probs they were sampled with.

This is y ~ pi_old of the algorithm. Three economies make it quick, and none changes a single token:

* each prompt is run once (the prefill) and its key/value cache is shared by the G rows of its group;
* a row that has ended leaves the batch, and with it its part of the cache;
* the log-prob of a token is noted when it is drawn, so that log pi_old needs no forward pass.

Left out on purpose: top-k and top-p. They change the distribution that y comes from, and then
log pi_old would no longer be what the loss takes it for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Completions(NamedTuple):
    """What was sampled. Row b = p * G + g is completion g of prompt p; T is the longest one's length."""

    tokens: Tensor  # (B, T) token ids, the end token included; padded with the pad id on the right
    mask: Tensor  # (B, T) 1 on every sampled token, the end token included, 0 on padding
    logp: Tensor  # (B, T) log pi_old(y_t | s_t) at the sampling temperature, nats; 0 on padding
    ended: Tensor  # (B,) True: drew an end token. False: cut off at max_new_tokens


def draw(logits: Tensor, noise: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """One token a row by the inverse of the cumulative distribution.

    logits (b, V); noise (b,) uniform in [0, 1) -> token (b,), its log-prob (b,). One number of noise
    decides a token, so what a row draws does not depend on which other rows are in the batch.

    >>> draw(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0.49, 0.51]), 1.0)
    (tensor([0, 1]), tensor([-0.6931, -0.6931]))
    """
    logp = torch.log_softmax(logits.float() / temperature, dim=-1)  # (b, V)
    cumulative = logp.double().exp().cumsum(dim=-1)  # (b, V), in 64 bits: V may be 150,000
    target = noise.double()[:, None] * cumulative[:, -1:]  # (b, 1), below the last entry
    token = torch.searchsorted(
        cumulative, target, right=True
    )  # (b, 1): first entry above the target
    return token[:, 0], logp.gather(-1, token)[:, 0]


@torch.no_grad()
def sample(
    model: Callable,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    *,
    group_size: int,
    max_new_tokens: int,
    temperature: float,
    end_ids: list[int],
    pad_id: int,
    generator: torch.Generator,
) -> Completions:
    """Sample `group_size` completions for each prompt.

    prompt_ids, prompt_mask (P, L), padded on the LEFT; model: a causal language model of
    transformers; generator: a CPU generator, the only source of randomness.
    Raises ValueError if a prompt is padded on the right or the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} must be above 0 (--temperature)")
    if not bool(prompt_mask[:, -1].all()):
        raise ValueError("prompts must be padded on the left: a prompt ends in padding")
    device, rows = prompt_ids.device, len(prompt_ids) * group_size  # rows: B
    noise = torch.rand(max_new_tokens, rows, generator=generator).to(device)  # (T, B)
    tokens = torch.full((rows, max_new_tokens), pad_id, device=device)  # (B, T)
    mask = torch.zeros_like(tokens)  # (B, T)
    logp = torch.zeros(tokens.shape, device=device)  # (B, T)
    ended = torch.zeros(rows, dtype=torch.bool, device=device)  # (B,)
    ends = torch.tensor(end_ids, device=device)

    position = (prompt_mask.cumsum(dim=1) - 1).clamp_min(0)  # (P, L): padding does not count
    out = model(
        input_ids=prompt_ids,
        attention_mask=prompt_mask,
        position_ids=position,
        use_cache=True,
        logits_to_keep=1,
    )
    cache = out.past_key_values
    cache.batch_repeat_interleave(group_size)  # one prefill a prompt, G rows of cache
    logits = out.logits[:, -1].repeat_interleave(group_size, dim=0)  # (B, V)
    seen = prompt_mask.repeat_interleave(group_size, dim=0)  # (b, L + t), b rows still running
    position = position[:, -1].repeat_interleave(group_size)  # (b,)
    running = torch.arange(rows, device=device)  # (b,) which of the B rows those are

    for t in range(max_new_tokens):
        token, token_logp = draw(logits, noise[t, running], temperature)  # (b,), (b,)
        tokens[running, t], logp[running, t], mask[running, t] = token, token_logp, 1
        going_on = ~torch.isin(token, ends)  # (b,)
        ended[running[~going_on]] = True
        if t + 1 == max_new_tokens or not bool(going_on.any()):
            break
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)  # (b, L + t + 1)
        position = position + 1
        if not bool(going_on.all()):
            kept = going_on.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            running, token, seen, position = (x[kept] for x in (running, token, seen, position))
        out = model(
            input_ids=token[:, None],
            attention_mask=seen,
            position_ids=position[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        logits = out.logits[:, -1]  # (b, V)
    longest = int(mask.sum(dim=1).max())
    return Completions(tokens[:, :longest], mask[:, :longest], logp[:, :longest], ended)
