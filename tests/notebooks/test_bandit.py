"""The rule bandit: its mean is the mean of its samples, and it shows what the notebook says."""

import doctest

import pytest
import torch

import bandit
from bandit import Knobs, expected_push, expected_reward_push, reference, run, sampled_push
from objective import ARMS


def some_policy(seed=0):
    """log pi (S, V), away from the reference."""
    logits = reference(1e-3).expand(8, -1)
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
    return torch.log_softmax(logits + 0.3 * noise, dim=1)


def test_the_examples():
    assert doctest.testmod(bandit).failed == 0


@pytest.mark.parametrize("arm", ["no-kl", "reverse-kl", "rapo"])
def test_the_mean_of_drawn_pushes_is_the_expected_push(arm):
    logp, ref, knobs = some_policy(), reference(1e-3), Knobs(arm, prompts=120_000)
    drawn = sampled_push(logp, ref, knobs, torch.Generator().manual_seed(1))
    wanted = expected_push(logp, ref, knobs)
    assert float((drawn - wanted).abs().max()) < 0.05 * float(wanted.abs().max())


def test_a_push_on_logits_sums_to_nothing():
    push = expected_reward_push(some_policy().exp(), 16)
    assert torch.allclose(push.sum(dim=1), torch.zeros(8, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("arm", ["rapo-light", "reverse-kl", "rapo"])
def test_the_kl_pushes_down_its_own_gradient(arm):
    ref, knobs = reference(1e-3), Knobs(arm, alpha=0.7, phi_min=0.4)
    logits = some_policy(2).clone().requires_grad_()
    logp = torch.log_softmax(logits, dim=1)
    wrong = torch.full((8, 1), 0.25, dtype=torch.float64)
    flat = bandit.reweight(ref, torch.tensor(0.4)) if arm == "rapo" else ref
    kl = ARMS[arm].exact
    loss = 0.75 * kl(logp, ref.expand(8, -1)) + 0.25 * kl(logp, flat.expand(8, -1))
    gradient = torch.autograd.grad(0.7 * loss.sum(), logits)[0]
    pushed = bandit.kl_push(logp.detach(), ref, wrong, knobs)
    assert torch.allclose(pushed, -gradient, atol=1e-10)


def test_a_rare_rule_is_pulled_in_proportion():
    one, ten = (float(bandit.strength(torch.tensor(p).double(), 16)) for p in (1e-5, 1e-4))
    assert ten / one == pytest.approx(10, rel=0.01)


def test_without_a_kl_it_forgets_and_rapo_does_not():
    base = float(run(Knobs(steps=1)).pass_at_k(64)[0])
    ends = {
        arm: float(run(Knobs(arm, alpha=0.1)).pass_at_k(64)[-1])
        for arm in ("no-kl", "reverse-kl", "rapo-light", "rapo")
    }
    assert list(ends) == sorted(ends, key=ends.get)
    assert ends["no-kl"] < base < ends["rapo"]


def test_flattening_too_much_dissolves_and_plausible_tokens_do_not():
    flat = Knobs(alpha=0.3, phi_min=0.1, nonsense=1e-4)
    spared = Knobs(alpha=0.3, phi_min=0.1, nonsense=1e-4, plausible=0.001)
    assert float(run(flat).nonsense()[-1]) > 10 * float(run(spared).nonsense()[-1])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"arm": "gspo"}, "'gspo' is none of"),
        ({"phi_min": 2}, "phi_min 2"),
        ({"nonsense": 0.5}, "nonsense 0.5"),
        ({"alpha": -1}, "alpha -1"),
    ],
)
def test_a_knob_that_makes_no_sense_is_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        Knobs(**wrong)
