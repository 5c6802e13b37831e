"""The rule bandit: a policy that only chooses a rule, small enough to follow its mean exactly.

A puzzle has a right rule, one of seven; the policy names a rule and is paid if it is that one. There is
no model and no arithmetic. Beside the rules there are NONSENSE tokens that are no rule; the reference
gives each next to nothing, and they are never right.

A puzzle of a kind comes in two ways. SEEN: the policy can tell which kind it is, and has a row of logits
for each kind. BLURRED (half of the puzzles): all kinds look alike and share one row, so being right on
one kind means being wrong on another. In the first rows a policy can find a rule that its reference
hardly knows; in the last one it can forget.

A run climbs the objective J of `objective.py` by plain gradient ascent on the logits, with the library's
advantages and `reweight`: in the mean over all groups that could be drawn (`expected_push`), or with
drawn groups (`sampled_push`). All ours; the paper has no such toy.

Letters: K kinds and rules; S = K + 1 rows; V = K rules and the nonsense; G completions a group; w (S, K)
the share of each kind in each row's puzzles, summing to 1. Everything is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from objective import group_advantages, reweight

RULES = ("common", "growing", "alternating", "cycle", "cubes", "double", "sum")
PRIOR = (0.660, 0.240, 0.050, 0.028, 0.014, 0.007, 0.001)  # how readily the reference tries each
SHARE = (0.30, 0.18, 0.14, 0.12, 0.10, 0.09, 0.07)  # of the puzzles that each is right on
BLURRED = 0.5  # of the puzzles look alike
NONSENSE = 50  # tokens that are no rule
ARMS = ("no-kl", "grpo", "reverse-kl", "rapo-light", "rapo")


@dataclass(frozen=True)
class Knobs:
    """One run. The KL is exact, so grpo (k3) and rapo-light, both the forward KL's gradient, are one."""

    arm: str = "rapo"
    alpha: float = 0.3  # weight of the KL
    phi_min: float = 0.5  # power of the reference after a wrong answer (rapo)
    plausible: float = 0.0  # flatten only tokens this likely beside the likeliest (rapo)
    nonsense: float = 1e-5  # what the reference gives each of the NONSENSE tokens
    steps: int = 300
    group: int = 16  # completions a group, G
    prompts: int = 8  # groups a step, where they are drawn
    rate: float = 1.0  # length of a step

    def __post_init__(self):
        if self.arm not in ARMS:
            raise ValueError(f"arm {self.arm!r} is none of the bandit's: {', '.join(ARMS)}")
        if not 0 < self.nonsense < 1 / NONSENSE:
            raise ValueError(f"nonsense {self.nonsense} has to lie between 0 and {1 / NONSENSE}")
        if not 0 <= self.phi_min <= 1 or not 0 <= self.plausible < 1:
            raise ValueError(
                f"phi_min {self.phi_min} has to lie in [0, 1], plausible {self.plausible} in [0, 1)"
            )
        if self.alpha < 0 or self.steps < 1:
            raise ValueError(
                f"alpha {self.alpha} has to be at least 0, steps {self.steps} at least 1"
            )


def reference(nonsense: float) -> Tensor:
    """log ref (V,): the same in every row, for the reference cannot tell the kinds either.

    >>> reference(1e-5).exp()[:3].round(decimals=3).tolist()
    [0.66, 0.24, 0.05]
    """
    rules = torch.tensor(PRIOR, dtype=torch.float64) * (1 - NONSENSE * nonsense)  # (K,)
    return torch.cat([rules, torch.full((NONSENSE,), nonsense, dtype=torch.float64)]).log()


def shares() -> Tensor:
    """w (S, K): row k of the first K holds kind k alone, the last row holds all."""
    share = torch.tensor(SHARE, dtype=torch.float64)
    return torch.cat([torch.diag((1 - BLURRED) * share), BLURRED * share[None]])


# ---------------------------------------------------------------- the two parts of a step


def strength(p: Tensor, group: int) -> Tensor:
    """How hard a group pulls at its right rule, in the mean: E[sqrt(m (1 - m))], m = c/G, c ~ Bin(G, p).

    p of any shape -> the same shape. It is the mean of r A over the group; as the advantages sum to 0,
    just as much is taken from the wrong rules together. Where p is small it is nearly p sqrt(G - 1).

    >>> [round(float(strength(torch.tensor(p).double(), group=16)), 4) for p in (0.0, 0.001, 0.5)]
    [0.0, 0.0039, 0.4835]
    """
    count = torch.arange(group + 1, dtype=torch.float64)  # (G + 1,) right ones
    rewards = (torch.arange(group) < count[:, None]).double()  # (G + 1, G)
    pull = (group_advantages(rewards) * rewards).mean(dim=1)  # (G + 1,)
    ways = torch.tensor([float(math.comb(group, c)) for c in range(group + 1)]).double()
    chance = ways * p[..., None] ** count * (1 - p[..., None]) ** (group - count)
    return (chance * pull).sum(dim=-1)


def expected_reward_push(pi: Tensor, group: int) -> Tensor:
    """The reward's push on the logits in the mean over puzzles and groups: (S, V) -> (S, V).

    For each puzzle: up goes its right rule by `strength`; down go all others, each by its share of them.
    So a rule that is wrong there is worn away in proportion to how often it is tried.
    """
    rules = len(RULES)
    p = pi[:, :rules]  # (S, K) each kind's right rule
    pull = shares() * strength(p, group)  # (S, K)
    worn = pull / (1 - p).clamp_min(1e-12)  # (S, K) of every wrong rule, for each unit of its pi
    push = -pi * worn.sum(dim=1, keepdim=True)  # (S, V)
    push[:, :rules] += pull + p * worn  # where it is right, it is not worn away
    return push


def kl_push(logp: Tensor, ref_logp: Tensor, wrong: Tensor, knobs: Knobs) -> Tensor:
    """-alpha times the KL's gradient on the logits of each row: (S, V) -> (S, V).

    wrong (S, 1): the share of wrong completions, whose reference is flattened (rapo).
    """
    pi = logp.exp()
    if knobs.arm == "no-kl":
        return torch.zeros_like(pi)
    if knobs.arm == "reverse-kl":
        gap = logp - ref_logp
        return -knobs.alpha * pi * (gap - (pi * gap).sum(dim=-1, keepdim=True))
    target = ref_logp.exp()
    if knobs.arm == "rapo":
        flat = reweight(ref_logp, torch.tensor(knobs.phi_min), knobs.plausible).exp()
        target = (1 - wrong) * target + wrong * flat
    return knobs.alpha * (target - pi)


def expected_push(logp: Tensor, ref_logp: Tensor, knobs: Knobs) -> Tensor:
    """The direction of a step in the mean: (S, V)."""
    pi, w = logp.exp(), shares()
    rows = w.sum(dim=1, keepdim=True)  # (S, 1) share of the puzzles
    wrong = 1 - (w * pi[:, : len(RULES)]).sum(dim=1, keepdim=True) / rows
    return expected_reward_push(pi, knobs.group) + rows * kl_push(logp, ref_logp, wrong, knobs)


def sampled_push(
    logp: Tensor, ref_logp: Tensor, knobs: Knobs, generator: torch.Generator
) -> Tensor:
    """The same from drawn puzzles with a drawn group each: (S, V). Its mean is `expected_push`."""
    w, pi, kinds = shares(), logp.exp(), len(RULES)
    puzzle = torch.multinomial(w.flatten(), knobs.prompts, replacement=True, generator=generator)
    row, kind = puzzle // kinds, puzzle % kinds  # (P,), (P,)
    drawn = torch.multinomial(pi[row], knobs.group, replacement=True, generator=generator)  # (P, G)
    reward = (drawn == kind[:, None]).double()  # (P, G)
    push = torch.zeros_like(pi[row])  # (P, V) the mean of A (e_y - pi), and the A sum to 0
    push.scatter_add_(1, drawn, group_advantages(reward) / knobs.group)
    wrong = 1 - reward.mean(dim=1, keepdim=True)  # (P, 1)
    push = push + kl_push(logp[row], ref_logp, wrong, knobs)
    return torch.zeros_like(pi).index_add_(0, row, push) / knobs.prompts


# ---------------------------------------------------------------- a run


class Path(NamedTuple):
    """What a run did: the policy at its beginning and after each step."""

    pi: Tensor  # (steps + 1, S, V)

    def right(self) -> Tensor:
        """p(right rule) of each kind in each row: (steps + 1, S, K)."""
        return self.pi[..., : len(RULES)]

    def pass_at_k(self, k: int) -> Tensor:
        """The mean over all puzzles of 1 - (1 - p)^k: (steps + 1,). k = 1 is the mean reward."""
        return ((1 - (1 - self.right()) ** k) * shares()).sum(dim=(1, 2))

    def nonsense(self) -> Tensor:
        """The probability of all nonsense together, in the mean over the puzzles: (steps + 1,)."""
        return self.pi[..., len(RULES) :].sum(dim=-1) @ shares().sum(dim=1)


def run(knobs: Knobs, seed: int | None = None) -> Path:
    """Gradient ascent from the reference. seed None: in the mean; a number: with drawn groups.

    >>> run(Knobs(steps=50)).pi.shape
    torch.Size([51, 8, 57])
    """
    ref_logp = reference(knobs.nonsense)  # (V,)
    logits = ref_logp.expand(len(RULES) + 1, -1).clone()  # (S, V)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    path = []
    for _ in range(knobs.steps + 1):
        logp = torch.log_softmax(logits, dim=1)
        path.append(logp.exp())
        if generator is None:
            push = expected_push(logp, ref_logp, knobs)
        else:
            push = sampled_push(logp, ref_logp, knobs, generator)
        logits = logits + knobs.rate * push
    return Path(torch.stack(path))
