"""Checks of notebook 05: pass@k, a paired difference, the base on Hard, four logs to diagnose."""

from __future__ import annotations

import math
import warnings

import numpy as np

from checks import Answer, NotYet, close, exercise
from pass_at_k import Estimate, bootstrap
from watch.health import diagnose


@exercise("05.1", "my_pass_at_k")
def unbiased(answer: Answer) -> str:
    for n, c, k in ((4, 1, 2), (16, 3, 8), (8, 0, 4), (8, 8, 1), (8, 6, 4)):
        got, truth = answer.number(n, c, k), 1 - math.comb(n - c, k) / math.comb(n, k)
        naive = 1 - (1 - c / n) ** k
        answer.need(
            close(got, truth, 1e-9) or not close(got, naive, 1e-9),
            f"that is 1 - (1 - c/n)^k, which draws with putting back: for n={n}, c={c}, k={k} it is "
            f"{naive:.3f}, and {truth:.3f} is right",
        )
        answer.need(
            close(got, truth, 1e-9) or not close(got, 1 - truth, 1e-9),
            "that is the probability that all k miss",
        )
        answer.need(
            close(got, truth, 1e-9) or not close(got, c / n, 1e-9),
            f"that is c/n, the pass@1: at k={k} there are {k} tries",
        )
        answer.need(
            close(got, truth, 1e-9) or not close(got, math.comb(c, k) / math.comb(n, k), 1e-9),
            "that is the probability that ALL k are right; one right one is enough",
        )
        answer.need(
            close(got, truth, 1e-9) or not close(got, min(1.0, k * c / n), 1e-9),
            "k times c/n counts a draw with two right ones twice",
        )
        answer.need(
            close(got, truth, 1e-9),
            f"for n={n}, c={c}, k={k} it gives {got:.4f}, and {truth:.4f} is right",
        )
    return "right. Averaged over puzzles it is the table's pass@k."


@exercise("05.2", "my_difference")
def paired(answer: Answer) -> str:
    rng = np.random.default_rng(0)
    two = rng.random(60)
    one = two + 0.03 + 0.06 * rng.standard_normal(60)  # better on most puzzles, worse on some
    got, truth = answer(one, two), bootstrap(one - two)
    answer.need(
        isinstance(got, tuple) and len(got) == 3,
        "my_difference has to give back an Estimate: mean, low, high",
    )
    got = Estimate(*got)
    answer.need(
        not close(got.mean, -truth.mean), "the sign is turned round: one minus two is asked for"
    )
    apart = bootstrap(one), bootstrap(two)
    answer.need(
        not close(got.mean, np.abs(one - two).mean()),
        "that is the size of the difference, without its sign: on some puzzles one is worse than "
        "two, and there the difference is negative",
    )
    answer.need(
        not close(got.mean, one.mean()) and not close(got.mean, two.mean()),
        "that is one arm alone; the difference of the two is asked for",
    )
    answer.need(
        not close(got.mean, (one > two).mean()),
        "that is the share of puzzles on which one is better; by how much is asked for",
    )
    answer.need(
        close(got.mean, truth.mean), f"the mean is {got.mean:.3f}, and {truth.mean:.3f} is right"
    )
    each = bootstrap(np.sort(one) - np.sort(two))
    answer.need(
        not close(got.high - got.low, each.high - each.low, 1e-6),
        "the mean is right and the interval is not: each array was sorted by itself, and then the same "
        "place is no longer the same puzzle",
    )
    loose = bootstrap(one - two[rng.permutation(60)])
    answer.need(
        not close(got.high - got.low, loose.high - loose.low, 0.02),
        "the mean is right and the interval is that of unpaired puzzles: the same place in both arrays "
        "has to be the same puzzle",
    )
    answer.need(
        not close(got.low, apart[0].low - apart[1].low, 1e-6)
        and got.high - got.low < 3 * (truth.high - truth.low),
        "the mean is right and the interval is not: it seems to come from two separate bootstraps. "
        "Subtract puzzle by puzzle first",
    )
    answer.need(
        got.low <= got.mean <= got.high,
        f"low is {got.low:.3f} and high is {got.high:.3f}: an Estimate holds mean, low, high in this "
        "order",
    )
    answer.need(
        close(got.low, truth.low, 0.001) and close(got.high, truth.high, 0.001),
        f"the interval is [{got.low:.3f}, {got.high:.3f}], and "
        f"[{truth.low:.3f}, {truth.high:.3f}] is right",
    )
    width = apart[0].high - apart[0].low
    return (
        f"right. Paired, the interval is {truth.high - truth.low:.3f} wide; that of one arm alone is "
        f"{width:.3f}."
    )


def first_chooses(answer: Answer, first: np.ndarray) -> bool:
    """Is there an answer where fresh holds no 0? Not if it is fresh that chooses the puzzles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mean of nothing
        try:
            answer.number(first, np.full(len(first), 2), 8)
        except NotYet:
            return False
    return True


@exercise("05.3", "my_base_on_hard")
def base_on_hard(answer: Answer) -> str:
    first, fresh = np.array([0, 3, 0, 8, 0, 1, 0]), np.array([2, 4, 0, 8, 3, 0, 0])
    got, truth = answer.number(first, fresh, 8), 5 / 8 / 4
    answer.need(
        got != 0 or first_chooses(answer, first),
        "0 again: you score fresh, but you let fresh choose the puzzles too. The draw that chose Hard is "
        "first",
    )
    answer.need(
        got != 0,
        "0: that is scored on the draw that chose the puzzles, where the base has 0 by definition. "
        "There is a second draw",
    )
    answer.need(
        not close(got, float(first[fresh == 0].mean() / 8)),
        "the two draws are swapped: first chooses Hard, fresh is scored",
    )
    answer.need(
        not close(got, float(fresh[(first == 0) & (fresh > 0)].mean() / 8)),
        "the puzzles are chosen by both draws; Hard is chosen by first alone, or the score is biased "
        "again",
    )
    answer.need(
        not close(got, truth / 2),
        "both draws are pooled, and in first the base has 0 on Hard by definition: score fresh alone",
    )
    answer.need(
        not close(got, float(fresh[first == 0].sum() / 8 / 7)),
        "divided by all puzzles; the mean is over those of Hard",
    )
    answer.need(
        not close(got, truth * 8), "those are right answers per puzzle; divide by the n samples"
    )
    answer.need(
        not close(got, fresh.mean() / 8), "all puzzles are averaged; Hard is where first is 0"
    )
    answer.need(
        not close(got, (fresh[first == 0] > 0).mean()),
        "that is the share of Hard that was solved at all; pass@1 is the share of right samples",
    )
    answer.need(close(got, truth), f"it gives {got:.4f}, and {truth:.4f} is right")
    return "right. Above 0: among few samples some puzzles are missed by bad luck."


def _log(reward, entropy, signal, failing) -> list[dict]:
    """60 lines of metrics.jsonl whose numbers move evenly from the first to the last value.

    failing: why completions get no reward, at the first step and at the last; of 128, those that do are
    counted from the reward.
    """
    lines = []
    for s in np.linspace(0, 1, 60).tolist():
        now = reward[0] + (reward[1] - reward[0]) * s
        correct = round(128 * now)
        first, last = (some for some in failing)
        share = {
            why: first.get(why, 0) + (last.get(why, 0) - first.get(why, 0)) * s for why in last
        }
        counts = {why: round((128 - correct) * part) for why, part in list(share.items())[1:]}
        main = next(iter(share))
        counts = {main: 128 - correct - sum(counts.values()), **counts}
        reasons = {"correct": correct, **counts} if correct else counts
        lines.append(
            {
                "reward": correct / 128,
                "entropy": entropy[0] + (entropy[1] - entropy[0]) * s,
                "groups_with_signal": signal[0] + (signal[1] - signal[0]) * s,
                "ended": 0.4 if "no_answer" in last else 1.0,
                "reasons": {why: count for why, count in reasons.items() if count},
            }
        )
    return lines


WRONG_ONLY = ({"wrong": 1.0}, {"wrong": 1.0})
MORE_NOISE = ({"wrong": 1.0, "unparseable": 0.0}, {"wrong": 0.4, "unparseable": 0.6})
CUT_OFF = ({"no_answer": 0.94, "unparseable": 0.06}, {"no_answer": 0.94, "unparseable": 0.06})
LOGS = {
    "A": _log((0.22, 0.41), (0.07, 0.14), (0.62, 0.75), WRONG_ONLY),
    "B": _log((0.00, 0.00), (0.07, 0.07), (0.00, 0.00), WRONG_ONLY),
    "C": _log((0.24, 0.05), (0.07, 0.62), (0.62, 0.38), MORE_NOISE),
    "D": _log((0.00, 0.00), (0.60, 0.60), (0.00, 0.00), CUT_OFF),
}
TRUTH = {"A": "nothing", "B": "no signal", "C": "dissolving", "D": "no answer"}
HINTS = {
    "A": "the entropy rises, and so does the reward",
    "B": "its answers can be read; look at how many groups have both right and wrong ones",
    "C": "its groups have signal; look at entropy and reward together",
    "D": "no group has signal, but there is a reason for that: what does the verifier say?",
}


@exercise("05.4", "my_diagnoses")
def diagnoses(answer: Answer) -> str:
    answer.need(isinstance(answer.value, dict), "my_diagnoses has to be the dictionary of the cell")
    words = set(TRUTH.values())
    for name, truth in TRUTH.items():
        given = answer.value.get(name)
        answer.need(
            given in words, f"{name} is {given!r}; one of {', '.join(sorted(words))} is needed"
        )
        answer.need(given == truth, f"{name} is not {given!r}: {HINTS[name]}")
        seen = diagnose(LOGS[name], "rapo")
        assert (truth in seen) if truth != "nothing" else not seen
    return "all four. watch/health.py says the same, with the flag to change."
