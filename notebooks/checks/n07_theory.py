"""Checks of notebook 07: the slope of Eq. 7, what is gained without entropy, the price of exploring."""

from __future__ import annotations

import math

import torch

import theory
from checks import Answer, NotYet, close, exercise

UPSIDE_DOWN = "ref / pi is upside down: d/dpi of -ref log(ref/pi) has pi below"


@exercise("07.1", "my_slope")
def what_more_mass_is_worth(answer: Answer) -> str:
    pi = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    ref = torch.tensor([0.6, 0.3, 0.1, 0.0], dtype=torch.float64)
    r = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    alpha, beta = 0.5, 0.2
    rows = pi.log().numpy(), r.numpy(), ref.numpy()
    truth = torch.as_tensor(theory.slope(*rows, alpha, beta))
    try:
        got = answer.tensor(pi, ref, r, alpha, beta, shape=(4,))
    except NotYet as sentence:
        if "gives back inf" in str(sentence):
            inside = torch.as_tensor(answer(pi, ref, r, alpha, beta))[:3]  # where ref is above 0
            upside_down = (r + alpha * pi / ref - beta * pi.log() - beta)[:3]
            answer.need(not close(inside, upside_down), UPSIDE_DOWN)
            raise NotYet(
                "my_slope is not finite where ref is 0. The forward KL has pi inside its logarithm only, "
                "so the derivative by pi holds no log of ref"
            ) from None
        raise
    pull, grows = alpha * ref / pi, beta * pi.log()
    mistakes = {
        "the KL's part has the wrong sign. The KL is subtracted, and it FALLS as pi grows": (
            r - pull - grows - beta
        ),
        "one term of the entropy is missing: pi log pi is a product, and its derivative has two": (
            r + pull - grows
        ),
        "the entropy's part has the wrong sign: H = -sum pi log pi": r + pull + grows + beta,
        "that has beta times pi where beta times a log belongs, like a line of the paper's appendix: "
        "differentiate pi log pi once more": r + pull - beta * pi - beta,
        "the entropy is missing": r + pull,
        "the KL is missing": r - grows - beta,
        "the reward is missing: pi r has a derivative too": pull - grows - beta,
        "the reward stands there times pi; the derivative of pi r by pi is r": (
            pi * r + pull - grows - beta
        ),
        "alpha is missing in front of the KL's part": r + ref / pi - grows - beta,
        UPSIDE_DOWN: (r + alpha * pi / ref.clamp_min(1e-9) - grows - beta),
        "the KL's part is not divided by pi: the derivative of log pi is 1/pi": (
            r + alpha * ref - grows - beta
        ),
        "that is pi times the slope, the part of a gradient on the logits; here the derivative by pi "
        "itself is asked for": pi * truth,
        "that is the advantage, with the mean taken off; the slope itself is asked for": (
            truth - (pi * truth).sum()
        ),
    }
    for sentence, value in mistakes.items():
        answer.need(not close(got, value), sentence)
    for given, mine, right in zip(zip(pi, ref, r, strict=True), got, truth, strict=True):
        at = "pi = {:g}, ref = {:g}, r = {:g}".format(*map(float, given))
        answer.need(
            close(mine, right),
            f"for {at}, alpha = 0.5, beta = 0.2 it gives {float(mine):.4f}, and {float(right):.4f} is "
            "right",
        )
    return "right. At the best policy this is one number, lambda, on every answer."


@exercise("07.2", "my_gain")
def gained_without_entropy(answer: Answer) -> str:
    for alpha in (0.25, 0.9, 3.0, 1.0):
        got = answer.number(alpha)
        truth = float(theory.without_entropy([0.0, 1.0], [1.0, 0.0], alpha).pi[1])
        if close(got, truth, 1e-6):
            continue
        answer.need(
            not close(got, 0.0),
            f"for alpha = {alpha:g} it gives 0: then not even a little mass would pay. Compare, at "
            "q = 0, the slope of what is won with the slope of the price",
        )
        answer.need(
            got >= 0,
            f"for alpha = {alpha:g} it gives {got:g}, and q is a probability. Which q is best if the "
            "slope is below 0 from the beginning?",
        )
        mistakes = {
            1.0: "all of the mass: then the answers of ref have none, and the forward KL is infinite",
            alpha: "that is what STAYS inside the support",
            1
            - math.exp(
                -1 / alpha
            ): "that is where the price has reached 1, the most that can be won. The "
            "best q is where the SLOPES of the two are equal",
            1 + alpha: "the sign of the price: the derivative of log(1 - q) is -1/(1 - q)",
        }
        for value, sentence in mistakes.items():
            answer.need(not close(got, value, 1e-6), sentence)
        answer.need(
            truth > 0,
            f"for alpha = {alpha:g} it gives {got:.4f}, but there the slope is below 0 from q = 0 on: "
            "the best q lies at the edge",
        )
        raise NotYet(
            f"for alpha = {alpha:g} it gives {got:.4f}, and {truth:.4f} is right. Set the derivative "
            "by q to 0"
        )
    return (
        "right. So a small alpha leaves the support even without entropy, if only the outside pays."
    )


@exercise("07.3", "my_prices")
def both_prices(answer: Answer) -> str:
    for q, p in ((0.3, 0.01), (0.5, 1e-6)):
        truth = [float(x) for x in theory.price_of_exploring(q, p)]
        result = answer(q, p)
        answer.need(
            isinstance(result, (tuple, list)) and len(result) == 2,
            "my_prices has to give back two numbers, forward and reverse",
        )
        got = [Answer("my_prices", lambda *_, part=part: part).number(q, p) for part in result]
        answer.need(
            not (close(got[0], truth[1]) and close(got[1], truth[0])),
            "the two are right but swapped: the forward KL has ref in front",
        )
        answer.need(
            not close(got[0], -math.log(1 - q), 1e-9),
            "forward is -log(1 - q): that is its limit for p -> 0, and here ref gives the answer p",
        )
        answer.need(
            got[0] != got[1],
            "the two are equal: one weighs the logarithms with p and 1 - p, the other with q and 1 - q",
        )
        tokens = p * math.log(p / q), q * math.log(q / p)
        others = (1 - p) * math.log((1 - p) / (1 - q)), (1 - q) * math.log((1 - q) / (1 - p))
        mixed = (1 - q) * math.log((1 - p) / (1 - q)), (1 - p) * math.log((1 - q) / (1 - p))
        kept = (1 - p) * -math.log(1 - q), (1 - q) * math.log(1 - q)
        for i, name in enumerate(("forward", "reverse")):
            mistakes = {
                tokens[
                    i
                ]: f"{name} holds the term of the one answer alone; the others have shrunk, and "
                "their terms do not vanish",
                others[
                    i
                ]: f"{name} holds the terms of the others alone; the answer that was explored has "
                "one too",
                -truth[i]: f"{name} has the wrong sign: a KL is never negative",
                tokens[i] + mixed[i]: f"{name} weighs the others with the wrong one of the two "
                "distributions",
                tokens[i]
                - others[i]: f"{name} has the others' factor upside down: they go from 1 - p to "
                "1 - q",
                tokens[i]
                + kept[i]: f"{name} takes the others' factor for 1 - q. They had 1 - p before",
                truth[i] / math.log(2): f"{name} is in bits; our logarithms are natural",
            }
            for value, sentence in mistakes.items():
                answer.need(close(got[i], truth[i]) or not close(got[i], value, 1e-9), sentence)
            answer.need(
                close(got[i], truth[i], 1e-9),
                f"{name} at q = {q:g}, p = {p:g}: it gives {got[i]:.5f}, and {truth[i]:.5f} is right",
            )
    return "right. Let p go to 0: one of the two has a limit."
