"""watch/health.py: each sentence is triggered by a run that deserves it, and by no healthy one."""

import pytest

import rapo_mini
from settings import Settings
from watch.health import FEW, STEPS_WITHOUT, WINDOW, diagnose


def step(**others):
    healthy = {"reward": 0.3, "entropy": 0.07, "ended": 1.0, "groups_with_signal": 0.5}
    return {**healthy, "reasons": {"correct": 30, "wrong": 98}, **others}


def learning(steps):
    """A healthy run: the reward rises, the entropy doubles."""
    return [
        step(reward=0.2 + 0.2 * i / steps, entropy=0.07 + 0.07 * i / steps) for i in range(steps)
    ]


@pytest.mark.parametrize("steps", [1, STEPS_WITHOUT, 5 * WINDOW])
def test_nothing_is_said_of_a_healthy_run(steps):
    assert diagnose(learning(steps), "rapo") == {}


@pytest.mark.parametrize("arm", ["rapo", "grpo", "reverse-kl", "no-kl"])
def test_dissolving_is_said_with_a_flag_of_the_arm(arm):
    noise = [step(reward=0.1, entropy=0.5)] * WINDOW
    sentence = diagnose(learning(2 * WINDOW) + noise, arm)["dissolving"]
    assert "0.50 nats" in sentence and "--beta" in sentence
    assert ("--phi-min" in sentence) == (arm == "rapo")


def test_rising_entropy_alone_or_falling_reward_alone_is_not_dissolving():
    begun = learning(2 * WINDOW)
    assert diagnose(begun + [step(reward=0.5, entropy=0.5)] * WINDOW, "rapo") == {}
    assert diagnose(begun + [step(reward=0.1, entropy=0.1)] * WINDOW, "rapo") == {}


@pytest.mark.parametrize("reward, remedy", [(0.0, "easier problems"), (1.0, "harder problems")])
def test_no_signal_says_whether_problems_are_too_hard_or_too_easy(reward, remedy):
    silent = [step(reward=reward, groups_with_signal=0.0)] * STEPS_WITHOUT
    assert remedy in diagnose(silent, "rapo")["no signal"]
    assert diagnose(silent[1:], "rapo") == {}
    assert diagnose([*silent, step()], "rapo") == {}


@pytest.mark.parametrize("arm, flag", [("rapo", "--phi-min"), ("no-kl", "--lr")])
def test_a_lost_beginning_does_not_blame_the_problems(arm, flag):
    """As a run with alpha 0.3 and phi_min 0.3 does: noise before the entropy's window is full."""
    silent = [step(reward=0.0, groups_with_signal=0.0)] * STEPS_WITHOUT
    found = diagnose(learning(WINDOW) + silent, arm)
    assert list(found) == ["collapsing"]
    assert "was 0.21 in the first" in found["collapsing"]
    assert "--lr" in found["collapsing"] and flag in found["collapsing"]
    assert "--data" not in found["collapsing"]
    hard = [step(reward=0.01)] * WINDOW
    assert "easier problems" in diagnose(hard + silent, arm)["no signal"]


COLLAPSE = {  # rewards and ends of the first steps of --arm no-kl --lr 3e-2
    "reward": [0.141, 0.117, 0.102, 0.0, 0.0, 0.0],
    "ended": [1.0, 1.0, 1.0, 0.94, 0.42, 0.07],
}


def collapse(**others):
    rows = zip(COLLAPSE["reward"], COLLAPSE["ended"], strict=True)
    return [step(reward=r, ended=e, lr=0.018, **others) for r, e in rows]


def test_a_collapse_within_three_steps_is_told_to_lower_the_rate():
    found = diagnose(collapse(), "no-kl")
    assert list(found) == ["collapsing"] and "lower --lr, 0.018 by now" in found["collapsing"]
    assert "only 48% of the completions come to an end, not 100%" in found["collapsing"]
    assert diagnose(collapse()[: 2 * FEW - 1], "no-kl") == {}


def test_a_few_bad_steps_are_no_collapse():
    """Hard problems in a row, few completions, or a reward that falls and all else as it was."""
    begun = learning(2 * WINDOW)
    assert diagnose([*begun, *[step(reward=0.02)] * FEW], "rapo") == {}
    few = {"reasons": {"wrong": 2}}
    assert diagnose([m | few for m in collapse()], "rapo") == {}
    low = [m | {"reward": 0.3 * m["reward"]} for m in collapse()]
    assert diagnose(low, "rapo") == {}, "0.04 is too little to have been lost"


def test_completions_that_no_longer_end_are_not_told_to_be_longer():
    mute = {"reward": 0.0, "reasons": {"no_answer": 128}}
    rows = [step(reward=0.01)] * FEW + [step(ended=0.02, **mute)] * STEPS_WITHOUT
    assert "lower --lr" in diagnose(rows, "rapo")["no answer"]


@pytest.mark.parametrize("ended, flag", [(1.0, "--prompt-template"), (0.1, "--max-new-tokens")])
def test_no_answer_tells_a_wrong_prompt_from_too_few_tokens(ended, flag):
    reasons = {"no_answer": 100, "unparseable": 28}
    mute = [step(reward=0.0, ended=ended, reasons=reasons)] * STEPS_WITHOUT
    assert flag in diagnose(mute, "rapo")["no answer"]
    assert diagnose([*mute, step(reasons={"no_answer": 127, "wrong": 1})], "rapo") == {}


def test_a_run_says_it_once_on_the_screen(tmp_path, capfd):
    """Three tokens are too few for any answer: a real run, told so while it runs."""
    settings = Settings(
        steps=STEPS_WITHOUT + 3,
        prompts=1,
        group_size=2,
        max_new_tokens=3,
        eval_problems=0,
        out=str(tmp_path / "run"),
    )
    assert rapo_mini.main(settings) == 0
    screen = capfd.readouterr()
    said = (screen.out + screen.err).count("raise --max-new-tokens")
    assert said == 1
