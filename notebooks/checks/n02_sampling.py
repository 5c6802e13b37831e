"""Checks of notebook 02: log-probs at a temperature, drawing, the mask, the work that a cache saves."""

from __future__ import annotations

import torch

from checks import Answer, NotYet, close, exercise


@exercise("02.1", "my_log_probs")
def log_probs(answer: Answer) -> str:
    logits = torch.tensor([[1.0, 2.0, 0.0, -1.0], [0.5, 0.5, 3.0, 1.0]], dtype=torch.float64)
    got = answer.tensor(logits, 0.5, shape=(2, 4))
    truth = torch.log_softmax(logits / 0.5, dim=-1)
    answer.need(not close(got, truth.exp()), "those are probabilities; their logs are wanted")
    answer.need(
        not close(got, torch.log_softmax(logits * 0.5, dim=-1)),
        "the temperature multiplies; it has to divide: at 0.5 the likely gets likelier",
    )
    answer.need(
        not close(got, torch.log_softmax(logits, dim=-1)), "the temperature changes nothing"
    )
    answer.need(
        not close(got, torch.log_softmax(logits, dim=-1) / 0.5),
        "divided after the softmax: then the rows no longer sum to 1. Divide the logits",
    )
    answer.need(
        not close(got, torch.log_softmax(logits / 0.5, dim=0)),
        "the softmax runs over the rows; it belongs over the last dimension",
    )
    answer.need(close(got, truth), f"a row's probabilities sum to {float(got[0].exp().sum()):.3f}")
    try:
        large = answer.tensor(torch.tensor([[800.0, 0.0]]), 1.0, shape=(1, 2))
    except NotYet:
        raise NotYet("right for small logits, but e^800 overflows: use log_softmax") from None
    answer.need(close(large, torch.tensor([[0.0, -800.0]])), "wrong for logits as large as 800")
    return "right, and safe for large logits."


@exercise("02.2", "my_draw")
def drawing(answer: Answer) -> str:
    logp = torch.tensor([[0.5, 0.2, 0.3]] * 4, dtype=torch.float64).log()
    noise = torch.tensor([0.4, 0.6, 0.95, 0.5], dtype=torch.float64)
    got, truth = answer.tensor(logp, noise, shape=(4,)), [0, 1, 2, 1]
    listed = [int(x) for x in got]
    answer.need(
        listed != [0, 0, 0, 0],
        "the likeliest token is drawn each time; the noise has to decide",
    )
    answer.need(
        listed != [0, 1, 2, 0],
        "nearly: at noise 0.5 exactly, tokens 0 and 1 meet. The noise is in [0, 1), so the stretch of "
        "token 0 is [0, 0.5) and 0.5 belongs to token 1: above, not at",
    )
    answer.need(
        listed == truth,
        f"for the probabilities 0.5, 0.2, 0.3 and the noise 0.4, 0.6, 0.95, 0.5 it draws {listed}, and "
        f"{truth} is right. Is the cumulative sum taken of probabilities, not of their logs?",
    )
    return "right. The same noise always draws the same token."


@exercise("02.3", "my_mask")
def mask(answer: Answer) -> str:
    tokens = torch.tensor([[5, 7, 1, 9, 1], [1, 4, 4, 4, 4], [3, 3, 3, 3, 3], [2, 2, 2, 2, 1]])
    truth = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
    got = answer.tensor(tokens, 1, shape=(4, 5))
    answer.need(not close(got, 1 - truth), "0 and 1 are swapped: 1 is for tokens that count")
    answer.need(
        not close(got, ((tokens == 1).cumsum(1) == 0).int()),
        "the end token itself is left out; it was sampled and carries loss",
    )
    answer.need(
        not close(got, (tokens != 1).int()),
        "what comes after the end token counts again; after the first end nothing does",
    )
    answer.need(
        close(got, truth),
        f"for the tokens {tokens[0].tolist()} with end 1 it gives {[int(x) for x in got[0]]}, and "
        f"{truth[0].tolist()} is right",
    )
    return (
        "right. The row that never ended counts whole: it was cut off, and that is recorded apart."
    )


@exercise("02.4", "my_places")
def work(answer: Answer) -> str:
    names = ("without a cache", "with a cache", "with a cache and a shared prefill")
    for P, G, L, T in ((2, 3, 5, 4), (8, 16, 512, 1024)):
        truth = (P * G * sum(L + t for t in range(T)), P * G * (L + T - 1), P * L + P * G * (T - 1))
        got = answer(P, G, L, T)
        answer.need(
            isinstance(got, (tuple, list)) and len(got) == 3,
            "my_places has to give back three numbers",
        )
        for name, one, right in zip(names, got, truth, strict=True):
            more = P * G * (L + T) if name == names[0] else P * G
            answer.need(
                one != right + more,
                f"{name}: one run too many. The last token drawn is not run through the model",
            )
            answer.need(
                one == right,
                f"{name}: for P={P}, G={G}, L={L}, T={T} it gives {one}, and {right} is right",
            )
    return "right. The cache saves the most, and the shared prefill most of what is left of the prompts."
