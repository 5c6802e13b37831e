"""Checks of notebook 03: the two KLs, what forgetting costs, k3, coefficients, expected gradients."""

from __future__ import annotations

import math

import torch

from checks import Answer, NotYet, close, exercise
from objective import exact_forward_kl, exact_reverse_kl, k1, k2, k3, k_rapo

ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3, "k_rapo": k_rapo}
DESCENT = {"k1": "nothing", "k2": "reverse", "k3": "forward", "k_rapo": "neither"}


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random log-probs in float64, normalised over the last dimension."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).log_softmax(-1)


@exercise("03.1", "my_kls")
def both_kls(answer: Answer) -> str:
    logp, ref = rows(3, 5, seed=1), rows(3, 5, seed=2)
    truth = exact_forward_kl(logp, ref), exact_reverse_kl(logp, ref)
    result = answer(logp, ref)
    answer.need(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "my_kls has to give back two things, forward and reverse",
    )
    parts = [
        Answer("my_kls", lambda *_, part=part: part).tensor(logp, ref, shape=(3,))
        for part in result
    ]
    if close(parts[0], truth[1]) and close(parts[1], truth[0]):
        raise NotYet("the two are right but swapped: in the forward KL the reference is in front")
    quotients = ref.exp() * (ref / logp).log(), logp.exp() * (logp / ref).log()
    for i, (name, part, right) in enumerate(zip(("forward", "reverse"), parts, truth, strict=True)):
        answer.need(
            not close(part, -truth[1 - i]),
            f"{name} is minus the other KL: the log is right, and the weight in front is not",
        )
        answer.need(
            not close(part, -right),
            f"{name} has the wrong sign: a KL is never negative. Which one is on top in the log?",
        )
        unweighted = {
            "forward": (ref * (ref - logp)).sum(-1),
            "reverse": (logp * (logp - ref)).sum(-1),
        }
        answer.need(
            not close(part, unweighted[name]),
            f"{name} weighs with a log-prob; the weight in front is a probability",
        )
        answer.need(
            not close(part, quotients[i].sum(-1)),
            f"{name} takes a log too many: the rows hold logs, and the log of a quotient is their "
            "difference",
        )
        answer.need(
            not close(part * logp.shape[-1], right),
            f"{name} is the mean over the outcomes; the formula is a sum",
        )
        answer.need(
            close(part, right),
            f"{name} is not right yet: for the first of three rows it gives {float(part[0]):.4f}, "
            f"and {float(right[0]):.4f} is right",
        )
    return "both are right. The library calls them exact_forward_kl and exact_reverse_kl."


@exercise("03.2", "my_price")
def price_of_forgetting(answer: Answer) -> str:
    for p in (0.3, 0.03, 0.9):
        try:
            got = answer.number(p)
        except NotYet as sentence:
            if "gives back inf" in str(sentence):
                raise NotYet(
                    "my_price is not finite: that is the forward KL, which divides by the policy's 0. "
                    "In the reverse KL the dropped token's own term is 0 log 0 = 0"
                ) from None
            raise
        truth = -math.log(1 - p)
        if close(got, truth, 1e-6):
            continue
        mistakes = {
            -truth: "the size is right and the sign is not: a KL is positive",
            -math.log(p): "that is the price of keeping ONLY this token; here it is dropped",
            -truth * (1 - p): "two things: a KL is positive, and the policy's probabilities of the "
            "others sum to 1, not to 1 - p",
            truth * (1 - p): "nearly: the weights in front are the policy's probabilities of the "
            "others, and those sum to 1, not to 1 - p",
        }
        for value, sentence in mistakes.items():
            answer.need(not close(got, value, 1e-6), sentence)
        raise NotYet(
            f"for p = {p:g} it gives {got:.4f}, and {truth:.4f} is right. By which factor has each "
            "other token grown?"
        )
    return (
        "right. The price of forgetting is bounded: that is how a reverse KL lets a policy forget."
    )


@exercise("03.3", "my_k3")
def third_estimator(answer: Answer) -> str:
    logp, ref = rows(6, seed=3), rows(6, seed=4)
    at_one = answer(logp, logp + 1)  # log w is 1 there, and w - 1 - log w is not 0
    answer.need(
        not close(at_one, torch.zeros(6)),
        "your w is the difference of the logs; that is log w, and w is its exponential",
    )
    got = answer.tensor(logp, ref, shape=(6,))
    answer.need(
        not close(got, k3(ref, logp)),
        "w is upside down: it is ref / pi, so log w = ref_logp - logp",
    )
    answer.need(
        not close(got, torch.expm1(logp - ref) - (ref - logp)),
        "w is upside down in one place: log w is ref_logp - logp, and w is its exponential, without a "
        "minus",
    )
    answer.need(not close(got, k1(logp, ref)), "that is k1 = -log w; w - 1 is still to be added")
    answer.need(not close(got, -k3(logp, ref)), "all signs are turned round: k3 is never negative")
    answer.need(
        not close(got, ref / logp - 1 - torch.log(ref / logp)),
        "w is the quotient of the probabilities, not of their logs",
    )
    answer.need(
        not close(got, torch.expm1(ref - logp) + (ref - logp)), "log w is subtracted, not added"
    )
    answer.need(
        not close(got, k3(logp, ref) + 1), "where pi = ref it has to be 0, and yours is 1 there"
    )
    answer.need(not close(got, k2(logp, ref)), "that is k2, half the square of log w")
    answer.need(
        not close(got, torch.expm1(ref - logp)),
        "that is w - 1 alone, whose mean is 0: - log w is missing",
    )
    answer.need(
        not close(got, k_rapo(logp, ref)),
        "that is RAPO's estimator, u log u - u + 1; k3 is w - 1 - log w",
    )
    answer.need(not close(got, k3(logp, ref) + 2), "the 1 is subtracted: w - 1 is what has mean 0")
    answer.need(
        not close(got, (ref.exp() - logp.exp()) - 1 - (ref - logp)),
        "w is the QUOTIENT of the probabilities; exp(ref_logp) - exp(logp) is their difference",
    )
    answer.need(
        bool((got >= -1e-9).all()),
        f"k3 is never negative, and yours is {float(got.min()):.4f} somewhere: check the signs of the "
        "three terms of w - 1 - log w",
    )
    answer.need(
        close(got, k3(logp, ref)),
        f"at log pi = {float(logp[0]):.3f}, log ref = {float(ref[0]):.3f} it gives "
        f"{float(got[0]):.4f}, and {float(k3(logp, ref)[0]):.4f} is right",
    )
    return "right. It is 0 where pi = ref, and positive everywhere else."


@exercise("03.4", "my_table")
def coefficients(answer: Answer) -> str:
    table = answer.value
    answer.need(
        isinstance(table, dict) and {"coefficients", "descent"} <= set(table),
        "my_table has to hold my_coefficients and my_descent, as in the cell's last line",
    )
    log_w = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64)
    for name, estimator in ESTIMATORS.items():
        logp = torch.zeros(9, dtype=torch.float64, requires_grad=True)
        truth = torch.autograd.grad(estimator(logp, log_w).sum(), logp)[0]
        student = Answer(f"the coefficient of {name}", table["coefficients"].get(name, ...))
        got = student.tensor(log_w, shape=(9,))
        answer.need(
            not close(got, -truth) or name == "k1",
            f"the coefficient of {name} has the wrong sign: log w falls when log pi rises",
        )
        apart = got - truth
        answer.need(
            close(got, truth) or not close(apart, apart[0].expand(9)),
            f"the coefficient of {name} differs from the derivative by a constant. That changes nothing "
            "in what it descends, but the derivative itself is asked for",
        )
        answer.need(
            name != "k3" or not close(got, 1 - log_w),
            "the coefficient of k3 takes its argument for w; it is log w, and w is its exponential",
        )
        answer.need(
            name != "k_rapo" or not close(got, -log_w.exp() * (log_w + 1)),
            "the coefficient of k_rapo is the derivative of u log u alone; -u has one too",
        )
        answer.need(
            close(got, truth),
            f"the coefficient of {name} is not its derivative by log pi: at log w = 1 it gives "
            f"{float(got[6]):.3f}, and the slope there is {float(truth[6]):.3f}",
        )
    for name, says in DESCENT.items():
        given = table["descent"].get(name)
        answer.need(
            given in set(DESCENT.values()),
            f"what {name} descends has to be one of nothing, forward, reverse, neither; it is {given!r}",
        )
        if name == "k3" and given == "reverse":
            raise NotYet(
                "the coefficients are right; look at k3's again. A constant counts for nothing: is what "
                "is left -w or -log w?"
            )
        answer.need(
            given == says,
            f"the coefficients are right, but {name} does not descend {given!r}: compare its "
            "coefficient with -w (forward) and -log w (reverse)",
        )
    return "right, all four. k3 is logged as a reverse KL and trained as a forward one."


@exercise("03.5", "my_expected_gradient")
def expected_gradient(answer: Answer) -> str:
    logits, ref = 2 * rows(6, seed=5), rows(6, seed=6)
    pi = logits.softmax(-1)
    equal = "every token counts the same in your sum; each has to be weighted with its probability"
    mistakes = {
        "the weight pi(v) has to be a number; your gradient runs through it, and is not 0 for k1": (
            lambda k, logp: (logp.exp() * k(logp, ref)).sum()
        ),
        equal: lambda k, logp: k(logp, ref).sum(),
        f"{equal} (and a sum, not a mean)": lambda k, logp: k(logp, ref).mean(),
        "it is a sum over v, not a mean": lambda k, logp: (pi * k(logp, ref)).mean(),
        "the weight is ref's probability; the tokens are drawn from the policy": (
            lambda k, logp: (ref.exp() * k(logp, ref)).sum()
        ),
        "the estimator takes the policy's log-probs first, then the reference's": (
            lambda k, logp: (pi * k(ref, logp)).sum()
        ),
        "the weight is log pi(v); the sum weighs with the probability itself": (
            lambda k, logp: (logp.detach() * k(logp, ref)).sum()
        ),
        "the sign is turned round: the sum itself is the loss, without a minus": (
            lambda k, logp: -(pi * k(logp, ref)).sum()
        ),
    }

    def detached_elsewhere(k, logp):
        return (logp.exp() * k(logp, ref).detach()).sum()

    def gradient(loss, estimator) -> torch.Tensor:
        live = logits.clone().requires_grad_()
        return torch.autograd.grad(loss(estimator, live.log_softmax(-1)), live)[0]

    for name, estimator in ESTIMATORS.items():
        truth = gradient(lambda k, logp: (pi * k(logp, ref)).sum(), estimator)
        try:
            got = answer.tensor(estimator, logits, ref, shape=(6,))
        except NotYet as sentence:
            symptoms = {
                "does not require grad": "nothing in the loss depends on the logits any more: only the "
                "weight pi(v) is detached, not what the estimator is given",
                "only for scalar outputs": "the loss has to be one number: the sum over v",
            }
            for symptom, what in symptoms.items():
                answer.need(symptom not in str(sentence), what)
            raise
        if close(got, truth):
            continue
        elsewhere = (  # for k1 that is the same as no detach at all
            close(answer(k, logits, ref), gradient(detached_elsewhere, k)) for k in (k1, k2)
        )
        answer.need(
            not all(elsewhere),
            "the detach is on the wrong factor: the weight is the number, and the gradient runs through "
            "the estimator",
        )
        for sentence, loss in mistakes.items():
            answer.need(not close(got, gradient(loss, estimator)), sentence)
        raise NotYet(
            f"for {name} it gives {[round(g, 3) for g in got.tolist()]}, and "
            f"{[round(g, 3) for g in truth.tolist()]} is right"
        )
    return "right. With k1 it gives zeros, and with k3 the forward KL's gradient, pi - ref."
