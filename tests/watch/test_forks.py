"""watch/forks.py: the exact probabilities are those that sampling estimates."""

from collections import Counter

import numpy as np
import pytest

from policy import base_weights, decode, load_policy
from problems import TIERS, puzzles, right_completions
from settings import BUNDLED_BASE, Settings, resolve
from step import prompts_of, sample_groups
from verifier import verify
from watch.forks import EVERY, OF_EACH_KIND, at_forks, by_tier, fork_metrics, watched_puzzles

SAMPLES = 128


@pytest.fixture(scope="module")
def policy():
    return load_policy(str(BUNDLED_BASE))


@pytest.fixture(scope="module")
def settings():
    return resolve(Settings(model=str(BUNDLED_BASE)))[0]


@pytest.fixture(scope="module")
def sampled(policy, settings):
    """64 puzzles: exact probabilities, 128 attempts at each, and which of these are right."""
    import torch

    problems = puzzles("validation", 64, seed=11)
    with base_weights(policy) as model:
        completions, _ = sample_groups(
            policy,
            model,
            prompts_of(policy, problems, settings),
            settings,
            group_size=SAMPLES,
            rows_at_once=1024,
            generator=torch.Generator().manual_seed(3),
        )
    texts = decode(policy, completions.tokens, completions.mask)
    of_problem = [texts[i : i + SAMPLES] for i in range(0, len(texts), SAMPLES)]
    right = [
        [verify(text, problem.answer).reward == 1 for text in texts]
        for problem, texts in zip(problems, of_problem, strict=True)
    ]
    return problems, at_forks(policy, problems, settings, adapter_on=False), of_problem, right


@pytest.mark.parametrize("tier", list(dict.fromkeys(TIERS.values())))
def test_the_right_rule_is_sampled_as_often_as_the_exact_probability_says(sampled, tier):
    """Within four standard errors of the sampled rate, tier by tier; so for right answers."""
    problems, exact, of_problem, is_right = sampled
    chosen, right, expected_rule, expected_right, variance = 0, 0, 0.0, 0.0, [0.0, 0.0]
    for i, (problem, texts) in enumerate(zip(problems, of_problem, strict=True)):
        if TIERS[problem.kind] != tier:
            continue
        rules = tuple(f"{rule} " for rule in right_completions(problem))
        chosen += sum(text.startswith(rules) for text in texts)
        right += sum(is_right[i])
        rule, both = exact.chosen[i], exact.chosen[i] * exact.carried_out[i]
        expected_rule += SAMPLES * rule
        expected_right += SAMPLES * both
        variance[0] += SAMPLES * rule * (1 - rule)
        variance[1] += SAMPLES * both * (1 - both)
    assert abs(chosen - expected_rule) <= 4 * variance[0] ** 0.5 + 1
    assert abs(right - expected_right) <= 4 * variance[1] ** 0.5 + 1
    if tier == "common":
        assert chosen > 1000 and right > 500, "a test that could not fail"


def test_pass_at_k_follows_from_the_two_numbers(sampled):
    problems, exact, _, is_right = sampled
    counts = [sum(right) for right in is_right]
    solved = np.mean([count > 0 for count in counts])
    # Samples also solve by luck, where a slip of another rule ends in the right number.
    assert solved - 0.1 <= exact.pass_at_k(SAMPLES).mean() <= solved + 0.03
    assert exact.pass_at_k(1).mean() == pytest.approx(
        sum(counts) / SAMPLES / len(problems), abs=0.01
    )


def test_an_answer_that_can_be_written_in_two_ways_counts_both(policy, settings, sampled):
    """x+4 and 4+x: without one of them, p(right) would be well below what is sampled."""
    problems, exact, _, _ = sampled
    linear = np.array(["x" in p.answer and "+" in p.answer for p in problems])
    assert linear.sum() >= 8
    assert exact.carried_out[linear].max() > 0.75, "more than one way alone could have (0.6)"
    assert (exact.carried_out <= 1 + 1e-6).all() and (exact.chosen <= 1 + 1e-6).all()


def test_the_watched_puzzles_are_some_of_each_kind_and_always_the_same():
    found = watched_puzzles()
    assert Counter(p.kind for p in found) == dict.fromkeys(TIERS, OF_EACH_KIND)
    assert found == watched_puzzles()


def test_a_tier_is_the_mean_of_its_puzzles():
    problems = watched_puzzles()
    values = np.array([float(TIERS[p.kind] == "rare") for p in problems])
    means = by_tier(problems, values)
    assert means == {"common": 0, "rare": 1, "very rare": 0, "hidden": 0}


def test_tiers_come_in_one_order_whatever_the_order_of_the_puzzles():
    problems = watched_puzzles()[::-1]
    assert list(by_tier(problems, np.zeros(len(problems)))) == list(dict.fromkeys(TIERS.values()))
    assert list(by_tier(problems[:1], np.zeros(1))) == [TIERS[problems[0].kind]]


def test_no_puzzle_is_no_number(policy, settings):
    """As on Hard, where the base missed none."""
    assert at_forks(policy, [], settings).pass_at_k(4).shape == (0,)


def test_a_run_looks_every_few_steps_and_on_puzzles_only(policy, settings):
    assert set(fork_metrics(policy, settings, 0)) == {"rule_chosen", "rule_carried_out"}
    assert not fork_metrics(policy, settings, EVERY - 1)
    others = resolve(Settings(model=str(BUNDLED_BASE), data="mine.jsonl"))[0]
    assert not fork_metrics(policy, others, 0)
