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
    answer.need(
        not close(got, logits / 0.5 - logits.logsumexp(-1, keepdim=True)),
        "the temperature divides the logits and not the sum that they are measured by: it belongs into "
        "both",
    )
    total = float(got[0].exp().sum())
    answer.need(
        close(got, truth), f"a row's probabilities sum to {total:.3f}, and they have to sum to 1"
    )
    try:
        large = answer.tensor(torch.tensor([[800.0, 0.0]]), 1.0, shape=(1, 2))
    except NotYet:
        raise NotYet("right for small logits, but e^800 overflows: use log_softmax") from None
    answer.need(close(large, torch.tensor([[0.0, -800.0]])), "wrong for logits as large as 800")
    return "right, and safe for large logits."


@exercise("02.2", "my_draw")
def drawing(answer: Answer) -> str:
    p = torch.tensor([[0.2, 0.5, 0.3]] * 5, dtype=torch.float64)
    noise = torch.tensor([0.1, 0.4, 0.6, 0.95, 0.2], dtype=torch.float64)
    truth = [0, 1, 1, 2, 1]
    try:
        got = answer.tensor(p.log(), noise, shape=(5,))
    except NotYet as sentence:
        answer.need(
            "must match the size of tensor" not in str(sentence),
            "the rows have 3 entries and there are 5 darts, and PyTorch laid the darts along the "
            "entries: noise[:, None] makes a column of them, one dart for each row",
        )
        raise
    listed = [int(x) for x in got]
    answer.need(
        close(got, answer.tensor(p.log(), noise, shape=(5,))),
        "the same noise draws other tokens the second time: your draw throws dice of its own, and the "
        "noise has to decide",
    )
    if listed == [0, 0, 0, 0, 0]:
        raise NotYet(f"always token 0: {why_always_the_first(answer)}")
    if listed == [0, 0, 1, 2, 0]:
        raise NotYet(nearest_or_sorted(answer))
    for sentence, drawn in slips_of_a_draw(p, noise).items():
        answer.need(listed != drawn, sentence)
    answer.need(
        listed == truth,
        f"for the probabilities 0.2, 0.5, 0.3 and the noise 0.1, 0.4, 0.6, 0.95, 0.2 it draws {listed}, "
        f"and {truth} is right",
    )
    rows = torch.tensor([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4]], dtype=torch.float64)
    darts = torch.tensor([0.25, 0.65, 0.05], dtype=torch.float64)
    each = [int(x) for x in answer.tensor(rows.log(), darts, shape=(3,))]
    answer.need(
        each == [1, 1, 0],
        f"right while all rows are alike; with three different rows it draws {each}, and [1, 1, 0] is "
        "right: each row has its own dart",
    )
    return "right. The same noise always draws the same token."


def why_always_the_first(answer: Answer) -> str:
    """What makes 02.2 draw token 0 always, found out with rows that are no log-probs at all."""

    def drawn(*row: float) -> int:
        return int(answer.tensor(torch.tensor([row]), torch.tensor([0.2]), shape=(1,)))

    if drawn(-3.0, 3.1, 0.0):  # e^-3, then e^0.1
        return (
            "the logs are added up first and exponentiated after that, which is a running PRODUCT of "
            "the probabilities. Exponentiate first, then add up"
        )
    if drawn(-1.0, 5.0, 0.0):  # -1, then 4
        return (
            "the rows hold LOGS of probabilities, all below 0, and no sum of them is ever above the "
            "noise. Exponentiate first"
        )
    return (
        "the comparison is turned round. You look for a cumulative probability below the noise, and the "
        "first one ABOVE it is asked for"
    )


def nearest_or_sorted(answer: Answer) -> str:
    """Two slips of 02.2 draw alike for the check's rows; another row tells them apart."""
    row, dart = torch.tensor([[0.1, 0.6, 0.3]]).log(), torch.tensor([0.5])
    if int(answer.tensor(row, dart, shape=(1,))):
        return (
            "that is the edge NEAREST to the noise; the first one above the noise is asked for, however "
            "far above it is"
        )
    return (
        "the tokens were sorted first, and what comes back is a place in the sorted row, not the token's "
        "index: keep them in their order"
    )


def slips_of_a_draw(p: torch.Tensor, noise: torch.Tensor) -> dict[str, list[int]]:
    """What the likeliest slips of 02.2 draw, by the sentence for them. p (5, 3), noise (5,)."""
    column = noise[:, None]

    def first_above(cumulative: torch.Tensor) -> list[int]:
        return (cumulative > column).int().argmax(-1).tolist()

    return {
        "the likeliest token is drawn each time; the noise has to decide": [1, 1, 1, 1, 1],
        "nearly: at noise 0.2 exactly, tokens 0 and 1 meet. The noise is in [0, 1), so the stretch of "
        "token 0 is [0, 0.2) and 0.2 belongs to token 1: above, not at": [0, 1, 1, 2, 0],
        "the tokens were sorted first: each is drawn as often as it should be, but from another stretch "
        "of the noise. Keep them in their order": [1, 1, 2, 0, 1],
        "the probabilities were not added up: a dart is compared with each token's own share": (
            first_above(p)
        ),
        "each sum leaves out its own token: the first edge is p(0), not 0": first_above(
            p.cumsum(dim=-1) - p
        ),
        "the tokens were sorted from the rarest up: keep them in their order": first_above(
            p.sort(dim=-1).values.cumsum(dim=-1)
        ),
        "one place too early: that is the last token whose cumulative probability is still at or below "
        "the noise": ((p.cumsum(dim=-1) <= column).sum(-1) - 1).clamp_min(0).tolist(),
        "the sum runs down the rows, over other darts; along a row it is dim=-1": first_above(
            p.cumsum(dim=0)
        ),
    }


@exercise("02.3", "my_mask")
def mask(answer: Answer) -> str:
    tokens = torch.tensor([[5, 7, 1, 9, 1], [1, 4, 4, 4, 4], [3, 3, 3, 3, 3], [2, 2, 2, 2, 1]])
    truth = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
    got = answer.tensor(tokens, 1, shape=(4, 5))
    is_end = (tokens == 1).int()
    seen = is_end.cumsum(dim=1)
    slips = {
        "0 and 1 are swapped: 1 is for tokens that count": 1 - truth,
        "the end token itself is left out; it was sampled and carries loss": (seen == 0),
        "what comes after the end token counts again; after the first end nothing does": 1 - is_end,
        "the tokens between the first end and the second count too: one end seen may mean at the end "
        "token or after it. Which ends were seen BEFORE a token?": (seen <= 1),
        "it is 1 from the first end on; the tokens before it were sampled as well": (seen == 1),
        "only the end tokens themselves are marked": is_end,
        "each end token counts; the second one is rubbish as well, only the first was sampled": (
            (seen == 0) | (is_end == 1)
        ),
        "the ends are counted down the rows, over other completions; along a row is dim=1": (
            (is_end.cumsum(dim=0) - is_end) == 0
        ),
        "everything counts, what comes after the end too: nothing is masked": torch.ones_like(
            truth
        ),
    }
    for sentence, wrong in slips.items():
        answer.need(not close(got, wrong.int()), sentence)
    answer.need(
        close(got[2], truth[2]),
        "the third row never ended: it was cut off, and all of its tokens were sampled, so all count",
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
    for P, G, L, T in ((2, 3, 7, 4), (8, 16, 512, 1024)):
        truth = (P * G * sum(L + t for t in range(T)), P * G * (L + T - 1), P * L + P * G * (T - 1))
        got = answer(P, G, L, T)
        answer.need(
            isinstance(got, (tuple, list)) and len(got) == 3,
            "my_places has to give back three numbers",
        )
        for name, one, right, slips in zip(names, got, truth, slips_of(P, G, L, T), strict=True):
            for sentence, wrong in slips.items():
                answer.need(one == right or one != wrong, f"{name}: {sentence}")
            answer.need(
                one == right,
                f"{name}: for P={P}, G={G}, L={L}, T={T} it gives {one}, and {right} is right",
            )
    return "right. The cache saves the most, and the shared prefill most of what is left of the prompts."


def slips_of(P: int, G: int, L: int, T: int) -> tuple[dict[str, float], ...]:
    """What the likeliest slips of 02.4 give for each of the three ways, by the sentence for them."""
    many = "one run too many. The last token drawn is not run through the model"
    few = (
        "one run too few. T tokens need T runs: the prompt's, and one after each token but the last"
    )
    one_row = "that is one completion; there are P * G of them"
    plain = sum(L + t for t in range(T))
    return (
        {
            many: P * G * (plain + L + T),
            "those are attention's pairs; a place counts once a run, however many it looks at": (
                P * G * sum((L + t) ** 2 for t in range(T))
            ),
            "the first run is on the prompt alone, L places; yours has a drawn token in it already": (
                P * G * (plain + T)
            ),
            few: P * G * sum(L + t for t in range(T - 1)),
            "the text grows by a token a run; yours has its full length in every run": (
                P * G * T * (L + T)
            ),
            "the text grows by a token a run; yours is the prompt in every run": P * G * T * L,
            "that is the work with a cache: without one, each run takes in the whole text so far": (
                P * G * (L + T - 1)
            ),
            one_row: plain,
            "there are P prompts, with G completions each; yours has one prompt": G * plain,
            "each prompt has G completions; yours has one": P * plain,
        },
        {
            many: P * G * (L + T),
            few: P * G * (L + T - 2),
            "the prompts are counted once a prompt; that is the third way": P * L + P * G * (T - 1),
            "the prompt is missing: its keys and values have to be computed too": P * G * (T - 1),
            "without the cache's saving: after the prompt each run takes in ONE new token a row": (
                P * G * plain
            ),
            one_row: L + T - 1,
            "there are P prompts, with G completions each; yours has one prompt": G * (L + T - 1),
            "each prompt has G completions; yours has one": P * (L + T - 1),
        },
        {
            many: P * L + P * G * T,
            few: P * L + P * G * (T - 2),
            "each row runs its own prompt; that is the second way": P * G * (L + T - 1),
            "the drawn tokens are not shared: each of the G completions has its own": P
            * (L + T - 1),
            "there are P prompts, and each is run once": L + P * G * (T - 1),
        },
    )
