"""What the flattened reference asks for: how far it is from the reference, and how much of it is junk.

A flattened reference over 68 tokens is harmless. Over the 50,000 to 150,000 of a real vocabulary it can
put most of its mass where no text ever goes, and an exact KL asks the policy for just that. So a step
measures its target on one group, and a run says it in words before it learns.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from machine.limit import Pieces, learn_less, within_memory
from objective import ARMS, target_row
from policy import Policy, completion_states, reference_weights
from settings import Settings
from step import Rollout, rows_of

NUCLEUS = 0.99  # the reference's likeliest tokens that hold this share of its mass ...
LIKELIEST = 512  # ... looked for among so many
WARN_KL = 0.05  # nats a token, where the KL is exact: a sampled one reads drawn tokens alone
WARN_TAIL = 1.5  # times the reference's own tail, or times what the nucleus leaves out
REFUSE_KL = 2.0  # nats a token, where the KL is exact
REMEDIES = (  # and where each is still to be had; one of the two of phi always is
    ("--plausible 0.01 flattens only among plausible tokens", lambda s: s.plausible < 0.01),
    ("--fork-entropy 1 flattens only at forks", lambda s: s.fork_entropy == 0),
    ("a larger --phi-min flattens less", lambda s: s.phi == "linear"),
    ("--phi linear --phi-min 0.7 flattens less", lambda s: s.phi != "linear"),
    ("--kl-form sampled looks at drawn tokens alone", lambda s: s.kl_form == "exact"),
)


class Asked(NamedTuple):
    """Means over the tokens of a group, as if all its answers were wrong; logged with each step."""

    target_kl: float  # KL(ref^ || ref), nats a token
    target_tail: float  # mass of ref^ outside the reference's nucleus
    ref_tail: float  # the reference's own mass there


class TooFlat(ValueError):
    """The target is so flat that the exact KL would teach the policy noise."""


@torch.no_grad()
def asked_of(policy: Policy, rolled: Rollout, settings: Settings) -> Asked | None:
    """What the target asks for where an answer is wrong (phi(0)), at the states of a step's first group.

    None where nothing is flattened.
    """
    if not ARMS[settings.arm].reweighted or settings.kl_form == "none":
        return None
    rows = torch.arange(settings.group_size, device=policy.device)  # (G,) of the first prompt
    sums, _ = within_memory(
        lambda pieces: sums_over(policy, rolled, rows, settings, pieces), rolled.pieces, learn_less
    )
    return Asked(*(sums / rolled.completions.mask[rows].sum()).tolist())


def sums_over(
    policy: Policy, rolled: Rollout, rows: Tensor, settings: Settings, pieces: Pieces
) -> Tensor:
    """The three figures summed over the tokens of some completions, in pieces as the step itself.

    rows (G,) -> (3,).
    """
    head = policy.model.get_output_embeddings()
    sums = torch.zeros(3, device=policy.device)
    for some in rows.split(pieces.micro_batch):  # (b,)
        tokens, mask, _ = rows_of(rolled, some)  # (b, T)
        prompt = some // settings.group_size  # (b,)
        batch = (rolled.prompt_ids[prompt], rolled.prompt_mask[prompt], tokens, mask)
        with reference_weights(policy) as reference:
            states = completion_states(reference, *batch)  # (N, hidden)
        for state in states.split(pieces.chunk_tokens):
            logits = head(state) / settings.temperature  # (n, V)
            phi = torch.full((len(state),), settings.phi_min, device=policy.device)  # (n,)
            flat = target_row(
                logits, phi, settings.arm, settings.plausible, settings.fork_entropy
            )  # (n, V)
            sums += torch.stack([x.sum() for x in distance(logits.float().log_softmax(-1), flat)])
    return sums


def distance(ref_logp: Tensor, target_logp: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """KL(ref^ || ref) of each row, and the mass of ref^ and of ref outside the nucleus of ref.

    ref_logp, target_logp (n, V) -> three of (n,).

    >>> ref = torch.tensor([[0.985, 0.010, 0.005]])
    >>> [round(float(x), 3) for x in distance(ref.log(), torch.full((1, 3), 1 / 3).log())]
    [2.208, 0.333, 0.005]
    """
    kl = (target_logp.exp() * (target_logp - ref_logp)).sum(dim=-1)  # (n,)
    top, token = ref_logp.topk(min(LIKELIEST, ref_logp.shape[-1]), dim=-1)  # (n, C)
    likelier = top.exp().cumsum(dim=-1) - top.exp()  # (n, C)
    inside = likelier < NUCLEUS  # (n, C)
    in_target = (target_logp.gather(-1, token).exp() * inside).sum(dim=-1)  # (n,)
    in_ref = (top.exp() * inside).sum(dim=-1)  # (n,)
    return kl, (1 - in_target).clamp_min(0), (1 - in_ref).clamp_min(0)


def in_words(asked: Asked, settings: Settings) -> str:
    """The sentence before the first step. Raises TooFlat, naming the flags, past REFUSE_KL."""
    said = (
        f"target: after a wrong answer the flattened reference is {asked.target_kl:.3f} nats a token "
        f"from the reference, and has {asked.target_tail:.1%} of its mass outside the reference's "
        f"likeliest 99% (the reference itself {asked.ref_tail:.1%})"
    )
    calmer = ", ".join(way for way, is_open in REMEDIES if is_open(settings))
    exact = settings.kl_form == "exact"
    if exact and asked.target_kl > REFUSE_KL:
        raise TooFlat(
            f"{said}; above {REFUSE_KL:g} nats the exact KL would teach the policy noise: {calmer}"
        )
    own = max(asked.ref_tail, 1 - NUCLEUS)
    if (exact and asked.target_kl > WARN_KL) or asked.target_tail > WARN_TAIL * own:
        return f"{said}: that is a lot; {calmer}"
    return said
