"""Is this run learning? One sentence while it runs when it is not, with the flag to change.

A reward curve alone does not tell "needs more steps" from "will never learn". Three things do, and all
are read off the metrics that a step logs anyway:

* dissolving: the entropy leaves the base's far behind while the reward falls. This is what too large
  a weight on the flattened reference, or on the entropy, ends in: text that is mostly noise;
* nothing to learn from: in no group do rewards differ, so every advantage is 0;
* nothing to grade: no completion ends in an answer that the verifier can read.
"""

from __future__ import annotations

from collections.abc import Sequence

from objective import ARMS

WINDOW = 20  # steps that a trend is averaged over
HAD_REWARD = 0.1  # a mean reward at the beginning that a run can be said to have lost
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
    checks = {"dissolving": dissolving, "no signal": no_signal, "no answer": no_answer}
    found = {name: check(metrics, arm) for name, check in checks.items()}
    return {name: sentence for name, sentence in found.items() if sentence}


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
    first, reward = (_mean([m["reward"] for m in some]) for some in (metrics[:STEPS_WITHOUT], last))
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
    ended = _mean([m["ended"] for m in last])
    remedy = (
        f"only {ended:.0%} came to an end: raise --max-new-tokens"
        if ended < 0.5
        else "does the prompt ask for \\boxed{}? (--prompt-template)"
    )
    return f"no completion of the last {STEPS_WITHOUT} steps held an answer that could be read; {remedy}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
