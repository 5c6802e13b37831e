"""watch/health.py: each sentence is triggered by a run that deserves it, and by no healthy one."""

import pytest

import rapo_mini
from settings import Settings
from watch.health import STEPS_WITHOUT, WINDOW, diagnose


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
def test_no_signal_after_a_good_beginning_does_not_blame_the_problems(arm, flag):
    """As a run with alpha 0.3 and phi_min 0.3 does: noise before the entropy's window is full."""
    silent = [step(reward=0.0, groups_with_signal=0.0)] * STEPS_WITHOUT
    sentence = diagnose(learning(WINDOW) + silent, arm)["no signal"]
    assert "at its beginning (0.25)" in sentence and flag in sentence
    assert "--data" not in sentence
    hard = [step(reward=0.01)] * WINDOW
    assert "easier problems" in diagnose(hard + silent, arm)["no signal"]


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
