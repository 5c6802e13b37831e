"""How RL forgets and finds: the exact probability of the right rule, without sampling [ours].

An attempt at a bundled puzzle begins with the name of a rule, and that is the fork at which it is won or
lost: the arithmetic that follows is nearly sure. So what a policy can find is two numbers a puzzle,

    chosen       p(right rule | puzzle), of all rules that lead to the right answer
    carried out  p(right answer | right rule, puzzle)

read from its probabilities of the right attempts (teacher-forced), however small: 1e-6 of them is 1e-6,
where 256 samples say 0. Their product is p(right), and pass@k follows: 1 - (1 - p)^k.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from policy import Policy, base_weights, sampling_weights
from problems import TIER_ORDER, TIERS, Problem, puzzles, render_prompt, right_completions
from settings import Settings

EVERY = 5  # steps
OF_EACH_KIND = 6  # puzzles
ROWS = 16  # attempts that run through the model at a time, of like length: little padding


class AtForks(NamedTuple):
    """Of each of N puzzles, exactly."""

    chosen: np.ndarray  # (N,) p(right rule | puzzle)
    carried_out: np.ndarray  # (N,) p(right answer | right rule, puzzle)

    def pass_at_k(self, k: int) -> np.ndarray:
        """1 - (1 - p)^k of each puzzle (N,), p = chosen * carried_out.

        >>> AtForks(np.array([0.5, 0.0]), np.array([1.0, 1.0])).pass_at_k(2)
        array([0.75, 0.  ])
        """
        return -np.expm1(k * np.log1p(-np.minimum(self.chosen * self.carried_out, 1 - 1e-12)))


@torch.no_grad()
def at_forks(
    policy: Policy, problems: Sequence[Problem], settings: Settings, adapter_on: bool = True
) -> AtForks:
    """Both probabilities for each of N bundled puzzles, at the sampling temperature.

    A right answer may be written in two ways ("x+4", "4+x"): carried out is the sum over them.
    """
    encode = policy.tokenizer.encode
    found = []  # one an attempt: its tokens, where they begin and fork; its puzzle, is it the first way
    for i, problem in enumerate(problems):
        asked = encode(render_prompt(settings.prompt_template, problem))
        for rule, texts in right_completions(problem).items():
            fork = len(asked) + len(encode(rule))
            for text in texts:
                row = asked + encode(text) + policy.end_ids[:1], len(asked), fork
                found.append((row, (i, text == texts[0])))
    found.sort(key=lambda attempt: len(attempt[0][0]))
    rows, where = [row for row, _ in found], [place for _, place in found]
    weights = sampling_weights if adapter_on else base_weights
    with weights(policy) as model:
        logps = [
            pair
            for first in range(0, len(rows), ROWS)
            for pair in logp_of(model, rows[first : first + ROWS], settings.temperature, policy)
        ]
    chosen, right = np.zeros(len(problems)), np.zeros(len(problems))
    for (i, first_way), (rule, rest) in zip(where, np.exp(logps), strict=True):
        chosen[i] += rule if first_way else 0  # a rule counts once, its answers each
        right[i] += rule * rest
    return AtForks(chosen, right / chosen)


def logp_of(
    model: nn.Module, rows: list[tuple[list[int], int, int]], temperature: float, policy: Policy
) -> list[tuple[float, float]]:
    """log p of the tokens from `begin` to `fork`, and from there to the end, of each row."""
    longest = max(len(tokens) for tokens, _, _ in rows)
    ids = torch.full((len(rows), longest), policy.pad_id)  # (b, L), padded on the right: causal
    for row, (tokens, _, _) in zip(ids, rows, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    ids = ids.to(policy.device)
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float() / temperature
    token_logp = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].double()  # (b, L - 1)
    return [
        (sum_of(row, begin, fork), sum_of(row, fork, len(tokens)))
        for row, (tokens, begin, fork) in zip(token_logp, rows, strict=True)
    ]


def sum_of(token_logp: Tensor, first: int, end: int) -> float:
    """log p of the tokens at places first ... end - 1 of a row; token_logp (L - 1,) lacks place 0."""
    return float(token_logp[first - 1 : end - 1].sum())


# ---------------------------------------------------------------- in a run


@functools.cache
def watched_puzzles() -> list[Problem]:
    """A fixed set of validation puzzles: OF_EACH_KIND of each kind."""
    found: dict[str, list[Problem]] = {kind: [] for kind in TIERS}
    for problem in puzzles("validation", 20 * len(TIERS), seed=7):
        found[problem.kind].append(problem)
    return [problem for some in found.values() for problem in some[:OF_EACH_KIND]]


def by_tier(problems: Sequence[Problem], values: np.ndarray) -> dict[str, float]:
    """The mean of (N,) values over the puzzles of each tier, in their order."""
    tiers = np.array([TIERS[problem.kind] for problem in problems])
    there = [tier for tier in TIER_ORDER if tier in tiers]
    return {tier: float(values[tiers == tier].mean()) for tier in there}


def fork_metrics(policy: Policy, settings: Settings, step: int) -> dict:
    """Every EVERY steps of a run on the bundled puzzles, what metrics.jsonl keeps; else nothing."""
    if settings.data != "puzzles" or step % EVERY:
        return {}
    problems = watched_puzzles()
    found = at_forks(policy, problems, settings)
    return {
        "rule_chosen": by_tier(problems, found.chosen),
        "rule_carried_out": by_tier(problems, found.carried_out),
    }


# ---------------------------------------------------------------- after a run

NOTICED = 0.05  # a tier's pass@k has changed by this much


def tiers_before_and_after(
    policy: Policy, problems: Sequence[Problem], settings: Settings, k: int
) -> dict[str, tuple[float, float]]:
    """tier -> pass@k of the base and of the policy, from exact probabilities."""
    before, after = (
        by_tier(problems, at_forks(policy, problems, settings, on).pass_at_k(k))
        for on in (False, True)
    )
    return {tier: (before[tier], after[tier]) for tier in before}


def in_words(tiers: dict[str, tuple[float, float]], k: int) -> str:
    """One sentence: which tiers of puzzles were kept, lost and found.

    >>> import textwrap
    >>> tiers = {"common": (1.0, 1.0), "rare": (1.0, 0.8), "hidden": (0.0, 0.2)}
    >>> print(textwrap.fill(in_words(tiers, 64), 98))
    In 64 attempts (exact): found hidden (0.00 -> 0.20); kept common (1.00 -> 1.00); lost some of rare
    (1.00 -> 0.80).
    """
    said = {"found": [], "kept": [], "lost some of": [], "never found": []}
    for tier, (before, after) in tiers.items():
        verb = "found" if after >= before + NOTICED else "kept"
        if after <= before - NOTICED:
            verb = "lost some of"
        elif max(before, after) < NOTICED:
            verb = "never found"
        said[verb].append(f"{tier} ({before:.2f} -> {after:.2f})")
    parts = [f"{verb} {', '.join(some)}" for verb, some in said.items() if some]
    return f"In {k} attempts (exact): {'; '.join(parts)}."
