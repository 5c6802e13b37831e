"""benchmarks/kl_gradients.py: the estimator table of objective.py, on a language model's own states."""

import pytest
import torch
from small_models import let_the_adapter_act

from benchmarks import kl_gradients as room
from policy import load_policy
from problems import puzzles
from settings import BUNDLED_BASE, Settings, resolve
from step import rollout

FORWARD, REVERSE, FORWARD_FLAT, _ = room.TRUTHS


@pytest.fixture(scope="module")
def found():
    """The gradients at the states of a policy that an adapter has moved off its reference."""
    policy = let_the_adapter_act(load_policy(str(BUNDLED_BASE)))
    options = room.Options(adapter=None, prompts=3, group_size=4)
    settings, _ = resolve(Settings(model=str(BUNDLED_BASE), group_size=4))
    return room.gradients(
        policy, rollout(policy, puzzles("validation", 3), settings, 0), options, 5
    )


def cosine(found, name, truth):
    return float(torch.cosine_similarity(found[name], found[truth], dim=0))


def test_the_two_kls_pull_in_different_directions(found):
    """Else none of what follows would say anything."""
    assert cosine(found, FORWARD, REVERSE) < 0.95


@pytest.mark.parametrize(
    ("name", "truth"), [("grpo (k3)", FORWARD), ("reverse-kl, sampled (k2)", REVERSE)]
)
def test_what_an_estimator_pulls_like(found, name, truth):
    assert cosine(found, name, truth) == pytest.approx(1, abs=1e-4)
    assert found[name].norm() == pytest.approx(float(found[truth].norm()), rel=1e-3)


def test_k1_pulls_nowhere_and_rapos_own_estimator_elsewhere(found):
    assert found["k1"].norm() < 1e-5 * found[REVERSE].norm()
    name = "rapo, sampled (u log u - u + 1)"
    assert cosine(found, name, FORWARD_FLAT) < 0.999


def test_rapos_own_estimator_pulls_by_log_u():
    """-E_ref^[log u * grad log pi], on the logits of random rows: ref^ log u, centred by pi."""
    torch.manual_seed(0)
    logits, ref, flat = torch.randn(3, 4, 9).unbind()
    logits.requires_grad_()
    logp, flat = logits.log_softmax(-1), flat.log_softmax(-1)
    name = "rapo, sampled (u log u - u + 1)"
    loss = room.losses(logp, ref.log_softmax(-1), flat, torch.zeros(4, dtype=torch.long))[name]
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    pull = flat.exp() * (flat - logp.detach())  # (4, 9)
    expected = logp.detach().exp() * pull.sum(-1, keepdim=True) - pull
    torch.testing.assert_close(gradient, expected)


def test_drawn_tokens_give_the_expected_gradient_and_noise(found):
    assert 0 < cosine(found, "grpo (k3), at the drawn tokens", "grpo (k3)") < 0.999
