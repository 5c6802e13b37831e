"""watch/known_counts.py: the base's counts are looked up, and only where nothing differs."""

import json
from dataclasses import replace

import numpy as np
import pytest

import pass_at_k as room
from policy import load_policy
from problems import puzzles
from settings import BUNDLED_BASE, Settings, resolve
from watch import known_counts as known

SAME = {"samples": 4, "seed": 3, "rows": 512, "top_p": 1.0}


@pytest.fixture(scope="module")
def policy():
    return load_policy(str(BUNDLED_BASE))


@pytest.fixture
def settings():
    return resolve(Settings(model=str(BUNDLED_BASE), max_new_tokens=24))[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RAPO_MINI_CACHE", str(tmp_path / "counts"))
    return tmp_path / "counts"


def test_the_second_evaluation_samples_only_what_was_trained(policy, settings, folder, monkeypatch):
    problems, sampled = puzzles("test", 4), []
    count = room.count_correct

    def spy(*arguments, label, **options):
        sampled.append(label)
        return count(*arguments, label=label, **options)

    monkeypatch.setattr(room, "count_correct", spy)
    monkeypatch.setitem(room.DRAWS, "trained", spy)
    first = room.compare_with_base(policy, problems, settings, samples=4)
    second = room.compare_with_base(policy, problems, settings, samples=4)
    assert sampled == ["chosen_by", "base", "trained", "trained"]
    assert first.as_json() == second.as_json()
    again = replace(settings, sample_base=True)
    room.compare_with_base(policy, problems, again, samples=4)
    assert sampled[4:] == ["chosen_by", "base", "trained"]


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.9}, {"max_new_tokens": 25}, {"prompt_template": "{problem} "}],
)
def test_another_setting_is_another_fact(policy, settings, folder, change):
    facts = known.facts_of(policy, puzzles("test", 4), settings, **SAME)
    known.keep_counts(facts, np.array([1, 2, 3, 4]))
    assert known.known_counts(facts).tolist() == [1, 2, 3, 4]
    other = known.facts_of(policy, puzzles("test", 4), replace(settings, **change), **SAME)
    assert known.known_counts(other) is None


def test_other_puzzles_or_another_seed_are_other_facts(policy, settings, folder):
    facts = known.facts_of(policy, puzzles("test", 4), settings, **SAME)
    known.keep_counts(facts, np.array([1, 2, 3, 4]))
    for problems, same in ((puzzles("test", 4, 9), SAME), (puzzles("test", 4), SAME | {"seed": 4})):
        assert known.known_counts(known.facts_of(policy, problems, settings, **same)) is None


def test_an_own_reward_is_not_known(policy, settings):
    own = replace(settings, reward=("mine.py:reward",))
    assert known.facts_of(policy, puzzles("test", 4), own, **SAME) is None


@pytest.mark.parametrize(
    "damaged",
    [
        "{",
        "[]",
        lambda d: d | {"correct": d["correct"][:3]},
        lambda d: d | {"correct": [1, 2, 3, 5]},
        lambda d: d | {"facts": d["facts"] | {"base": "another"}},
    ],
)
def test_a_damaged_file_is_passed_over(policy, settings, folder, damaged):
    facts = known.facts_of(policy, puzzles("test", 4), settings, **SAME)
    known.keep_counts(facts, np.array([1, 2, 3, 4]))
    path = folder / known.name_of(facts)
    text = (
        damaged if isinstance(damaged, str) else json.dumps(damaged(json.loads(path.read_text())))
    )
    path.write_text(text)
    assert known.known_counts(facts) is None


def test_the_main_commands_defaults_are_known(policy, monkeypatch):
    """Both draws of the base for `python rapo_mini.py`: made again whenever base or verifier changes, by
    RAPO_MINI_CACHE=tiny_base/counts python pass_at_k.py --adapter RUN --sample-base."""
    settings, _ = resolve(Settings(model=str(BUNDLED_BASE)))
    problems = puzzles("test", settings.eval_problems)
    for seed in (0, 1):
        same = SAME | {"samples": settings.eval_samples, "seed": seed}
        counts = known.known_counts(known.facts_of(policy, problems, settings, **same))
        assert counts is not None and 0.1 < counts.mean() / settings.eval_samples < 0.3
