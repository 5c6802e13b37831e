"""Checks of notebook 04: advantages, the reweighted reference, the surrogate, the loss, its gradient."""

from __future__ import annotations

import torch

from checks import Answer, NotYet, close, exercise
from objective import clipped_surrogate, group_advantages, reweight


def shown(values: torch.Tensor) -> str:
    return "[" + ", ".join(f"{v:.3f}" for v in values.flatten().tolist()) + "]"


@exercise("04.1", "my_advantages")
def advantages(answer: Answer) -> str:
    reward = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]])
    got, truth = answer.tensor(reward, shape=(3, 4)), group_advantages(reward)
    centred = reward - reward.mean(dim=1, keepdim=True)
    answer.need(
        not close(got, centred), "the mean is taken off; the division by the std is missing"
    )
    answer.need(
        not close(got, centred / reward.std(dim=1, keepdim=True), 1e-3),
        "your standard deviation divides by G - 1 (PyTorch's default); here it is divided by G: "
        "correction=0",
    )
    whole = reward - reward.mean()
    answer.need(
        not (
            close(got, whole / reward.std(correction=0), 1e-3)
            or close(got, whole / reward.std(), 1e-3)
        ),
        "mean and std are taken over all prompts together; each row is a group of its own (dim=1)",
    )
    answer.need(
        not close(got, centred / reward.var(dim=1, correction=0, keepdim=True), 1e-3),
        "divided by the variance; the standard deviation is its root",
    )
    down = reward - reward.mean(dim=0)
    for spread in (reward.std(dim=0, correction=0), reward.std(dim=0)):
        answer.need(
            not close(got, torch.where(spread > 0, down / spread.clamp_min(1e-12), 0.0), 1e-3),
            "mean and std run down the columns, over the prompts; a group is a row, dim=1",
        )
    answer.need(
        close(got, truth, 1e-3),
        f"for the rewards 1 0 0 0 it gives {shown(got[0])}, and {shown(truth[0])} is right",
    )
    try:
        equal = answer.tensor(torch.ones(2, 4), shape=(2, 4))
    except NotYet:
        raise NotYet(
            "right, but for a group whose rewards are all equal it divides 0 by 0; there A is 0"
        ) from None
    answer.need(
        close(equal, torch.zeros(2, 4)), "a group whose rewards are all equal must have A = 0"
    )
    return "right. The advantages of each group have mean 0 and, if any differ, mean square 1."


@exercise("04.2", "my_reweight")
def reweighted(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(0)
    ref = torch.randn(2, 5, generator=generator, dtype=torch.float64).log_softmax(-1)
    for phi in (0.5, 1.0, 0.0):
        got, truth = answer.tensor(ref, phi, shape=(2, 5)), reweight(ref, torch.tensor(phi))
        answer.need(
            phi != 0.5 or not close(got, phi * ref),
            "the power is right, but the rows do not sum to 1: subtract, after the multiplication, the "
            "log of the sum of exp(phi * ref_logp)",
        )
        answer.need(
            phi != 0.5 or not close(got, (ref / phi).log_softmax(-1)),
            "that divides by phi and so sharpens the reference; phi below 1 has to flatten it",
        )
        answer.need(
            not close(got, truth.exp()),
            "those are probabilities; the function gives back their logs",
        )
        answer.need(
            phi != 0.5 or not close(got, (phi * ref.exp()).log_softmax(-1)),
            "the power acts on the probability: in logs, phi times the LOG-prob",
        )
        power = phi * ref
        answer.need(
            phi != 0.5 or not close(got, power / power.logsumexp(-1, keepdim=True)),
            "divided by the log of the sum: to divide a probability is to SUBTRACT from its log",
        )
        answer.need(
            close(got, truth),
            f"at phi = {phi:g} the first row has probabilities {shown(got[0].exp())}, and "
            f"{shown(truth[0].exp())} is right",
        )
    return "right. At phi = 0 it is uniform, at phi = 1 the reference itself."


@exercise("04.3", "my_surrogate")
def surrogate(answer: Answer) -> str:
    rho = torch.tensor([1.5, 0.5, 0.5, 1.5, 1.0])
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0, 2.0])
    got = answer.tensor(rho, advantage, 0.2, shape=(5,))
    truth = clipped_surrogate(rho.log(), torch.zeros(5), advantage, 0.2)[0]
    clipped = rho.clamp(0.8, 1.2) * advantage
    answer.need(
        not close(got, clipped),
        "that clips always; the minimum with rho * A is missing. Look at A = 1, rho = 0.5: a good token "
        "that got less likely must still be pushed up",
    )
    answer.need(
        not close(got, torch.maximum(rho * advantage, clipped)),
        "that takes the larger of the two; the surrogate is the pessimist and takes the smaller",
    )
    answer.need(
        not close(got, rho * advantage), "nothing is clipped yet: rho = 1.5 with A = 1 gives 1.2"
    )
    answer.need(
        not close(got, torch.minimum(rho, rho.clamp(0.8, 1.2)) * advantage),
        "the minimum is taken of the ratios; it has to be taken after they are multiplied with A, which "
        "may be negative",
    )
    answer.need(
        not close(got, torch.minimum(rho * advantage, rho.clamp(0.8, 1.2))),
        "the clipped ratio is still to be multiplied with A",
    )
    answer.need(
        not close(got, torch.minimum(rho * advantage, (rho * advantage).clamp(0.8, 1.2))),
        "the product is clipped; it is the ratio that may not leave 1 - eps to 1 + eps",
    )
    answer.need(
        not close(got, torch.minimum(rho * advantage, rho.clamp(-0.2, 0.2) * advantage)),
        "the ratio is clipped to -eps .. eps; it is to stay near 1: 1 - eps .. 1 + eps",
    )
    answer.need(
        close(got, truth),
        f"for rho {shown(rho)} and A {shown(advantage)} g is {shown(truth)}, not {shown(got)}",
    )
    return "right. It clips only where that makes the objective smaller."


@exercise("04.4", "my_loss")
def loss(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(1)
    g, kl, h = torch.randn(3, 3, 4, generator=generator, dtype=torch.float64).abs()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    filled = [torch.where(mask.bool(), x, 99.0) for x in (g, kl, h)]  # padding holds anything
    answer.need(
        not isinstance(answer(*filled, mask, 0.3, 0.1), float),
        "my_loss has to give back a tensor: nothing can be differentiated through a Python number",
    )
    got = answer.tensor(*filled, mask, 0.3, 0.1, shape=())
    truth = -(((g - 0.3 * kl + 0.1 * h) * mask).sum(1) / mask.sum(1)).mean()
    for sentence, wrong in slips_of_a_loss(g, kl, h, filled, mask).items():
        answer.need(not close(got, wrong), sentence)
    answer.need(
        float(got) > -50,
        f"it gives {float(got):.1f}: the padding, filled with 99 here, is in the sum. Use the mask",
    )
    answer.need(close(got, truth), f"it gives {float(got):.4f}, and {float(truth):.4f} is right")
    return "right. Each completion has the same say, however long it is."


def slips_of_a_loss(g, kl, h, filled, mask) -> dict[str, torch.Tensor]:
    """What the likeliest slips of 04.4 give, by the sentence for them. g, kl, h, mask (B, T).

    filled: the same three with 99 in the padding.
    """
    count = mask.sum(1)

    def loss_of(value):
        return -((value * mask).sum(1) / count).mean()

    value = g - 0.3 * kl + 0.1 * h
    real = value * mask
    padded = filled[0] - 0.3 * filled[1] + 0.1 * filled[2]
    only_g = g * mask - 0.3 * filled[1] + 0.1 * filled[2]
    return {
        "that is J itself; the loss is -J, because optimizers go downhill": -loss_of(value),
        "all tokens are averaged together, so that a long completion counts more than a short one; first "
        "the mean of each completion, then the mean of those": -real.sum() / mask.sum(),
        "the padding is averaged in: use the mask": -padded.mean(),
        "the padding is counted as zeros: divide by the number of real tokens, mask.sum(dim=1)": (
            -real.mean()
        ),
        "the tokens of a completion are added; their mean is wanted": -real.sum(1).mean(),
        "only g is masked: the KL and the entropy of the padding are still in the sum": (
            -(only_g.sum(1) / count).mean()
        ),
        "the completions are added; their mean is wanted": -(real.sum(1) / count).sum(),
        "the minus of -J reaches g alone: all three terms stand inside the bracket": (
            loss_of(g + 0.3 * kl - 0.1 * h)
        ),
        "alpha and beta are swapped: alpha weighs the KL": loss_of(g - 0.1 * kl + 0.3 * h),
        "that is g alone: the KL and the entropy are missing": loss_of(g),
        "KL and entropy are not weighed: alpha and beta are missing": loss_of(g - kl + h),
        "the count is of real tokens, but the sum still runs over the padding: multiply by the mask "
        "before you sum": -(padded.sum(1) / count).mean(),
        "all tokens are added; the mean over a completion's tokens is wanted, then the one over the "
        "completions": -real.sum(),
        "the tokens at one place are averaged over the completions; a completion is a row, dim=1": (
            -(real.sum(0) / mask.sum(0)).mean()
        ),
        "each completion's sum is divided by the tokens of the whole batch; by its own it is the mean": (
            -(real.sum(1) / mask.sum()).mean()
        ),
        "the KL is a price: in J it is subtracted": loss_of(g + 0.3 * kl + 0.1 * h),
        "the entropy is wanted: in J it is added": loss_of(g - 0.3 * kl - 0.1 * h),
    }


def slips_of_a_gradient(
    pi: torch.Tensor, target: torch.Tensor, token: int, advantage: float, alpha: float
) -> dict[str, torch.Tensor]:
    """What the likeliest slips of 04.5 give, by the sentence for them. pi, target (V,) -> (V,) each."""
    unit = torch.eye(len(pi), dtype=pi.dtype)[token]
    rewards, kl = (
        -advantage * (unit - pi),
        alpha * (pi - target),
    )  # the two parts, as they should be
    log_ratio = (pi / target).log()
    return {
        "the reward's part is not multiplied with the advantage": -(unit - pi) + kl,
        "that is the derivative by the PROBABILITY, e_y / pi; by the logit it is e_y - pi": (
            -advantage * unit / pi + kl
        ),
        "only the drawn token's own entry is there, 1 - pi(y). Every logit is in the softmax's "
        "denominator, so every entry has its -pi": -advantage * unit * (1 - pi) + kl,
        "the KL's part is the derivative by the PROBABILITY, -ref^ / pi; by the logit it sums up to "
        "something simpler": rewards - alpha * target / pi,
        "the KL's part is a difference of logs, and one of probabilities is right: differentiate "
        "log pi, do not leave it": rewards + alpha * log_ratio,
        "the KL's part is that of the reverse KL; here ref^ stands in front": (
            rewards + alpha * pi * (log_ratio - (pi * log_ratio).sum())
        ),
    }


@exercise("04.5", "my_logit_gradient")
def logit_gradient(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(5, generator=generator, dtype=torch.float64)
    target = torch.randn(5, generator=generator, dtype=torch.float64).softmax(-1)
    pi, token, unit = logits.softmax(-1), 3, torch.eye(5, dtype=torch.float64)[3]
    for advantage, alpha, part in (
        (-0.5, 0.0, "the reward's"),
        (0.0, 0.3, "the KL's"),
        (1.5, 0.3, "the"),
    ):
        got = answer.tensor(pi, target, token, advantage, alpha, shape=(5,))
        reward_part = -advantage * (unit - pi)
        truth = reward_part + alpha * (pi - target)
        if close(got, truth):
            continue
        answer.need(
            not close(got, reward_part + (pi - target)),
            "the KL's part is not multiplied with alpha",
        )
        answer.need(
            not close(got, reward_part - alpha * target),
            "the KL's part is not finished: of the sum over v of ref^(v) (e_v - pi) you kept the e_v "
            "alone, and pi is there too",
        )
        answer.need(
            not close(got, -truth),
            f"{part} part has the wrong sign: the gradient of the loss, -(g - alpha KL), is asked for",
        )
        answer.need(
            not close(got, -advantage * unit + alpha * (pi - target)) or advantage == 0,
            "the reward's part misses the softmax: raising one logit lowers all other probabilities, so "
            "e_y - pi and not e_y",
        )
        slips = slips_of_a_gradient(pi, target, token, advantage, alpha)
        for sentence, wrong in slips.items():
            answer.need(not close(got, wrong), sentence)
        answer.need(
            advantage == 0 or not close(got, torch.zeros_like(got)),
            "the reward's part is missing: with alpha = 0 it gives zeros",
        )
        answer.need(
            advantage != 0 or not close(got, torch.zeros_like(got)),
            "the KL's part is missing: with A = 0 it gives zeros",
        )
        answer.need(
            abs(float(got.sum())) < 1e-6,
            f"{part} part sums to {float(got.sum()):.3f} over the tokens, and a gradient on logits sums "
            "to 0: adding one number to all logits changes no probability",
        )
        raise NotYet(
            f"{part} part is not right: with A = {advantage:g}, alpha = {alpha:g} it gives {shown(got)}, "
            f"and {shown(truth)} is right",
        )
    return "right. Both parts sum to 0: what one token gains the others lose."
