"""pi_ref <- pi_theta, the end of an outer iteration of Algorithm 1."""

import json
from pathlib import Path

import pytest
import torch

import policy as room
import rapo_mini
from pass_at_k import count_correct
from settings import Settings, resolve
from watch.tracer import read_trace

pytestmark = pytest.mark.usefixtures("no_picture")
SMALL = {"prompts": 2, "group_size": 4, "max_new_tokens": 48, "threads": 1, "eval_problems": 0}
SMALL |= {"show_every": 0, "lr": 3e-3}
TIMES = ("seconds_sample", "seconds_verify", "seconds_learn", "tokens_per_second")


def new_run(out, **changed):
    return rapo_mini.Run(resolve(Settings(**(SMALL | {"out": str(out)} | changed)))[0])


def metrics_of(out):
    rows = [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


@pytest.mark.parametrize("arm", ["rapo-light", "grpo", "reverse-kl"])
def test_right_after_a_refresh_the_kl_is_zero(tmp_path, arm):
    run = new_run(tmp_path, arm=arm, refresh_reference=3)
    kl = [rapo_mini.train_step(run)[0]["kl"] for _ in range(4)]
    assert kl[2] > 5e-7, "the policy had left the base"
    assert abs(kl[3]) < 1e-9


def test_the_new_reference_is_the_policy_and_is_not_trained(tmp_path, prompts, small_policy):
    ids = torch.cat([p for p in prompts[:1]])
    policy = small_policy
    trained = [p for p in policy.trainable()]
    with room.sampling_weights(policy) as model:
        before = model(input_ids=ids).logits
    room.refresh_reference(policy)
    assert [id(p) for p in policy.trainable()] == [id(p) for p in trained]
    with torch.no_grad():
        for p in trained:
            p.add_(0.01)
    with room.reference_weights(policy) as reference:
        assert torch.equal(reference(input_ids=ids).logits, before)
    assert [id(p) for p in policy.trainable()] == [id(p) for p in trained]
    with torch.no_grad():
        assert not torch.equal(policy.model(input_ids=ids).logits, before)


def test_the_base_stays_the_base(tmp_path):
    """pass@k of "base" is that of the model before training, whatever the reference is now."""
    run = new_run(tmp_path, refresh_reference=2)
    options = {"samples": 8, "seed": 5, "adapter_on": False}
    before = count_correct(run.policy, run.problems[:4], run.settings, **options)
    for name, parameter in run.policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    room.refresh_reference(run.policy)
    after = count_correct(run.policy, run.problems[:4], run.settings, **options)
    assert before.tolist() == after.tolist() and before.sum() > 0


def test_a_resumed_run_is_bit_equal_across_a_refresh(tmp_path):
    """Stopped after the refresh and before the next one: the reference is saved with the state."""
    common = SMALL | {"arm": "rapo-light", "refresh_reference": 2}
    whole, half = tmp_path / "whole", tmp_path / "half"
    assert rapo_mini.main(Settings(**common, steps=6, out=str(whole))) == 0
    assert rapo_mini.main(Settings(**common, steps=3, out=str(half))) == 0
    assert rapo_mini.main(Settings(resume=str(half), steps=6)) == 0
    assert metrics_of(half) == metrics_of(whole)
    one, two = ((d / "adapter" / "adapter_model.safetensors").read_bytes() for d in (whole, half))
    assert one == two
    assert {p.name for p in (whole / "adapter").iterdir() if p.is_dir()} == set(), (
        "the adapter folder holds the policy alone"
    )


def test_a_trace_shows_the_refreshed_reference(tmp_path):
    given = SMALL | {"arm": "rapo-light", "refresh_reference": 2, "steps": 3, "trace_at": "2"}
    assert rapo_mini.main(Settings(**given, out=f"{tmp_path}/r", trace=f"{tmp_path}/t")) == 0
    (record,) = read_trace(tmp_path / "t")
    for completion in record["completions"]:
        columns = completion["columns"]
        assert columns["logp_ref"] == pytest.approx(columns["logp"], abs=1e-5)
