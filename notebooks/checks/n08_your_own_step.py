"""The check of notebook 08: a student's step against the library's, on two fixed groups."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from capstone import fixed_groups, log_prob_rows, settings_of
from checks import Answer, NotYet, close, exercise
from objective import clipped_surrogate, entropy, exact_forward_kl, group_advantages, reweight
from policy import load_policy, reference_weights
from settings import BUNDLED_BASE, Settings
from step import MAX_GRAD_NORM, learn

SETTINGS = {  # the second has a gradient longer than the norm that it is scaled down to
    "a weight of 0.3": {"alpha": 0.3, "beta": 0.01, "lr": 0.1},
    "a weight of 300": {"alpha": 300.0, "beta": 0.01, "lr": 0.02},
}
UPDATES = 2


def moves(step: Callable, settings: Settings) -> tuple[list[Tensor], list[float]]:
    """Where UPDATES updates on the fixed groups take the adapter, each as one long vector; the losses."""
    policy = load_policy(str(BUNDLED_BASE), seed=0)
    optimizer = torch.optim.SGD(policy.trainable(), lr=settings.lr)
    rolled = fixed_groups(policy, settings)
    where, losses = [], []
    for _ in range(UPDATES):
        losses.append(step(policy, optimizer, rolled, settings))
        where.append(torch.cat([p.detach().flatten().clone() for p in policy.trainable()]))
    return where, losses


def library(policy, optimizer, rolled, settings) -> float:
    return learn(policy, optimizer, rolled, settings).metrics["loss"]


def with_slip(slip: str) -> Callable:
    """A step that is right but for one slip."""

    def step(policy, optimizer, rolled, settings) -> float:
        tokens, mask, old, _ = rolled.completions  # (B, T)
        reward = rolled.reward
        if slip == "batch":
            reward = reward.view(1, -1)
        advantage = group_advantages(reward).flatten()[:, None]  # (B, 1)
        phi = settings.phi_min + (1 - settings.phi_min) * rolled.reward.flatten()  # (B,)
        if slip == "phi":
            phi = torch.full_like(phi, settings.phi_min)
        if slip == "no phi":
            phi = torch.ones_like(phi)
        if slip == "phi turned":
            phi = 1 - (1 - settings.phi_min) * rolled.reward.flatten()
        with reference_weights(policy) as model:
            target = reweight(log_prob_rows(model, rolled), phi[:, None, None])  # (B, T, V)
        rows = log_prob_rows(policy.model, rolled)
        if slip in ("own reference", "moving reference"):
            own = rows.detach() if slip == "own reference" else rows
            target = reweight(own, phi[:, None, None])
        logp = rows.gather(-1, tokens[..., None])[..., 0]
        before = logp.detach() if slip == "on policy" else old
        pair = (before * mask, logp * mask) if slip == "rho" else (logp * mask, before * mask)
        gain, _ = clipped_surrogate(*pair, advantage, 1e9 if slip == "clip" else settings.clip_eps)
        kl = exact_forward_kl(target, rows) if slip == "reverse" else exact_forward_kl(rows, target)
        alpha, beta = settings.alpha, settings.beta
        if slip == "swapped":
            alpha, beta = beta, alpha
        beta = {"no entropy": 0.0, "entropy": -beta}.get(slip, beta)
        value = (gain - alpha * kl + beta * entropy(rows)) * mask
        loss = -(value.sum(dim=1) / mask.sum(dim=1)).mean()
        if slip != "zero_grad":
            optimizer.zero_grad()
        (-loss if slip == "sign" else loss).backward()
        if slip != "norm":
            torch.nn.utils.clip_grad_norm_(policy.trainable(), MAX_GRAD_NORM)
        optimizer.step()
        return loss.item()

    return step


OWN_REFERENCE = "the reference is the policy itself: its rows come from reference_weights(policy)"
SLIPS = {
    "sign": "it climbs the loss: backward() is called on J, or the loss lost its minus",
    "zero_grad": "right at the first update and not at the second: the old gradient is still there. "
    "optimizer.zero_grad() before backward()",
    "norm": "the gradient is longer than MAX_GRAD_NORM and has to be scaled down before the step: "
    "torch.nn.utils.clip_grad_norm_(policy.trainable(), MAX_GRAD_NORM)",
    "on policy": "right at the first update and not at the second: rho compares with the log-probs "
    "noted when the completions were SAMPLED, rolled.completions.logp",
    "batch": "the advantages are those of all completions together: rolled.reward is (P, G), a "
    "row a group",
    "phi": "every completion has the flattened reference; a right one keeps it as it is (phi = 1)",
    "no phi": "no completion has the flattened reference: phi is missing (that is RAPO-light)",
    "phi turned": "the right completions are flattened and the wrong ones not: phi is 1 where r is 1",
    "own reference": OWN_REFERENCE,
    "moving reference": OWN_REFERENCE,
    "clip": "right at the first update and not at the second: where rho leaves [1 - eps, 1 + eps], g "
    "is clipped",
    "rho": "rho is upside down: pi now over pi then, so the log-prob noted while sampling is taken off",
    "reverse": "that is the reverse KL: the target's probabilities stand in front",
    "no entropy": "the entropy is missing: settings.beta times H",
    "entropy": "the entropy has the wrong sign: J goes up with it, H = -sum pi log pi",
    "swapped": "alpha and beta are swapped: alpha weighs the KL, beta the entropy",
}


@functools.cache  # a notebook's check is called again and again
def known(words: str, slip: str | None = None) -> tuple[list[Tensor], list[float]]:
    """`moves` of the library's step, or of one with a slip, at one of SETTINGS."""
    step = with_slip(slip) if slip else library
    return moves(step, settings_of(updates=1, **SETTINGS[words]))


@exercise("08.1", "my_step")
def own_step(answer: Answer) -> str:
    start = moves(lambda *_: 0.0, settings_of())[0][0]
    for words, given in SETTINGS.items():
        truth, losses = known(words)
        got, returned = moves(answer, settings_of(updates=1, **given))
        size = float((truth[-1] - start).norm())

        def apart(one: list[Tensor], two: list[Tensor], size: float = size) -> list[float]:
            return [float((a - b).norm()) / size for a, b in zip(one, two, strict=True)]

        def near(one: list[Tensor], two: list[Tensor]) -> bool:
            return max(apart(one, two)) < 1e-3

        answer.need(
            float((got[0] - start).norm()) > 0,
            "the adapter has not moved: is optimizer.step() called, after backward()?",
        )
        if not near(got, truth):
            for slip, sentence in SLIPS.items():
                answer.need(not near(got, known(words, slip)[0]), sentence)
            first, second = apart(got, truth)
            which = (
                "first update goes" if first > 1e-3 else "first update is right, the second goes"
            )
            raise NotYet(
                f"with {words} of the KL the {which} another way than the library's: the adapter ends "
                f"{second:.1%} of its way beside it. Look at one term at a time, as the text says"
            )
        answer.need(
            all(isinstance(loss, (int, float)) for loss in returned),
            "the step is right; give back the loss as a number, loss.item()",
        )
        answer.need(
            all(close(a, b, 1e-3) for a, b in zip(returned, losses, strict=True)),
            f"the step is right, and the loss that it gives back is not: {returned[0]:.4f}, not "
            f"{losses[0]:.4f}. It is the one before the update, -J",
        )
    return (
        "right: two updates, the same as the library's to rounding. This is RAPO, and you wrote it."
    )
