"""notebooks/theory.py against closed forms, conditions of optimality, and the project's own KLs."""

import doctest
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import lambertw

import theory
from objective import entropy, exact_forward_kl, exact_reverse_kl

ALPHAS = st.floats(0.02, 5)
BETAS = st.floats(0.01, 5)


@st.composite
def cases(draw, betas=BETAS):
    """(reward, ref, alpha, beta), ref with zeros at any places but never everywhere."""
    size = draw(st.integers(1, 9))
    weight = draw(
        st.lists(st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0]), min_size=size, max_size=size)
    )
    weight[draw(st.integers(0, size - 1))] = 0.5
    reward = draw(st.lists(st.floats(-2, 2), min_size=size, max_size=size))
    ref = np.array(weight) / sum(weight)
    return np.array(reward), ref, draw(ALPHAS), draw(betas)


def slope_at(pi, reward, ref, alpha, beta):
    return theory.slope(theory.log(pi), reward, ref, alpha, beta)


def test_the_examples_are_right():
    assert doctest.testmod(theory).failed == 0


# ---------------------------------------------------------------- the lemmas


def test_lemma_3_1_on_two_answers():
    """ref exp(r / alpha): a reward of alpha log 3 makes an answer three times as likely."""
    pi = theory.lemma_3_1([0, 2 * math.log(3)], [0.5, 0.5], alpha=2)
    assert pi == pytest.approx([0.25, 0.75], rel=1e-12)


def test_lemma_3_2_on_two_answers():
    """Without rewards it is ref to the power alpha / (alpha + beta): here the cube root."""
    pi = theory.lemma_3_2([0, 0], [27 / 28, 1 / 28], alpha=2, beta=4)
    assert pi == pytest.approx([0.75, 0.25], rel=1e-12)


@given(cases(st.one_of(st.just(0.0), BETAS)))
def test_the_reverse_kl_never_leaves_the_support(case):
    reward, ref, alpha, beta = case
    pi = theory.lemma_3_2(reward, ref, alpha, beta)
    assert (pi[ref == 0] == 0).all() and pi.sum() == pytest.approx(1)
    at = ref > 0  # d/d pi of r pi - alpha pi log(pi / ref) - beta pi log pi is one number there
    worth = reward[at] - alpha * np.log(pi[at] / ref[at]) - beta * np.log(pi[at])
    assert np.ptp(worth) < 1e-9


@pytest.mark.parametrize("rare", [1e-3, 1e-6, 1e-12])
def test_a_small_weight_lifts_what_is_rare_by_the_exponential_of_its_inverse(rare):
    """Only the rare answer is right: its odds grow by exp(1 / alpha), and 0 times that is 0."""
    for alpha in (0.5, 0.1, 0.02):
        pi = theory.lemma_3_1([0, 1, 1], [1 - rare, rare, 0], alpha)
        odds = math.log(pi[1] / pi[0]) - math.log(rare / (1 - rare))
        assert odds == pytest.approx(1 / alpha) and pi[2] == 0
    assert pi[1] > 0.99999999


# ---------------------------------------------------------------- Proposition 3.3


@given(st.floats(-2, 2), st.floats(1e-6, 5), st.floats(-3, 6), BETAS)
def test_the_root_of_one_answer_is_lamberts(reward, pull, lam, beta):
    """With y = 1/pi it is pull y + beta log y = lambda + beta - r, which the function W solves."""
    found = theory.log_inside(reward, pull, lam, beta)
    log_x = (lam + beta - reward) / beta + math.log(pull / beta)
    w = float(lambertw(math.exp(log_x)).real) if log_x < 300 else None
    if w:
        assert found == pytest.approx(math.log(pull / beta) - math.log(w), rel=1e-9, abs=1e-9)


@given(cases())
def test_proposition_3_3_solves_its_equations(case):
    reward, ref, alpha, beta = case
    pi, lam = theory.proposition_3_3(*case)
    assert pi.sum() == pytest.approx(1, abs=1e-12)
    assert slope_at(pi, *case) == pytest.approx(np.full(len(pi), lam), abs=1e-9)
    assert pi[ref == 0] == pytest.approx(np.exp(-1 - lam / beta + reward[ref == 0] / beta))
    h = -(pi @ np.log(np.maximum(pi, 1e-300)))
    assert lam == pytest.approx(reward @ pi + alpha + beta * h - beta, abs=1e-9)


@given(cases(st.one_of(st.just(0.0), BETAS)), st.integers(0, 99))
def test_no_other_policy_is_better(case, seed):
    pi, _ = theory.proposition_3_3(*case)
    other = np.random.default_rng(seed).dirichlet(np.ones(len(pi)))
    for mixed in (other, 0.99 * pi + 0.01 * other):
        assert theory.forward_objective(pi, *case) >= theory.forward_objective(mixed, *case) - 1e-12


def test_without_rewards_the_reference_is_best_and_entropy_flattens_it():
    ref = np.array([0.7, 0.3, 0.0])
    assert theory.proposition_3_3([0, 0, 0], ref, 0.5, 0.0).pi == pytest.approx(ref)
    flat = theory.proposition_3_3([0, 0, 0], ref, 1e-6, 1.0).pi
    assert flat == pytest.approx([1 / 3] * 3, abs=1e-5)


@pytest.mark.parametrize("beta", [0.1, 0.01])
def test_with_entropy_something_is_gained_wherever_the_reference_is_zero(beta):
    ref, rewards = theory.figure_2()
    for reward in rewards.values():
        assert (theory.proposition_3_3(reward, ref, 1.0, beta).pi > 0).all()


# ---------------------------------------------------------------- beta = 0, the boundary


def test_without_entropy_a_right_answer_inside_leaves_nothing_for_the_outside():
    ref, rewards = theory.figure_2()
    for name in ("nothing is rewarded", "token 5 is right, inside", "5 and 14 are right"):
        for alpha in (0.01, 0.1, 1.0):
            best = theory.proposition_3_3(rewards[name], ref, alpha, 0.0)
            assert (best.pi[ref == 0] == 0).all()
            assert best.lam > rewards[name].max()


@pytest.mark.parametrize(("alpha", "gained"), [(0.1, 0.9), (0.25, 0.75), (1.0, 0.0), (3.0, 0.0)])
def test_without_entropy_one_minus_alpha_is_gained_where_only_the_outside_is_right(alpha, gained):
    """max over q of q + alpha log(1 - q)."""
    ref, rewards = theory.figure_2()
    pi, _ = theory.proposition_3_3(rewards["token 14 is right, outside"], ref, alpha, 0.0)
    assert pi[14] == pytest.approx(gained, abs=1e-12)
    assert pi[ref > 0] == pytest.approx((1 - gained) * ref[ref > 0])
    assert pi[[0, 1, 2, 13, 15]].sum() == 0


def test_equal_answers_outside_share_what_is_gained():
    pi, _ = theory.proposition_3_3([0, 1, 1, 0], [1, 0, 0, 0], 0.25, 0.0)
    assert pi == pytest.approx([0.25, 0.375, 0.375, 0.0])


@given(cases(st.just(0.0)))
def test_without_entropy_no_move_pays(case):
    """Karush, Kuhn and Tucker: one slope where there is mass, no larger one elsewhere."""
    pi, lam = theory.proposition_3_3(*case)
    worth = slope_at(pi, *case)
    assert pi.sum() == pytest.approx(1, abs=1e-12)
    assert worth[pi > 0] == pytest.approx(np.full((pi > 0).sum(), lam), abs=1e-9)
    assert (worth[pi == 0] <= lam + 1e-9).all()


def test_little_entropy_is_nearly_none():
    ref, rewards = theory.figure_2()
    for reward in rewards.values():
        none, little = (theory.proposition_3_3(reward, ref, 0.3, beta).pi for beta in (0.0, 1e-4))
        assert little == pytest.approx(none, abs=1e-3)


# ---------------------------------------------------------------- Figure 2


@pytest.mark.parametrize("name", theory.figure_2()[1])
@pytest.mark.parametrize("beta", [0.0, 0.01, 0.1])
def test_figure_2_gradient_ascent_lies_on_the_root(name, beta):
    ref, rewards = theory.figure_2()
    climbed = theory.ascend(rewards[name], ref, 0.5, beta).pi
    assert climbed == pytest.approx(
        theory.proposition_3_3(rewards[name], ref, 0.5, beta).pi, abs=1e-9
    )


@settings(max_examples=30, deadline=None)
@given(cases())
def test_gradient_ascent_lies_on_the_root(case):
    assert theory.ascend(*case).pi == pytest.approx(theory.proposition_3_3(*case).pi, abs=1e-6)


def test_a_plain_step_gets_there_too():
    case = np.array([0, 0, 1.0]), np.array([0.7, 0.3, 0.0]), 0.5, 0.5
    climbed = theory.ascend(*case, plain=True).pi
    assert climbed == pytest.approx(theory.proposition_3_3(*case).pi, abs=1e-9)


def test_ascent_begins_at_the_uniform_policy_and_knows_no_root(monkeypatch):
    ref, rewards = theory.figure_2()
    monkeypatch.delattr(theory, "brentq")
    reward = rewards["5 and 14 are right"]
    near = theory.ascend(reward, ref, 0.5, 0.1, steps=1, plain=True).pi
    assert np.abs(near - 1 / 16).max() < 0.02


@given(cases())
def test_the_gradient_is_autograds(case):
    reward, ref, alpha, beta = (torch.as_tensor(x, dtype=torch.float64) for x in case)
    z = torch.linspace(-1, 1, len(ref), dtype=torch.float64, requires_grad=True)
    row = z.log_softmax(-1)
    kl = torch.where(ref > 0, ref * (ref.clamp_min(1e-300).log() - row), 0.0).sum()
    value = row.exp() @ reward - alpha * kl + beta * entropy(row)
    pi = row.detach().exp().numpy()
    assert theory.forward_objective(pi, *case) == pytest.approx(value.item(), abs=1e-12)
    worth = slope_at(pi, *case)
    truth = torch.autograd.grad(value, z)[0].numpy()
    assert pi * (worth - pi @ worth) == pytest.approx(truth, abs=1e-12)


# ---------------------------------------------------------------- the price of exploring


@given(st.floats(0.01, 0.99), st.floats(1e-12, 0.5))
def test_the_price_is_that_of_the_projects_kls(q, p):
    policy = torch.tensor([q, 0.4 * (1 - q), 0.6 * (1 - q)], dtype=torch.float64).log()
    ref = torch.tensor([p, 0.4 * (1 - p), 0.6 * (1 - p)], dtype=torch.float64).log()
    price = theory.price_of_exploring(q, p)
    assert float(price.forward) == pytest.approx(float(exact_forward_kl(policy, ref)), abs=1e-12)
    assert float(price.reverse) == pytest.approx(float(exact_reverse_kl(policy, ref)), abs=1e-12)


@pytest.mark.parametrize("q", [0.01, 0.1, 0.5, 0.9])
def test_exploring_has_a_bounded_price_under_the_forward_kl_alone(q):
    p = 10.0 ** -np.arange(3, 200, 20)
    forward, reverse = theory.price_of_exploring(q, p)
    assert forward[-1] == pytest.approx(-math.log(1 - q), abs=1e-9)
    assert (forward < -math.log(1 - q) + 1e-12).all()
    assert np.diff(reverse)[1:] == pytest.approx(20 * q * math.log(10), rel=1e-9)


# ---------------------------------------------------------------- what cannot be asked


@pytest.mark.parametrize(
    ("reward", "ref", "alpha", "beta", "says"),
    [
        ([0, 1], [0.5, 0.5, 0], 1, 1, "rows of one length"),
        ([0, math.nan], [0.5, 0.5], 1, 1, "has to be finite"),
        ([0, 1], [0.5, 0.6], 1, 1, "it sums to 1.1"),
        ([0, 1], [1.5, -0.5], 1, 1, "at least 0"),
        ([0, 1], [0.5, 0.5], 0, 1, "alpha 0 has to be above 0"),
        ([0, 1], [0.5, 0.5], 1, -1, "beta -1 at least 0"),
    ],
)
def test_what_is_no_problem_of_this_kind_is_named(reward, ref, alpha, beta, says):
    for solve in (theory.lemma_3_2, theory.proposition_3_3, theory.ascend):
        with pytest.raises(ValueError, match=says):
            solve(reward, ref, alpha, beta)
