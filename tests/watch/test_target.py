"""watch/target.py: what the flattened reference asks for, measured and said before the first step."""

import json

import pytest
import torch

import rapo_mini
import step
from objective import reweight, target_row
from policy import reference_weights
from settings import Settings, resolve
from watch import target
from watch.target import Asked, TooFlat, asked_of, distance, in_words

SMALL = {"prompts": 2, "group_size": 4, "max_new_tokens": 40, "threads": 1, "eval_problems": 0}
SMALL |= {"show_every": 0}


def settings_for(out, **changed):
    return resolve(Settings(**(SMALL | {"out": str(out)} | changed)))[0]


def test_the_distance_by_hand():
    """The nucleus of 99% is the first three tokens; the target puts half of its mass outside."""
    ref = torch.tensor([[0.5, 0.3, 0.192, 0.005, 0.003]])
    target = torch.tensor([[0.2, 0.2, 0.1, 0.3, 0.2]])
    kl, tail, own = distance(ref.log(), target.log())
    assert kl.item() == pytest.approx((target * (target / ref).log()).sum().item())
    assert tail.item() == pytest.approx(0.5) and own.item() == pytest.approx(0.008, abs=1e-6)


def test_a_flat_vocabulary_is_mostly_junk_and_a_plausible_support_is_not():
    """50,000 tokens with Zipf's tail: what the paper's phi(0) asks for, with and without the support."""
    ref = (1 / torch.arange(1, 50_001).float() ** 2.5)[None]
    ref = (ref / ref.sum()).log()
    phi = torch.tensor([[0.455]])
    _, junk, own = distance(ref, reweight(ref, phi))
    kl, kept, _ = distance(ref, reweight(ref, phi, plausible=0.01))
    assert junk > 0.3 and kept <= 1.01 * own and kl < 0.4


def test_it_is_measured_in_smaller_pieces_where_memory_runs_out(tmp_path, monkeypatch, capsys):
    run = rapo_mini.Run(settings_for(tmp_path))
    rolled = step.rollout(run.policy, run.problems_of(0), run.settings, 0)
    whole, states, rows = asked_of(run.policy, rolled, run.settings), target.completion_states, []

    def small_room(model, prompt_ids, *rest):
        rows.append(len(prompt_ids))
        if len(prompt_ids) > 2:
            raise torch.OutOfMemoryError("no room")
        return states(model, prompt_ids, *rest)

    monkeypatch.setattr(target, "completion_states", small_room)
    assert asked_of(run.policy, rolled, run.settings) == pytest.approx(whole, rel=1e-4, abs=1e-6)
    assert rows[0] == 4 and rows[-2:] == [2, 2]
    assert "--micro-batch 2" in capsys.readouterr().out


@pytest.mark.parametrize("cut", [{"chunk_tokens": 3, "micro_batch": 3}, {"chunk_tokens": 1000}])
def test_a_steps_target_is_that_of_its_first_group(tmp_path, cut):
    """Against a plain pass over each completion alone."""
    settings = settings_for(tmp_path, phi="inverse", plausible=0.0, fork_entropy=0.7, **cut)
    run = rapo_mini.Run(settings)
    rolled = step.rollout(run.policy, run.problems_of(0), settings, 0)
    asked = asked_of(run.policy, rolled, settings)
    rows = []
    real = rolled.prompt_mask[0].bool()
    for row in range(4):
        drawn = rolled.completions.tokens[row][rolled.completions.mask[row].bool()]
        ids = torch.cat([rolled.prompt_ids[0][real], drawn])[None]
        with reference_weights(run.policy) as model:
            logits = model(input_ids=ids).logits[0, int(real.sum()) - 1 : -1]
        flat = target_row(logits, torch.full((len(logits),), 1 / 2.2), "rapo", 0.0, 0.7)
        rows += zip(*(x.tolist() for x in distance(logits.log_softmax(-1), flat)), strict=True)
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    assert list(asked) == pytest.approx(means, rel=1e-3, abs=1e-6)
    assert asked.target_kl > 0


def test_arms_without_a_flattened_reference_have_nothing_to_measure(tmp_path):
    for arm in ("grpo", "rapo-light", "no-kl"):
        settings = settings_for(tmp_path, arm=arm)
        assert asked_of(None, None, settings) is None


def test_what_is_said():
    settings = settings_for("x")
    calm = in_words(Asked(0.01, 0.009, 0.007), settings)
    assert "0.010 nats" in calm and "--plausible" not in calm
    papers = settings_for("x", plausible=0.0, fork_entropy=0.0)
    for asked in (Asked(0.06, 0.007, 0.007), Asked(0.01, 0.02, 0.007)):
        for way in ("--plausible 0.01", "--fork-entropy 1"):
            assert way in in_words(asked, papers)
            assert way not in in_words(asked, settings), "it is set already"
        assert "--phi-min" in in_words(asked, settings)
    with pytest.raises(TooFlat, match="--plausible"):
        in_words(Asked(4.3, 0.638, 0.007), papers)
    sampled = settings_for("x", kl_form="sampled")
    for asked, much in ((Asked(0.06, 0.007, 0.007), False), (Asked(0.01, 0.02, 0.007), True)):
        assert ("that is a lot" in in_words(asked, sampled)) == much
    assert "63.8%" in in_words(Asked(4.3, 0.638, 0.007), sampled), "it looks at drawn tokens alone"


def test_a_run_says_it_before_the_first_step_and_logs_it_with_each(tmp_path, capsys):
    out = tmp_path / "run"
    assert rapo_mini.main(Settings(**SMALL, steps=2, out=str(out))) == 0
    assert capsys.readouterr().out.count("target: after a wrong answer") == 1
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= m["ref_tail"] <= 0.011 and m["target_kl"] >= 0 for m in lines)


def test_a_target_that_is_too_flat_is_refused_by_name(tmp_path, capsys):
    everywhere = {"phi_min": 0.0, "plausible": 0.0, "fork_entropy": 0.0}
    given = Settings(**SMALL, **everywhere, steps=2, out=str(tmp_path / "run"))
    assert rapo_mini.main(given) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("rapo_mini: ") and "--plausible" in error[-1]
    assert "above 2 nats" in error[-1] and "another --out" in error[-1]
