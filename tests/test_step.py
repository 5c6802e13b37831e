"""step.py: a rollout keeps its rows together, and learning does what the objective says."""

from dataclasses import replace

import pytest
import torch

import rapo_mini
import step as room
from objective import group_advantages
from settings import Settings, resolve
from verifier import verify

SMALL = {"prompts": 2, "group_size": 4, "max_new_tokens": 48, "threads": 1, "eval_problems": 0}


def settings_for(out, **changed):
    return resolve(Settings(**(SMALL | {"out": str(out)} | changed)))[0]


@pytest.fixture
def run(tmp_path):
    return rapo_mini.Run(settings_for(tmp_path, prompts=3, lr=1e-3))


def gradients(run, rolled, **changed):
    run.optimizer.zero_grad()
    metrics = room.backward(run.policy, rolled, run.settings, run.pieces._replace(**changed))
    return metrics, [p.grad.clone() for p in run.policy.trainable()]


def warmed_up(run, step=3):
    """A rollout of a policy that has left the reference (a few steps in)."""
    for _ in range(step):
        rapo_mini.train_step(run)
    return room.rollout(run.policy, run.problems_of(step), run.settings, step)


@pytest.mark.parametrize("changed", [{"micro_batch": 1}, {"micro_batch": 5}, {"chunk_tokens": 3}])
def test_micro_batches_and_chunks_change_nothing_but_memory(run, changed):
    rolled = warmed_up(run)
    assert len(set(rolled.completions.mask.sum(dim=1).tolist())) > 3, "lengths must differ"
    whole, expected = gradients(run, rolled, micro_batch=100)
    cut, got = gradients(run, rolled, **changed)
    for key, value in whole.items():
        assert cut[key] == pytest.approx(value, rel=1e-4, abs=1e-5), key
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_each_phase_gives_its_memory_back_to_the_other(run, monkeypatch):
    """The blocks of a key/value cache fit nothing of the learning phase, nor the other way round."""
    seen = []
    sample, scored = room.sample_groups, room.scored
    monkeypatch.setattr(room, "empty_cache", lambda: seen.append("emptied"))
    monkeypatch.setattr(
        room, "sample_groups", lambda *a, **k: seen.append("sampled") or sample(*a, **k)
    )
    monkeypatch.setattr(room, "scored", lambda *a: seen.append("learned") or scored(*a))
    rapo_mini.train_step(run)
    assert seen == ["sampled", "emptied", "learned", "emptied"]


def test_the_longest_completions_are_learned_from_first(run):
    """So memory runs out at the first micro-batch or at none."""
    rolled = warmed_up(run)
    pieces = run.pieces._replace(micro_batch=3)
    widths = [s.mask.shape[1] for s in room.scored(run.policy, rolled, run.settings, pieces)]
    assert widths == sorted(widths, reverse=True) and len(set(widths)) > 1
    assert widths[0] == rolled.completions.mask.sum(dim=1).max()


def test_the_sampler_and_the_trainer_agree_on_the_log_probs(run):
    rolled = warmed_up(run)
    metrics, _ = gradients(run, rolled)
    assert metrics["parity_mean"] < 1e-5 and metrics["parity_max"] < 1e-3
    shifted = replace(
        rolled, completions=rolled.completions._replace(logp=rolled.completions.logp + 0.01)
    )
    assert gradients(run, shifted)[0]["parity_mean"] > 0.009, "the metric must notice"


def test_a_rollout_keeps_each_row_with_its_prompt_and_gold(run):
    rolled = room.rollout(run.policy, run.problems_of(0), run.settings, 0)
    assert rolled.reward.shape == (3, 4) and len(rolled.texts) == 12
    for row, (text, verdict) in enumerate(zip(rolled.texts, rolled.verdicts, strict=True)):
        again = verify(text, rolled.problems[row // 4].answer)
        assert again == verdict and rolled.reward[row // 4, row % 4] == verdict.reward


def test_every_step_and_every_seed_draws_noise_of_its_own(run):
    """The same prompts: equal completions for equal (seed, step), others for another of either."""
    problems = run.problems_of(0)

    def drawn(seed, step):
        settings = replace(run.settings, seed=seed)
        return room.rollout(run.policy, problems, settings, step).texts

    assert drawn(0, 0) == drawn(0, 0)
    assert drawn(0, 0) != drawn(0, 1) != drawn(1, 1) != drawn(1, 0) != drawn(0, 0)


def test_all_reference_terms_vanish_while_the_policy_is_the_reference(tmp_path):
    """Step 0: LoRA's B is zero, so the KL of an unreweighted reference is 0, and u is 1."""
    run = rapo_mini.Run(settings_for(tmp_path, arm="reverse-kl"))
    metrics = rapo_mini.train_step(run)[0]
    assert abs(metrics["kl"]) < 1e-6 and metrics["effective_sample_size"] == pytest.approx(1)
    for name, parameter in run.policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    assert rapo_mini.train_step(run)[0]["kl"] > 1e-3


def test_no_kl_is_bit_equal_to_grpo_with_weight_zero(tmp_path):
    states = []
    for arm in ("no-kl", "grpo"):
        run = rapo_mini.Run(settings_for(tmp_path / arm, arm=arm, alpha=0.0, lr=1e-3))
        for _ in range(3):
            rapo_mini.train_step(run)
        states.append([p.clone() for p in run.policy.trainable()])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_phi_may_follow_the_group(run, monkeypatch):
    seen = []
    monkeypatch.setattr(room, "score", spy(room.score, seen))
    rolled = room.rollout(run.policy, run.problems_of(0), run.settings, 0)
    reward = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    rolled = replace(rolled, reward=reward)
    room.learn(run.policy, run.optimizer, rolled, replace(run.settings, phi_from="group"))
    low = run.settings.phi_min
    assert sorted(set(torch.cat(seen).tolist())) == pytest.approx([low, low + (1 - low) / 4, 1.0])


def spy(score, seen):
    def watched(*args, **options):
        seen.append(args[5])  # phi
        return score(*args, **options)

    return watched


def test_each_problem_comes_once_an_epoch(run):
    run.problems = run.problems[:9]  # 3 steps of 3 prompts
    first, second = ([p for s in e for p in run.problems_of(s)] for e in ((0, 1, 2), (3, 4, 5)))
    assert sorted(p.problem for p in first) == sorted(p.problem for p in run.problems)
    assert first != second and sorted(map(str, first)) == sorted(map(str, second))


def test_a_gradient_that_is_not_finite_changes_nothing(run):
    rolled = room.rollout(run.policy, run.problems_of(0), run.settings, 0)
    broken = rolled.completions._replace(logp=rolled.completions.logp * float("nan"))
    before = [p.clone() for p in run.policy.trainable()]
    metrics = room.learn(
        run.policy, run.optimizer, replace(rolled, completions=broken), run.settings
    ).metrics
    assert metrics["skipped"] is True
    assert all(torch.equal(a, b) for a, b in zip(before, run.policy.trainable(), strict=True))


def test_learning_raises_the_probability_of_what_was_rewarded(tmp_path):
    """One rollout, some updates on it: log pi of right completions up, of wrong ones down."""
    run = rapo_mini.Run(settings_for(tmp_path, arm="no-kl", prompts=4, group_size=8, updates=4))
    for group in run.optimizer.param_groups:
        group["lr"] = 1e-3
    step = next(s for s in range(20) if signal_in(run, s))
    rolled = room.rollout(run.policy, run.problems_of(step), run.settings, step)
    room.learn(run.policy, run.optimizer, rolled, run.settings)
    done = rolled.completions
    prompt = torch.arange(len(done.tokens)) // 8
    with torch.no_grad():
        after = room.score(
            run.policy,
            rolled.prompt_ids[prompt],
            rolled.prompt_mask[prompt],
            done.tokens,
            done.mask,
            torch.ones(len(prompt)),
            arm="no-kl",
            form="none",
            temperature=1.0,
            chunk_tokens=4096,
        ).logp
    gained = ((after - done.logp) * done.mask).sum(dim=1).view(4, 8)
    mixed = group_advantages(rolled.reward) != 0
    assert gained[mixed & (rolled.reward == 1)].mean() > 0
    assert gained[mixed & (rolled.reward == 0)].mean() < 0


def signal_in(run, step):
    rolled = room.rollout(run.policy, run.problems_of(step), run.settings, step)
    return room.rollout_metrics(rolled)["groups_with_signal"] > 0


def test_a_prompt_is_solved_from_right_at_on(run):
    rolled = room.rollout(run.policy, run.problems_of(0), run.settings, 0)
    half = replace(
        rolled, reward=torch.zeros_like(rolled.reward).index_fill(0, torch.tensor(0), 0.5)
    )
    assert room.rollout_metrics(half)["solved_prompts"] == 0
    assert room.rollout_metrics(half, right_at=0.5)["solved_prompts"] == pytest.approx(1 / 3)


def test_parity_is_measured_before_any_update(run):
    """After the first of several updates pi_theta is no longer pi_old, and the gap says nothing."""
    for group in run.optimizer.param_groups:
        group["lr"] = 1e-2
    rolled = room.rollout(run.policy, run.problems_of(0), run.settings, 0)
    twice = replace(run.settings, updates=2)
    metrics = room.learn(run.policy, run.optimizer, rolled, twice).metrics
    after = room.backward(run.policy, rolled, run.settings, run.pieces)
    assert metrics["parity_max"] < 1e-3 < after["parity_max"]


def test_a_slow_step_is_saved_as_soon_as_it_is_done(run):
    assert not run.save_is_due(), "a quick one waits for others"
    run.saved_at -= rapo_mini.SAVE_SECONDS
    assert run.save_is_due()
