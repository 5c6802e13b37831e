"""The theory of RAPO on a distribution small enough to solve: one prompt, V whole answers, no network.

Section 3 of the paper (arXiv 2510.03865) asks which policy is the best one, under three objectives:

    Lemma 3.1         E_pi[r] - alpha KL(pi || ref)                    closed form, 0 where ref is 0
    Lemma 3.2         E_pi[r] - alpha KL(pi || ref) + beta H(pi)       closed form, 0 where ref is 0
    Proposition 3.3   E_pi[r] - alpha KL(ref || pi) + beta H(pi)       one root an answer [Eq. 7]

The third stands here twice: solved by root-finding, and climbed by gradient ascent from the uniform
policy, which knows nothing of the root. That is Figure 2. Ours: the case beta = 0, which the text of the
paper leaves out, the bracket of lambda, and what it costs to move mass to where ref has none.

Letters: V answers; ref, pi (V,) probabilities that sum to 1; r (V,) rewards. KL and entropy are in
nats, so alpha and beta are rewards a nat. This ref is a plain distribution: the paper's ref^ in its place
changes no line.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

Row = NDArray[np.float64]
EPS = float(np.finfo(float).eps)


class Optimum(NamedTuple):
    """The best policy, and the multiplier of sum pi = 1: what a little more mass would be worth."""

    pi: Row  # (V,)
    lam: float  # reward


def checked(reward: ArrayLike, ref: ArrayLike, alpha: float, beta: float) -> tuple[Row, Row]:
    """reward and ref as rows of float64. Raises ValueError for what is no reward, reference or weight."""
    reward, ref = np.asarray(reward, float), np.asarray(ref, float)
    if reward.ndim != 1 or reward.shape != ref.shape:
        raise ValueError(f"reward {reward.shape} and ref {ref.shape} have to be rows of one length")
    if not np.isfinite(reward).all():
        raise ValueError(f"a reward has to be finite, and the smallest is {reward.min()}")
    if not (ref >= 0).all() or abs(ref.sum() - 1) > 1e-9:
        raise ValueError(f"ref has to be at least 0 and to sum to 1; it sums to {ref.sum():g}")
    if not 0 < alpha < math.inf or not 0 <= beta < math.inf:
        raise ValueError(f"alpha {alpha} has to be above 0, beta {beta} at least 0, both finite")
    return reward, ref


def log(p: Row) -> Row:
    """The natural logarithm, with log 0 = -inf and no warning. Any shape."""
    with np.errstate(divide="ignore"):
        return np.log(p)


def softmax(z: Row) -> Row:
    """exp(z) / sum exp(z): (V,) -> (V,); -inf gives exactly 0."""
    weight = np.exp(z - z.max())
    return weight / weight.sum()


# ---------------------------------------------------------------- the reverse KL


def lemma_3_1(reward: ArrayLike, ref: ArrayLike, alpha: float) -> Row:
    """The policy that is best for E[r] - alpha KL(pi || ref): ref exp(r / alpha) / Z [Lemma 3.1].

    reward, ref (V,) -> (V,). 0 wherever ref is 0, whatever the reward there.

    >>> lemma_3_1([0.0, 1.0, 9.0], [0.5, 0.5, 0.0], alpha=1.0).round(3).tolist()
    [0.269, 0.731, 0.0]
    """
    return lemma_3_2(reward, ref, alpha, 0.0)


def lemma_3_2(reward: ArrayLike, ref: ArrayLike, alpha: float, beta: float) -> Row:
    """The best policy for E[r] - alpha KL(pi || ref) + beta H(pi) [Lemma 3.2].

    It is ref^(alpha/(alpha+beta)) exp(r/(alpha+beta)) / Z: reward, ref (V,) -> (V,). The entropy flattens
    the reference and does not widen it: 0 stays 0.

    >>> lemma_3_2([0.0, 0.0, 9.0], [0.8, 0.2, 0.0], alpha=0.5, beta=0.5).round(3).tolist()
    [0.667, 0.333, 0.0]
    """
    reward, ref = checked(reward, ref, alpha, beta)
    return softmax((alpha * log(ref) + reward) / (alpha + beta))


# ---------------------------------------------------------------- the forward KL


def forward_objective(
    pi: Row, reward: ArrayLike, ref: ArrayLike, alpha: float, beta: float
) -> float:
    """E_pi[r] - alpha KL(ref || pi) + beta H(pi), the objective of one prompt [Eq. 7]; a reward.

    pi, reward, ref (V,). With 0 log 0 = 0, so where ref is 0 the KL does not look; -inf where ref has
    mass and pi has none.

    >>> pi = np.array([0.5, 0.25, 0.25])
    >>> round(forward_objective(pi, [0, 0, 1], [0.5, 0.5, 0], alpha=0.5, beta=0), 4)
    0.0767
    """
    reward, ref = checked(reward, ref, alpha, beta)
    at, drawn = ref > 0, pi > 0
    kl = ref[at] @ (log(ref[at]) - log(pi[at]))
    return float(reward @ pi - alpha * kl - beta * (pi[drawn] @ log(pi[drawn])))


def slope(log_pi: Row, reward: Row, ref: Row, alpha: float, beta: float) -> Row:
    """What a bit more mass is worth: d Eq. 7 / d pi = r + alpha ref/pi - beta log pi - beta [Prop. 3.3].

    All (V,), a reward each. At the best policy it is the same number, lambda, on every answer that has
    mass: that is the equation of Proposition 3.3.

    >>> slope(np.log([0.5, 0.5]), np.array([0.0, 1.0]), np.array([1.0, 0.0]), 0.5, 0.0).tolist()
    [1.0, 1.0]
    """
    pull = np.zeros_like(ref)
    at = ref > 0
    pull[at] = alpha * np.exp(log(ref[at]) - log_pi[at])  # where ref is 0 there is no pull
    value = reward + pull
    return value - beta * (log_pi + 1) if beta else value


def log_outside(reward: ArrayLike, lam: float, beta: float) -> Row:
    """log pi where ref is 0: -1 - lambda/beta + r/beta, finite for any reward [Prop. 3.3; beta > 0].

    >>> np.exp(log_outside(1.0, lam=1.5, beta=0.5)).round(4).item()
    0.1353
    """
    return (np.asarray(reward, float) - lam) / beta - 1


def log_inside(reward: float, pull: float, lam: float, beta: float) -> float:
    """log pi of one answer: the root of r + pull/pi - beta log pi - beta - lambda = 0 [Prop. 3.3].

    pull = alpha ref > 0. The left side falls from +inf to -inf as pi grows, so there is one root, for
    any lambda. It is sought in log pi, because a probability may be 1e-200.

    >>> round(log_inside(reward=0.0, pull=1.0, lam=0.5, beta=0.5), 12)
    0.0
    """
    c = reward - lam - beta
    # two points with the root between them [ours]
    high = (max(c, 0.0) + pull) / beta
    low = max(c / beta, math.log(pull) - math.log(beta * high - c))
    low, high = (x + sign * 1e-9 * (1 + abs(x)) for x, sign in ((low, -1), (high, 1)))
    log_pull = math.log(pull)
    return brentq(
        lambda x: c - beta * x + math.exp(log_pull - x), low, high, xtol=1e-14, rtol=4 * EPS
    )


def proposition_3_3(reward: ArrayLike, ref: ArrayLike, alpha: float, beta: float) -> Optimum:
    """The policy that is best for E[r] - alpha KL(ref || pi) + beta H(pi) [Prop. 3.3], by root-finding.

    reward, ref (V,), ref with zeros wherever it likes. Inside, one root an answer for a given lambda;
    outside, the lambda for which they sum to 1. For beta = 0 see `without_entropy`. Raises ValueError.

    The equations, each multiplied by its pi and summed, say lambda = E[r] + alpha + beta H - beta, and
    E[r] and H have bounds: that is the bracket of lambda [ours].

    >>> best = proposition_3_3([0.0, 0.0, 1.0], [0.5, 0.5, 0.0], alpha=1.0, beta=0.5)
    >>> best.pi.round(3).tolist()
    [0.39, 0.39, 0.221]
    """
    reward, ref = checked(reward, ref, alpha, beta)
    if beta == 0:
        return without_entropy(reward, ref, alpha)

    def log_policy(lam: float) -> Row:
        log_pi = log_outside(reward, lam, beta)  # (V,)
        for i in np.flatnonzero(ref):
            log_pi[i] = log_inside(float(reward[i]), alpha * float(ref[i]), lam, beta)
        return log_pi

    low = float(reward.min()) + alpha - beta
    high = float(reward.max()) + alpha + beta * (math.log(len(ref)) - 1)
    room = 1e-9 * (1 + abs(low) + abs(high))  # for rounding, where both ends meet
    lam = brentq(
        lambda lam: np.logaddexp.reduce(log_policy(lam)),
        low - room,
        high + room,
        xtol=1e-15,
        rtol=4 * EPS,
        maxiter=500,
    )
    return Optimum(np.exp(log_policy(lam)), lam)


def without_entropy(reward: ArrayLike, ref: ArrayLike, alpha: float) -> Optimum:
    """The best policy of Proposition 3.3 for beta = 0, which the paper leaves out [ours].

    Inside the support pi = alpha ref / (lambda - r), and lambda lies above every reward there. Outside,
    an answer's first bit of mass is worth its reward and costs lambda. So it gains nothing, unless its
    reward is above the lambda of the support alone. Then lambda is that reward, the support keeps what
    its equation says, and the best answers outside share the rest (in equal parts here: the objective
    does not say how).

    A right answer inside the support is enough: nothing outside is gained.

    >>> without_entropy([0.0, 1.0, 1.0], [0.9, 0.1, 0.0], alpha=0.5).pi.round(3).tolist()
    [0.415, 0.585, 0.0]

    Where the support holds none, 1 - alpha moves outside:

    >>> without_entropy([0.0, 0.0, 1.0], [0.9, 0.1, 0.0], alpha=0.25).pi.round(3).tolist()
    [0.225, 0.025, 0.75]
    """
    reward, ref = checked(reward, ref, alpha, 0.0)
    at = ref > 0
    best = float(reward[at].max())
    below = best - reward[at]  # how far each reward of the support lies below its best one

    def inside(above: float) -> Row:
        return alpha * ref[at] / (above + below)

    # above = lambda - best: at `low` the best answers alone sum to 1, at alpha all sum to 1 at most
    low, high = alpha * float(ref[at][below == 0].sum()), alpha
    above = high
    if inside(high).sum() < 1 and low < high:
        above = brentq(
            lambda x: inside(x).sum() - 1, low * (1 - 1e-9), high, xtol=1e-300, rtol=4 * EPS
        )
    pi = np.zeros_like(ref)
    winners = ~at & (reward == reward[~at].max(initial=-np.inf)) & (reward > best + above)
    if winners.any():
        above = float(reward[winners][0]) - best
        pi[winners] = (1 - inside(above).sum()) / winners.sum()
    pi[at] = inside(above)
    return Optimum(pi, best + above)


# ---------------------------------------------------------------- Figure 2: ascent


def figure_2() -> tuple[Row, dict[str, Row]]:
    """A reference over 16 tokens, 0 on the tokens 0, 1, 2, 13, 14, 15 [Figure 2], and rewards by name.

    The bell between the zeros and the four rewards are ours.

    >>> ref, rewards = figure_2()
    >>> np.flatnonzero(ref == 0).tolist(), len(rewards)
    ([0, 1, 2, 13, 14, 15], 4)
    """
    token = np.arange(16)
    ref = np.where((token > 2) & (token < 13), np.exp(-0.5 * ((token - 7) / 2) ** 2), 0.0)  # (16,)
    rewards = {
        "nothing is rewarded": np.zeros(16),
        "token 5 is right, inside": np.where(token == 5, 1.0, 0.0),
        "token 14 is right, outside": np.where(token == 14, 1.0, 0.0),
        "5 and 14 are right": np.where((token == 5) | (token == 14), 1.0, 0.0),
    }
    return ref / ref.sum(), rewards


class Climb(NamedTuple):
    """Where gradient ascent ended."""

    pi: Row  # (V,)
    steps: int


def ascend(
    reward: ArrayLike,
    ref: ArrayLike,
    alpha: float,
    beta: float,
    *,
    steps: int = 50_000,
    plain: bool = False,
) -> Climb:
    """Gradient ascent on Eq. 7, on the logits of a softmax, from the uniform policy.

    reward, ref (V,). The gradient on a logit is pi (slope - mean slope). A plain step adds it to the
    logits: sound, and slow where pi is small, because pi stands in front. The default divides by pi,
    which is the natural gradient of a softmax, with a step of one over the largest curvature. It
    stops at `steps`, or when no component of the gradient is above 1e-14.

    >>> climb = ascend([0.0, 0.0, 1.0], [0.5, 0.5, 0.0], alpha=1.0, beta=0.5)
    >>> climb.pi.round(3).tolist()
    [0.39, 0.39, 0.221]
    """
    reward, ref = checked(reward, ref, alpha, beta)
    z = np.zeros_like(ref)  # (V,) logits
    taken = 0
    for taken in range(1, steps + 1):  # noqa: B007
        log_pi = z - np.logaddexp.reduce(z)  # (V,)
        pi = np.exp(log_pi)
        worth = slope(log_pi, reward, ref, alpha, beta)  # (V,)
        push = worth - pi @ worth  # (V,) the gradient is pi * push
        if np.abs(pi * push).max() < 1e-14:
            break
        if plain:
            z = z + pi * push / (alpha + beta + np.ptp(reward))
        else:
            bend = beta + float((alpha * ref / np.maximum(pi, 1e-300)).max())
            z = z + push / bend
    return Climb(softmax(z), taken)


# ---------------------------------------------------------------- what exploring costs


class Price(NamedTuple):
    """Nats that each KL asks for a move away from the reference."""

    forward: Row
    reverse: Row


def price_of_exploring(q: ArrayLike, p: ArrayLike) -> Price:
    """Move mass until an answer of which ref has p has q, all others shrinking by one factor [ours].

    q, p in (0, 1), of any shapes that go together. As p -> 0 the forward KL tends to -log(1 - q), and the
    reverse one grows without bound, by q log 10 for each tenth of p.

    >>> price = price_of_exploring(0.5, 1e-9)
    >>> round(float(price.forward), 3), round(float(price.reverse), 3)
    (0.693, 9.668)
    """
    q, p = np.asarray(q, float), np.asarray(p, float)
    others = np.log1p(-p) - np.log1p(-q)  # log of ref over pi, on every other answer
    forward = (1 - p) * others + p * (np.log(p) - np.log(q))
    reverse = q * (np.log(q) - np.log(p)) - (1 - q) * others
    return Price(forward, reverse)
