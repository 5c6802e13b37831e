"""machine/head.py: float32 logits from a 16-bit head, for the sampler and the scorer alike."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import policy as policy_room
import step
from machine import loading
from machine.head import WideProduct, widen
from problems import Problem
from settings import Settings, resolve


def test_logits_and_gradients_are_those_of_the_wide_product():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, 16, generator=generator).bfloat16()
    state = torch.randn(3, 5, 16, generator=generator).bfloat16().requires_grad_()
    wide = state.detach().float().requires_grad_()
    logits = WideProduct.apply(state, weight)
    expected = wide @ weight.float().T
    assert logits.dtype == torch.float32 and torch.equal(logits, expected)
    pull = torch.randn(logits.shape, generator=generator)
    (logits * pull).sum().backward()
    (expected * pull).sum().backward()
    assert state.grad.dtype == torch.bfloat16
    torch.testing.assert_close(state.grad.float(), wide.grad, rtol=0.02, atol=0.1)


def test_a_float32_head_is_left_as_it_is():
    head = nn.Linear(4, 3, bias=False)
    widen(head)
    assert "forward" not in vars(head)


PROBLEMS = [Problem("1, 2", "3"), Problem("What comes next: 3, 4, 5, 6?", "7")]


def sixteen_bit_step(small_base, tmp_path, monkeypatch, clip_eps=1e-6):
    """The metrics of a step in bfloat16 whose logits are large, and the dtypes that the head gave."""
    monkeypatch.setattr(loading, "compute_dtype", lambda _device: torch.bfloat16)
    policy = policy_room.load_policy(str(small_base), lora_r=4)
    head = policy.model.get_output_embeddings()
    head.weight.data *= 4  # so that a logit's own rounding is what parts sampler and trainer
    given = {"model": str(small_base), "data": "puzzles", "prompts": 2, "group_size": 64}
    given |= {"out": str(tmp_path), "max_new_tokens": 24, "micro_batch": 3, "clip_eps": clip_eps}
    settings, _ = resolve(Settings(**given))
    seen = set()
    hook = head.register_forward_hook(lambda _m, _i, out: seen.add(out.dtype))
    rolled = step.rollout(policy, PROBLEMS, settings, 0)
    rolled = replace(rolled, reward=torch.eye(2, 64))
    metrics = step.learn(policy, step.make_optimizer(policy, settings), rolled, settings).metrics
    hook.remove()
    return metrics, seen


def test_sampler_and_trainer_differ_less_than_with_a_narrow_head(small_base, tmp_path, monkeypatch):
    wide, seen = sixteen_bit_step(small_base, tmp_path, monkeypatch)
    assert seen == {torch.float32}
    monkeypatch.setattr(loading, "widen", lambda _head: None)
    narrow, seen = sixteen_bit_step(small_base, tmp_path, monkeypatch)
    assert seen == {torch.bfloat16}
    assert wide["parity_mean"] < 0.8 * narrow["parity_mean"], (wide, narrow)


def test_rounding_is_not_clipped(small_base, tmp_path, monkeypatch):
    """Before the first update pi_theta is pi_old, however tightly the ratio is clipped."""
    tight, _ = sixteen_bit_step(small_base, tmp_path, monkeypatch)
    wide, _ = sixteen_bit_step(small_base, tmp_path, monkeypatch, clip_eps=0.9)
    assert tight["parity_max"] > 1e-6 and tight["clip_fraction"] == 0
    assert tight["grad_norm"] == wide["grad_norm"]


@pytest.mark.parametrize(("overflows", "loss"), [(3, 0.5), (99, 0.5), (99, float("nan"))])
def test_a_float16_overflow_halves_the_loss_scale(
    small_base, tmp_path, monkeypatch, overflows, loss
):
    """And a loss that is no number is given up at once."""
    monkeypatch.setattr(loading, "compute_dtype", lambda _device: torch.float16)
    policy = policy_room.load_policy(str(small_base), lora_r=4)
    given = {"model": str(small_base), "data": "puzzles", "prompts": 2, "group_size": 2}
    settings, _ = resolve(Settings(**given, out=str(tmp_path), max_new_tokens=6))
    rolled = replace(step.rollout(policy, PROBLEMS, settings, 0), reward=torch.eye(2))
    backward, asked = step.backward, []

    def overflowing(policy, rolled, settings, pieces, halvings=0):
        found = backward(policy, rolled, settings, pieces, halvings)
        asked.append(halvings)
        if len(asked) <= overflows:
            policy.trainable()[0].grad[0, 0] = float("inf")
        return found | {"loss": loss}

    monkeypatch.setattr(step, "backward", overflowing)
    learned = step.learn(policy, step.make_optimizer(policy, settings), rolled, settings)
    tries = min(overflows + 1, step.HALVINGS) if loss == loss else 1
    assert asked == list(range(tries))
    assert learned.metrics["skipped"] == (overflows == 99)
