"""The capstone's own step, and the score of the open task."""

import doctest

import pytest
import torch

import capstone
import score
from capstone import fixed_groups, settings_of
from policy import load_policy
from rapo_mini import Run, train
from settings import BUNDLED_BASE
from step import learn
from watch.run_folder import save_adapter, save_config


def adapter_after(step, updates=2):
    settings = settings_of(alpha=0.3, beta=0.01)
    policy = load_policy(str(BUNDLED_BASE), seed=0)
    optimizer = torch.optim.SGD(policy.trainable(), lr=0.1)
    rolled = fixed_groups(policy, settings)
    for _ in range(updates):
        step(policy, optimizer, rolled, settings)
    return torch.cat([p.detach().flatten() for p in policy.trainable()])


def test_our_step_is_the_librarys():
    start, ours, theirs = (
        adapter_after(s, n) for s, n in ((None, 0), (capstone.our_step, 2), (learn, 2))
    )
    assert float((ours - theirs).norm()) < 1e-3 * float((theirs - start).norm())


def test_the_fixed_groups_hold_right_and_wrong_ones():
    settings = settings_of()
    rolled = fixed_groups(load_policy(str(BUNDLED_BASE)), settings)
    assert rolled.reward.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0]]
    assert {v.reason for v in rolled.verdicts} == {"correct", "wrong"}


def test_the_examples():
    assert doctest.testmod(score).failed == 0


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    """Three short runs with seeds of their own."""
    folders = []
    for seed in range(3):
        out = tmp_path_factory.mktemp(f"mine-{seed}")
        settings = settings_of(steps=1, seed=seed, out=str(out), show_every=0, eval_problems=0)
        save_config(settings, out)
        run = Run(settings)
        train(run)
        save_adapter(run.policy.model, out)
        folders.append(out)
    return folders


def test_three_runs_are_an_entry_and_fewer_or_equal_ones_are_not(entry):
    assert score.allowed(entry) == ""
    assert score.allowed(entry[:2]) == "2 folders are given, and an entry is 3 runs"
    assert "3 different ones are needed" in score.allowed([entry[0]] * 3)
    assert "is no run" in score.allowed([*entry[:2], entry[0].parent])


def test_the_score_needs_twice_the_first_attempt(entry, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["score.py", *map(str, entry), "--count", "11"])
    assert score.main() == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("base ") and len(said) == 6
    assert said[-1].startswith("score 0: pass@1 is")


def test_the_score_is_the_mean_of_many_attempts():
    base = score.Score(0.2, 0.6, {})
    value, says = score.verdict(base, [score.Score(0.4, 0.7, {}), score.Score(0.5, 0.9, {})])
    assert value == pytest.approx(0.8) and says.startswith("score 0.8000")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"steps": 201}, ""),  # what counts is what was trained
        ({"prompts": 16, "group_size": 16}, "16 x 16 completions"),
        ({"updates": 2}, "2 updates"),
        ({"data": "gsm8k"}, "bundled base on its puzzles"),
    ],
)
def test_a_run_beyond_the_budget_is_named(given, says, entry, tmp_path):
    save_config(settings_of(**given, seed=9, out=str(tmp_path)), tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n', encoding="utf-8")
    said = score.allowed([*entry[:2], tmp_path])
    assert says in said and bool(says) == bool(said)
