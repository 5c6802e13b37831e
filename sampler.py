"""Sampling: a group of completions for each prompt, and the log-probs they were sampled with.

This is y ~ pi_old of the algorithm. Four economies make it quick, and none changes which tokens are
drawn:

* each prompt is run once (the prefill) and its key/value cache is shared by the G rows of its group;
* a row that has ended leaves the batch, and with it its part of the cache;
* on a GPU the decode step is a CUDA graph on fixed memory (`machine/fixed_decode.py`); for a small model
  on the CPU it is written out in few operations, and rows are one until they part
  (`machine/lean_decode.py`);
* the log-prob of a token is noted when it is drawn, so that log pi_old needs no forward pass.

Left out of training on purpose: top-k and top-p. They change the distribution that y comes from, and
then log pi_old would no longer be what the loss takes it for. An evaluation may draw from the nucleus
(top_p), as the paper's does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from machine.fixed_decode import FixedDecoder, prefill
from machine.lean_decode import LeanDecoder, fits
from machine.limit import sample_less, within_memory
from machine.slow import slow


class Completions(NamedTuple):
    """What was sampled. Row b = p * G + g is completion g of prompt p; T is the longest one's length."""

    tokens: Tensor  # (B, T) token ids, the end token included; padded with the pad id on the right
    mask: Tensor  # (B, T) 1 on every sampled token, the end token included, 0 on padding
    logp: Tensor  # (B, T) log pi_old(y_t | s_t) at the sampling temperature, nats; 0 on padding
    ended: Tensor  # (B,) True: drew an end token. False: cut off at max_new_tokens


def draw(
    logits: Tensor, noise: Tensor, temperature: float, top_p: float = 1.0
) -> tuple[Tensor, Tensor]:
    """One token a row by the inverse of the cumulative distribution.

    logits (b, V); noise (b,) uniform in [0, 1) -> token (b,), its log-prob (b,) in the distribution that
    it was drawn from. One number of noise decides a token, so what a row draws does not depend on which
    other rows are in the batch.

    >>> draw(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0.49, 0.51]), 1.0)
    (tensor([0, 1]), tensor([-0.6931, -0.6931]))
    """
    logp = torch.log_softmax(logits.float() / temperature, dim=-1)  # (b, V)
    if top_p < 1:
        logp = nucleus(logp, top_p)  # (b, V)
    mass = logp.exp() if logp.is_cuda else logp.double().exp()  # (b, V): a consumer card's is slow
    cumulative = mass.cumsum(dim=-1, dtype=torch.float64)  # (b, V), in 64 bits: V may be 150,000
    target = noise.double()[:, None] * cumulative[:, -1:]  # (b, 1), below the last entry
    token = torch.searchsorted(
        cumulative, target, right=True
    )  # (b, 1): first entry above the target
    token = token.clamp_max(logp.shape[-1] - 1)  # without one, of NaN: `step.learn` skips the step
    return token[:, 0], logp.gather(-1, token)[:, 0]


def nucleus(logp: Tensor, top_p: float) -> Tensor:
    """The fewest likeliest tokens that hold at least top_p of the mass, renormalised; -inf elsewhere.

    logp (b, V) -> (b, V). Source: Holtzman et al. 2020 (arXiv 1904.09751).

    >>> nucleus(torch.tensor([[0.2, 0.5, 0.3]]).log(), 0.7).exp()
    tensor([[0.0000, 0.6250, 0.3750]])
    """
    ordered, token = logp.sort(dim=-1, descending=True, stable=True)  # (b, V)
    likelier = ordered.exp().cumsum(dim=-1) - ordered.exp()  # (b, V) mass of the tokens before it
    kept = ordered.masked_fill(likelier >= top_p, float("-inf"))  # (b, V)
    return torch.empty_like(logp).scatter(-1, token, kept).log_softmax(dim=-1)


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
    rows_at_once: int = 0,
    fixed: bool = False,
    top_p: float = 1.0,
) -> Completions:
    """Sample `group_size` completions for each prompt.

    prompt_ids, prompt_mask (P, L), padded on the LEFT; model: a causal language model of
    transformers; generator: a CPU generator, the only source of randomness. rows_at_once: how many of
    the B rows are sampled at a time, 0 for all; fixed: decode on fixed memory. Neither changes a token:
    each row has its own noise. top_p: draw from the nucleus; for evaluation only.
    Raises ValueError if a prompt is padded on the right, the temperature is not positive, or top_p is
    not a share.
    """
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} must be above 0 (--temperature)")
    if not 0 < top_p <= 1:
        raise ValueError(f"--top-p {top_p} must be above 0 and at most 1")
    if not bool(prompt_mask[:, -1].all()):
        raise ValueError("prompts must be padded on the left: a prompt ends in padding")
    device, batch = prompt_ids.device, len(prompt_ids) * group_size  # batch: B
    noise = torch.rand(max_new_tokens, batch, generator=generator).to(device)  # (T, B)
    out = Completions(
        torch.full((batch, max_new_tokens), pad_id, device=device),  # (B, T)
        torch.zeros((batch, max_new_tokens), dtype=torch.long, device=device),  # (B, T)
        torch.zeros((batch, max_new_tokens), device=device),  # (B, T)
        torch.zeros(batch, dtype=torch.bool, device=device),  # (B,)
    )
    ends, decoder = torch.tensor(end_ids, device=device), None
    kind = FixedDecoder if fixed else LeanDecoder if fits(model) else GrowingDecoder
    for rows in torch.arange(batch, device=device).split(rows_at_once or batch):  # (b,)
        prompts, copies = torch.unique_consecutive(rows // group_size, return_counts=True)
        ids, real = without_common_padding(prompt_ids[prompts], prompt_mask[prompts])  # (p, l)
        if isinstance(decoder, FixedDecoder):
            decoder.begin(ids, real, copies)  # its memory and its graphs stay
        else:
            decoder = None  # its cache goes before the next one comes
            room = prompt_ids.shape[1] - ids.shape[1] + max_new_tokens  # the widest part's
            decoder = kind(model, ids, real, copies, room)
        sample_to_their_ends(decoder, rows, noise, temperature, top_p, ends, out)
    longest = int(out.mask.sum(dim=1).max())
    return Completions(*(x[:, :longest] for x in out[:3]), out.ended)


def without_common_padding(prompt_ids: Tensor, prompt_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Prompts (p, L), padded left, without the columns in which none of them has a token: (p, l)."""
    first = int(prompt_mask.any(dim=0).int().argmax())
    return prompt_ids[:, first:], prompt_mask[:, first:]


def sample_within_memory(
    model: Callable,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    *,
    generator: torch.Generator,
    rows_at_once: int,
    **options,
) -> tuple[Completions, int]:
    """`sample` in as many rows at a time as fit, and how many did."""
    state = generator.get_state()

    def attempt(rows: int) -> Completions:
        generator.set_state(state)  # the same noise in each attempt
        return sample(
            model, prompt_ids, prompt_mask, generator=generator, rows_at_once=rows, **options
        )

    return within_memory(attempt, rows_at_once, sample_less)


def sample_to_their_ends(
    decoder: GrowingDecoder | LeanDecoder | FixedDecoder,
    running: Tensor,
    noise: Tensor,
    temperature: float,
    top_p: float,
    ends: Tensor,
    out: Completions,
) -> None:
    """Sample the rows `running` (b,) to their ends, and write them into `out`. noise (T, B)."""
    logits = decoder.logits  # (b, V) after the prompts
    for t in slow(range(len(noise)), f"sampling {len(running)} completions"):
        token, token_logp = draw(logits, noise[t, running], temperature, top_p)  # (b,), (b,)
        out.tokens[running, t], out.logp[running, t] = token, token_logp
        out.mask[running, t] = 1
        going_on = ~torch.isin(token, ends)  # (b,)
        out.ended[running[~going_on]] = True
        if t + 1 == len(noise) or not bool(going_on.any()):
            return
        if not bool(going_on.all()):
            kept = going_on.nonzero()[:, 0]
            decoder.keep(kept)
            running, token = running[kept], token[kept]
        logits = decoder.step(token)  # (b, V)


class GrowingDecoder:
    """Runs the model one token at a time, on a cache that grows: the plain way."""

    def __init__(
        self,
        model: Callable,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        copies: Tensor,
        max_new_tokens: int,
    ):
        """The prefill. prompt_ids, prompt_mask (p, L); copies (p,): how many rows each prompt gets."""
        self.model = model
        position, out = prefill(model, prompt_ids, prompt_mask)  # (p, L)
        self.cache = out.past_key_values
        row = torch.arange(len(copies), device=copies.device).repeat_interleave(copies)  # (b,)
        self.cache.batch_select_indices(
            row
        )  # one prefill a prompt, a copy of its cache for each row
        self.logits = out.logits[row, -1]  # (b, V)
        self.attended = prompt_mask[row]  # (b, L + t), 1 where there is no padding
        self.position = position[row, -1]  # (b,)

    def keep(self, kept: Tensor) -> None:
        """Only these of the rows go on."""
        self.cache.batch_select_indices(kept)
        self.attended, self.position = self.attended[kept], self.position[kept]

    def step(self, token: Tensor) -> Tensor:
        """token (b,), the last one of each row -> logits (b, V) of the next."""
        self.attended = torch.cat(
            [self.attended, torch.ones_like(self.attended[:, :1])], dim=1
        )  # (b, L + t + 1)
        self.position = self.position + 1
        out = self.model(
            input_ids=token[:, None],
            attention_mask=self.attended,
            position_ids=self.position[:, None],
            past_key_values=self.cache,
            use_cache=True,
        )
        return out.logits[:, -1]  # (b, V)
