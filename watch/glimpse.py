"""What a trace asks of each token's rows of logits, before the update and after it: pure functions.

`recorder.py` hands them to `step.score_rows` in the place of `objective.token_terms`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from objective import entropy, target_row

PHI_GRID = tuple(i / 10 for i in range(11))  # where log Z is recorded, for the page's phi


class Glimpse(NamedTuple):
    """Log-probs at each state of the drawn token and of the likeliest ones.

    N tokens, C = 1 + 5 + 5 candidates: y_t, the five likeliest of pi_theta, the five of pi_ref (ref^
    keeps their order; a candidate may stand there twice).
    """

    candidates: Tensor  # (N, C) token ids
    logp: Tensor  # (N, C) log pi_theta
    ref_logp: Tensor  # (N, C) log pi_ref
    target_logp: Tensor  # (N, C) log ref^, which is pi_ref where the arm does not reweight
    ref_entropy: Tensor  # (N,) H(pi_ref), nats
    log_z: Tensor  # (N, 11) `log_powers`


class PolicyGlimpse(NamedTuple):
    """A `Glimpse` where there is no reference: C = 1 + 5."""

    candidates: Tensor  # (N, C)
    logp: Tensor  # (N, C)


def glimpse(
    logits: Tensor,
    ref_logits: Tensor | None,
    token: Tensor,
    phi: Tensor,
    arm: str,
    form: str,
    **flattened: float,
) -> Glimpse | PolicyGlimpse:
    """What a trace wants to see of each token's rows; arguments as for `objective.token_terms`."""
    row = torch.log_softmax(logits.float(), dim=-1)  # (N, V)
    if ref_logits is None or form == "none":
        at = candidates(token, row)  # (N, C)
        return PolicyGlimpse(at, row.gather(-1, at))
    ref_row = torch.log_softmax(ref_logits.float(), dim=-1)  # (N, V)
    at = candidates(token, row, ref_row)  # (N, C)
    target = target_row(ref_logits, phi, arm, **flattened)  # (N, V)
    logs = (x.gather(-1, at) for x in (row, ref_row, target))
    plausible = flattened.get("plausible", 0.0)
    return Glimpse(at, *logs, entropy(ref_row), log_powers(ref_row, plausible))


def log_powers(ref_logp: Tensor, plausible: float = 0.0) -> Tensor:
    """log sum_v pi_ref(v)^phi over the tokens that share their mass anew, at each phi of PHI_GRID.

    ref_logp (N, V) -> (N, 11). plausible: as for `objective.reweight`; 0: over all tokens. From it, and
    pi_ref at the candidates, a page can say ref^ for any phi without the rest of the vocabulary.

    >>> log_powers(torch.tensor([[0.9, 0.1]]).log())[0, [0, 10]].exp()
    tensor([2., 1.])
    """
    outside = torch.zeros_like(ref_logp, dtype=torch.bool)  # (N, V)
    if plausible:
        outside = ref_logp < ref_logp.amax(dim=-1, keepdim=True) + math.log(plausible)
    powers = ((phi * ref_logp).masked_fill(outside, -math.inf) for phi in PHI_GRID)
    return torch.stack([power.logsumexp(dim=-1) for power in powers], dim=-1)  # (N, 11)


class LogProbs(NamedTuple):
    """log pi_theta of the tokens that were asked for, and nothing else."""

    logp: Tensor  # (N, C)


def log_probs_at(wanted: Tensor) -> Callable[..., LogProbs]:
    """A `terms` for `score_rows`: log pi_theta of tokens named before, the drawn one first.

    wanted (N, C): `policy.score` goes through the sampled tokens row by row, some at a time, and this
    goes along. Raises ValueError where the drawn tokens are not the ones that come next.
    """
    done = 0

    def terms(logits: Tensor, _ref_logits, token: Tensor, *_rest, **_flattened) -> LogProbs:
        nonlocal done
        at, done = wanted[done : done + len(token)], done + len(token)  # (n, C)
        if not torch.equal(at[:, 0], token):
            raise ValueError("the tokens are scored in another order than they were recorded in")
        return LogProbs(torch.log_softmax(logits.float(), dim=-1).gather(-1, at))

    return terms


def candidates(token: Tensor, *rows: Tensor, count: int = 5) -> Tensor:
    """The drawn token, then the `count` likeliest of each row: token (N,), rows (N, V) -> (N, C).

    >>> candidates(torch.tensor([2]), torch.tensor([[0.1, 0.6, 0.3]]).log(), count=2)
    tensor([[2, 1, 2]])
    """
    likeliest = [row.topk(min(count, row.shape[-1])).indices for row in rows]
    return torch.cat([token[:, None], *likeliest], dim=1)  # (N, C)
