"""Checks of notebook 04b: the expected pull of a group, the push on every logit, five claims."""

from __future__ import annotations

import math

import torch

from bandit import strength
from checks import Answer, close, exercise


def _at(p: float, group: int) -> float:
    return float(strength(torch.tensor(p, dtype=torch.float64), group))


@exercise("04b.1", "my_strength")
def expected_pull(answer: Answer) -> str:
    for p, group in ((0.01, 16), (0.3, 4), (0.0, 8)):
        got, truth = answer.number(p, group), _at(p, group)
        if close(got, truth, 1e-6):
            continue
        chance = [math.comb(group, c) * p**c * (1 - p) ** (group - c) for c in range(group + 1)]
        mean = [c / group for c in range(group + 1)]
        slips = {
            "that is the pull of the MEAN group, sqrt(p (1 - p)); the mean of the pulls is smaller, "
            "because most groups hold no right completion and do not pull": math.sqrt(p * (1 - p)),
            "the root is missing: m (1 - m) is the variance, and without dividing by the standard "
            "deviation (as in Dr. GRPO) it would be right": sum(
                w * m * (1 - m) for w, m in zip(chance, mean, strict=True)
            ),
            "the groups are not weighted: each count c has its own probability": sum(
                math.sqrt(m * (1 - m)) for m in mean
            ),
            "the number of ways, comb(G, c), is missing: many groups have the same count": sum(
                p**c * (1 - p) ** (group - c) * math.sqrt(m * (1 - m)) for c, m in enumerate(mean)
            ),
            "m is the share of right ones, c / G, not their number": sum(
                w * math.sqrt(abs(c * (1 - c))) for c, w in enumerate(chance)
            ),
            "every count weighs the same: the mean over c has the Binomial's probabilities": sum(
                math.sqrt(m * (1 - m)) for m in mean
            )
            / (group + 1),
        }
        for sentence, wrong in slips.items():
            answer.need(not close(got, wrong, 1e-6), sentence)
        answer.need(
            got != 0, f"0 for p = {p:g} and G = {group}: some groups do hold a right completion"
        )
        answer.need(
            False, f"for p = {p:g}, G = {group} it gives {got:.5f}, and {truth:.5f} is right"
        )
    return (
        f"right. At p = 0.01 and G = 16 it is {_at(0.01, 16):.4f}: most groups pull with nothing."
    )


@exercise("04b.2", "my_push")
def push(answer: Answer) -> str:
    pi = torch.tensor([0.6, 0.25, 0.1, 0.05], dtype=torch.float64)
    for right, s in ((2, 0.3), (0, 0.1)):
        got = answer.tensor(pi, right, s, shape=(4,))
        unit = torch.eye(4, dtype=torch.float64)[right]
        truth = -s * pi / (1 - pi[right])
        truth[right] = s
        if close(got, truth):
            continue
        equal = torch.full((4,), -s / 3, dtype=torch.float64)
        equal[right] = s
        weighed = -s * pi
        weighed[right] = s
        slips = {
            "all signs are turned round: the right rule is pulled UP": -truth,
            "the wrong rules share the push equally; each gets it as often as it is drawn": equal,
            "given that a completion is wrong, it names v with pi(v) / (1 - pi(right)): yours do not "
            "sum to 0": weighed,
            "that is s (e - pi), the gradient of log pi(right): the wrong completions add to it": (
                s * (unit - pi)
            ),
            "only the right rule is moved; the wrong completions have advantages too": s * unit,
            "the right rule is worn away as well in yours: where it is right it only gains": (
                s * unit - s * pi / (1 - pi[right])
            ),
        }
        for sentence, wrong in slips.items():
            answer.need(not close(got, wrong), sentence)
        answer.need(
            abs(float(got.sum())) < 1e-6,
            f"it sums to {float(got.sum()):.3f}: the advantages sum to 0, and so must the push",
        )
        shown = [round(x, 4) for x in got.tolist()]
        answer.need(
            False, f"it gives {shown}, and {[round(x, 4) for x in truth.tolist()]} is right"
        )
    return "right. The rarest rule is pushed least, and once it is rare it stays."


CLAIMS = {
    "A": (False, "in the mean the push on a wrong rule has its pi in front: a hundred times less"),
    "B": (True, "a drawn completion's A depends on its reward alone, not on how rare it was"),
    "C": (
        True,
        "for p well below 1/G the pull is in proportion to p: look at the slope of the curve",
    ),
    "D": (
        True,
        "the forward KL's push on a logit is alpha (ref - pi), and pi is nothing beside ref",
    ),
    "E": (False, "the reverse KL's push has pi in front: it hardly pulls at what is nearly gone"),
}


@exercise("04b.3", "my_claims")
def claims(answer: Answer) -> str:
    answer.need(isinstance(answer.value, dict), "my_claims has to be the dictionary of the cell")
    for letter, (truth, because) in CLAIMS.items():
        given = answer.value.get(letter)
        answer.need(isinstance(given, bool), f"{letter} is {given!r}, and True or False is needed")
        answer.need(given == truth, f"{letter} is {truth}: {because}")
    return "all five. D against E is why the forward KL keeps what the reverse one lets go."
