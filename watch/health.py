"""Is this run learning? One sentence while it runs when it is not, with the flag to change.

A reward curve alone does not tell "needs more steps" from "will never learn". Four things do, and all
are read off the metrics that a step logs anyway:

* collapsing: within a few steps the reward of the first ones is gone, and with it the signal, the ends of
  completions, or an entropy like theirs. This is what too large a learning rate does;
* dissolving: the entropy leaves the base's far behind while the reward falls. This is what too large
  a weight on the flattened reference, or on the entropy, ends in: text that is mostly noise;
* nothing to learn from: in no group do rewards differ, so every advantage is 0;
* nothing to grade: no completion ends in an answer that the verifier can read.
"""

from __future__ import annotations

from collections.abc import Sequence

from objective import ARMS

FEW = 3  # steps that show what a run began with, and a collapse
LEFT = 0.25  # of the first steps' reward; below it the last ones have lost it
ENOUGH = 10  # right completions that a few steps would have had, or nothing can be said
WINDOW = 20  # steps that a trend is averaged over
HAD_REWARD = 0.05  # a mean reward at the beginning that a run can be said to have lost
STEPS_WITHOUT = 10  # steps in a row without a signal, or without an answer
TIMES_ENTROPY = 3.0  # entropy this many times that of the first WINDOW steps: dissolving ...
REWARD_LEFT = 0.8  # ... if the reward is also below this share of its best window
UNREAD = ("no_answer", "unparseable", "too_large", "timeout")  # the verifier's reasons


def diagnose(metrics: Sequence[dict], arm: str) -> dict[str, str]:
    """What is wrong at the last of these steps: {short name: sentence}, empty if all is well.

    metrics: the lines of metrics.jsonl so far, oldest first; arm: decides which flag can help.

    >>> step = {"reward": 0.0, "groups_with_signal": 0.0, "ended": 1.0, "reasons": {"wrong": 8}}
    >>> diagnose([step] * 10, "rapo")["no signal"][:62]
    'no group of the last 10 steps had both right and wrong complet'
    """
    if sentence := dissolving(metrics, arm):
        return {"dissolving": sentence}
    if sentence := collapsing(metrics, arm):
        return {"collapsing": sentence}  # the rest would blame the problems for it
    checks = {"no signal": no_signal, "no answer": no_answer}
    found = {name: check(metrics, arm) for name, check in checks.items()}
    return {name: sentence for name, sentence in found.items() if sentence}


def collapsing(metrics: Sequence[dict], arm: str) -> str:
    """The last FEW steps have less than LEFT of the first ones' reward, and do not look like them."""
    first, last = metrics[:FEW], metrics[-FEW:]
    if len(metrics) < 2 * FEW:
        return ""
    reward, now = _mean_of("reward", first), _mean_of("reward", last)
    asked = sum(sum(m["reasons"].values()) for m in last)
    if reward < HAD_REWARD or now > LEFT * reward or reward * asked < ENOUGH:
        return ""
    ended, ends = _mean_of("ended", first), _mean_of("ended", last)
    entropy = _mean_of("entropy", last) / max(_mean_of("entropy", first), 1e-9)
    signs = {
        f"only {ends:.0%} of the completions come to an end, not {ended:.0%}": ends < 0.7 * ended,
        f"the entropy is {entropy:.1f} times theirs": not 1 / TIMES_ENTROPY
        < entropy
        < TIMES_ENTROPY,
        "no group has a right completion": not any(m["groups_with_signal"] for m in last),
    }
    if not any(signs.values()):
        return ""
    rate = last[-1].get("lr")
    lower = "lower --lr" + (f", {rate:.2g} by now" if rate else "")
    others = (
        "" if ARMS[arm].remedy.startswith("lower --lr") else f"; if it is low, {ARMS[arm].remedy}"
    )
    return (
        f"the run is collapsing: the reward was {reward:.2f} in the first {FEW} steps and is {now:.2f} "
        f"in the last, {next(sign for sign, there in signs.items() if there)}: {lower}{others}"
    )


def dissolving(metrics: Sequence[dict], arm: str) -> str:
    """Entropy past TIMES_ENTROPY times its beginning, reward below REWARD_LEFT of its best window."""
    if len(metrics) < 2 * WINDOW:
        return ""
    entropy = [m["entropy"] for m in metrics]
    reward = [m["reward"] for m in metrics]
    before, now = _mean(entropy[:WINDOW]), _mean(entropy[-WINDOW:])
    windows = range(0, len(reward) - WINDOW + 1, WINDOW)
    best, last = max(_mean(reward[i : i + WINDOW]) for i in windows), _mean(reward[-WINDOW:])
    if now < TIMES_ENTROPY * before or last > REWARD_LEFT * best:
        return ""
    return (
        f"the policy is dissolving into noise: entropy {now:.2f} nats a token, {now / before:.1f} times "
        f"its beginning, while the reward fell from {best:.2f} to {last:.2f}: {ARMS[arm].remedy}"
    )


def no_signal(metrics: Sequence[dict], arm: str) -> str:
    """Every group of the last STEPS_WITHOUT steps was all right or all wrong."""
    last = metrics[-STEPS_WITHOUT:]
    if len(last) < STEPS_WITHOUT or any(m["groups_with_signal"] > 0 for m in last):
        return ""
    first, reward = _mean_of("reward", metrics[:FEW]), _mean_of("reward", last)
    if reward >= 0.5:
        remedy = "it takes harder problems (--data)"
    elif reward < first / 2 and first > HAD_REWARD:
        remedy = f"the run lost what it could do at its beginning ({first:.2f}): {ARMS[arm].remedy}"
    else:
        remedy = "it takes easier problems (--data), or a larger --group-size"
    return (
        f"no group of the last {STEPS_WITHOUT} steps had both right and wrong completions (mean reward "
        f"{reward:.2f}), so no advantage differs from 0: {remedy}"
    )


def no_answer(metrics: Sequence[dict], arm: str) -> str:
    """No completion of the last STEPS_WITHOUT steps held an answer that the verifier could read."""
    last = metrics[-STEPS_WITHOUT:]
    if len(last) < STEPS_WITHOUT or any(set(m["reasons"]) - set(UNREAD) for m in last):
        return ""
    ended, began = _mean_of("ended", last), _mean_of("ended", metrics[:FEW])
    if ended < 0.5 and began > 2 * ended:
        remedy = f"only {ended:.0%} come to an end, {began:.0%} did in the first steps: lower --lr"
    elif ended < 0.5:
        remedy = f"only {ended:.0%} came to an end: raise --max-new-tokens"
    else:
        remedy = "does the prompt ask for \\boxed{}? (--prompt-template)"
    return f"no completion of the last {STEPS_WITHOUT} steps held an answer that could be read; {remedy}"


def _mean_of(name: str, metrics: Sequence[dict]) -> float:
    return _mean([m[name] for m in metrics])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
