"""objective.py against the enumerated truth of `oracle.py`."""

import itertools
import math

import pytest
import torch
from oracle import COMPLETIONS, Oracle

import objective as o


@pytest.fixture
def oracle():
    return Oracle()


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-12)


def test_probabilities_sum_to_one(oracle):
    close(oracle.probability().sum(), torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("estimator", [o.k1, o.k3])
def test_k1_and_k3_have_the_reverse_kls_value(oracle, estimator):
    value, _ = oracle.expected_gradient(estimator, oracle.ref_logp)
    truth, _ = oracle.gradient_at_visited_states(o.exact_reverse_kl(oracle.logp(), oracle.ref_logp))
    close(value, truth)


def test_k1_differentiated_teaches_nothing(oracle):
    _, gradient = oracle.expected_gradient(o.k1, oracle.ref_logp)
    close(gradient, torch.zeros_like(gradient))


def test_k2_has_the_reverse_kls_gradient(oracle):
    _, gradient = oracle.expected_gradient(o.k2, oracle.ref_logp)
    _, truth = oracle.gradient_at_visited_states(o.exact_reverse_kl(oracle.logp(), oracle.ref_logp))
    close(gradient, truth)


def test_k3_has_the_forward_kls_gradient(oracle):
    """The surprise: GRPO's "reverse KL" pulls like the forward one."""
    _, gradient = oracle.expected_gradient(o.k3, oracle.ref_logp)
    _, truth = oracle.gradient_at_visited_states(o.exact_forward_kl(oracle.logp(), oracle.ref_logp))
    close(gradient, truth)


def test_rho_k3_has_the_reverse_kls_gradient(oracle):
    """What TRL 1.16 does when a KL is asked for; its value is k3's."""
    value, gradient = oracle.expected_gradient(
        lambda logp, ref_logp: o.rho_k3(logp, logp.detach(), ref_logp), oracle.ref_logp
    )
    truth, reverse = oracle.gradient_at_visited_states(
        o.exact_reverse_kl(oracle.logp(), oracle.ref_logp)
    )
    close(value, truth)
    close(gradient, reverse)


def test_k1_in_the_reward_has_the_reverse_kls_gradient(oracle):
    """As a number that weighs grad log pi, not as a loss that is differentiated itself."""
    _, gradient = oracle.expected_gradient(
        lambda logp, ref_logp: o.ratio(logp, logp.detach()) * o.k1(logp, ref_logp).detach(),
        oracle.ref_logp,
    )
    _, reverse = oracle.gradient_at_visited_states(
        o.exact_reverse_kl(oracle.logp(), oracle.ref_logp)
    )
    close(gradient, reverse)


def test_an_arm_that_weighs_its_kl_does_it_with_rho(oracle):
    _, _, _, terms = step_terms("grpo-unbiased", "sampled", phi=1.0)
    old = terms.logp.detach() - 0.3
    weighed = o.weigh_kl(terms, old, "grpo-unbiased")
    close(weighed.kl, terms.kl * math.exp(0.3))
    assert o.weigh_kl(terms, old, "grpo") is terms
    by_name = o.rho_k3(terms.logp, old, terms.log_u + terms.logp.detach())
    torch.testing.assert_close(weighed.kl, by_name)


@pytest.mark.parametrize("phi", [1.0, 0.5, 0.0])
def test_k_rapo_has_the_forward_kls_value_and_its_own_gradient(oracle, phi):
    """The other surprise: the gradient is -E_ref^[log u * grad log pi], not the forward KL's."""
    ref = o.reweight(oracle.ref_logp, torch.tensor(phi))
    value, gradient = oracle.expected_gradient(o.k_rapo, ref)
    truth, forward = oracle.gradient_at_visited_states(o.exact_forward_kl(oracle.logp(), ref))
    close(value, truth)
    log_u = (ref - oracle.logp()).detach()
    _, claimed = oracle.gradient_at_visited_states(-(ref.exp() * log_u * oracle.logp()).sum(dim=-1))
    close(gradient, claimed)
    assert torch.nn.functional.cosine_similarity(gradient.ravel(), forward.ravel(), dim=0) < 0.99


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_exact_kl_gradient_on_the_logits(oracle, direction):
    """Forward: pi - ref. Reverse: pi * (log pi/ref - D(pi || ref)). Written out by hand."""
    logp, ref = oracle.logp(), oracle.ref_logp
    kl = getattr(o, f"exact_{direction}_kl")(logp, ref)
    gradient = torch.autograd.grad(kl.sum(), oracle.theta)[0]
    pi = logp.detach().exp()
    by_hand = {
        "forward": pi - ref.exp(),
        "reverse": pi * (logp.detach() - ref - kl.detach()[:, None]),
    }
    close(gradient, by_hand[direction])


def test_entropy_is_that_of_the_enumerated_completions(oracle):
    """Sum over visited states of H(state) = entropy of the distribution over completions."""
    p = oracle.probability()
    close((oracle.visits() * o.entropy(oracle.logp().detach())).sum(), -(p * p.log()).sum())


def test_policy_gradient_is_that_of_the_expected_reward(oracle):
    """With rho = 1 the surrogate's gradient is the gradient of E[reward - mean], by enumeration."""
    reward = torch.rand(len(COMPLETIONS), dtype=torch.float64, generator=torch.manual_seed(1))
    advantage = reward - (oracle.probability() * reward).sum()
    logp = oracle.logp()[oracle.state, oracle.token]  # (125, T)
    value, clipped = o.clipped_surrogate(logp, logp.detach(), advantage[:, None], 0.2)
    surrogate = torch.autograd.grad((oracle.probability()[:, None] * value).sum(), oracle.theta)[0]
    expected_reward = (oracle.logp()[oracle.state, oracle.token].sum(dim=1).exp() * reward).sum()
    close(surrogate, torch.autograd.grad(expected_reward, oracle.theta)[0])
    assert not clipped.any()


@pytest.mark.parametrize(
    ("advantage", "rho", "value", "gradient"),
    [(1, 1.5, 1.2, 0), (1, 0.5, 0.5, 0.5), (-1, 0.5, -0.8, 0), (-1, 1.5, -1.5, -1.5)],
)
def test_clipping_acts_only_where_it_lowers_the_objective(advantage, rho, value, gradient):
    logp = torch.tensor([[rho]]).log().requires_grad_()
    got, clipped = o.clipped_surrogate(logp, torch.zeros(1, 1), torch.tensor([[advantage]]), 0.2)
    got.sum().backward()
    assert got.item() == pytest.approx(value)
    assert logp.grad.item() == pytest.approx(gradient)
    assert clipped.item() == (gradient == 0)


def test_advantages_have_mean_zero_and_variance_one_in_each_group():
    reward = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    advantage = o.group_advantages(reward)
    torch.testing.assert_close(advantage.mean(dim=1), torch.zeros(3))
    torch.testing.assert_close(advantage.square().mean(dim=1), torch.tensor([1.0, 1.0, 0.0]))
    assert advantage[1, 3] == pytest.approx(3**0.5)


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 0.9])
def test_equal_rewards_have_no_advantage_whatever_rounding_says(value):
    """The std of sixteen times 0.1 may be 6e-8."""
    reward = torch.full((1, 16), value)
    assert not o.group_advantages(reward).any() and not o.differ(reward).any()


def test_the_reweighted_reference_is_a_temperature():
    logits = torch.randn(4, 7, generator=torch.manual_seed(0))
    ref = logits.log_softmax(-1)
    for phi in (0.25, 0.5, 1.0):
        close(o.reweight(ref, torch.full((4, 1), phi)), (logits * phi).log_softmax(-1))
    close(o.reweight(ref, torch.zeros(4, 1)).exp(), torch.full((4, 7), 1 / 7))


def test_k_rapo_tends_to_one_where_the_reference_has_little():
    """The paper's argument for it: a bounded price for a token that ref^ hardly has."""
    value = o.k_rapo(torch.tensor(0.5).log(), torch.tensor([1e-4, 1e-8, 1e-30]).log())
    assert (value.diff() >= 0).all()
    torch.testing.assert_close(value[-1], torch.tensor(1.0))


@pytest.mark.parametrize("phi", [1.0, 0.7, 0.455, 0.0])
@pytest.mark.parametrize("plausible", [0.0, 0.01, 0.3])
def test_the_plausible_support_by_hand(phi, plausible):
    """Inside: the reference's mass there, in proportion to ref^phi. Outside: the reference. Sum: 1."""
    ref = torch.tensor([0.6, 0.25, 0.1, 0.0495, 0.0005], dtype=torch.float64)
    got = o.reweight(ref.log(), torch.tensor([phi], dtype=torch.float64), plausible).exp()
    inside = ref >= plausible * ref.max()
    by_hand = torch.where(inside, ref**phi * ref[inside].sum() / (ref[inside] ** phi).sum(), ref)
    close(got, by_hand)
    close(got.sum(), torch.tensor(1.0, dtype=torch.float64))
    if phi == 1:
        close(got, ref)
    if plausible == 0:
        close(got, ref**phi / (ref**phi).sum())
    else:
        assert got[-1] == pytest.approx(0.0005), "junk stays junk"


def test_the_plausible_targets_kl_has_the_gradient_of_the_target(oracle):
    ref = o.reweight(oracle.ref_logp, torch.tensor(0.3), plausible=0.2)
    kl = o.exact_forward_kl(oracle.logp(), ref)
    gradient = torch.autograd.grad(kl.sum(), oracle.theta)[0]
    close(gradient, oracle.logp().detach().exp() - ref.exp())
    assert not torch.allclose(ref, o.reweight(oracle.ref_logp, torch.tensor(0.3)))


def test_forks_are_flattened_and_the_rest_is_not():
    fork = torch.tensor([[0.25, 0.25, 0.25, 0.25]]).log()  # ln 4 nats
    sure = torch.tensor([[1 - 3e-6, 1e-6, 1e-6, 1e-6]]).log()
    phi = torch.tensor([[0.4]])
    close(o.phi_at_forks(phi, fork, 2 * math.log(4)), torch.tensor([[0.7]]))
    close(o.phi_at_forks(phi, fork, 1.0), phi)
    assert o.phi_at_forks(phi, sure, 1.0).item() == pytest.approx(1, abs=1e-4)
    assert o.phi_at_forks(phi, sure, 0.0) is phi


def test_the_target_of_a_token_has_its_support_and_its_forks():
    logits = torch.randn(6, 9, generator=torch.manual_seed(2)) * 3
    phi = torch.full((6,), 0.3)
    ref = logits.log_softmax(-1)
    focused = o.phi_at_forks(phi[:, None], ref, 0.8)
    close(o.target_row(logits, phi, "rapo", 0.05, 0.8), o.reweight(ref, focused, 0.05))
    close(o.target_row(logits, phi, "rapo-light", 0.05, 0.8), ref)


def test_phi_rises_from_phi_min_to_one():
    close(o.phi_of_reward(torch.tensor([0.0, 0.5, 1.0]), 0.4), torch.tensor([0.4, 0.7, 1.0]))


def test_the_papers_inverse_phi():
    """Eq. 16 with tau_max 2.2: right answers are flattened a little too."""
    found = o.phi_of_reward(torch.tensor([0.0, 1.0]), 1.0, "inverse", 2.2)
    torch.testing.assert_close(found, torch.tensor([0.455, 0.833]), rtol=0, atol=5e-4)


def test_the_papers_tanh_phi():
    """Eq. 17."""
    found = o.phi_of_reward(torch.tensor([0.0, 1.0]), 1.0, "tanh")
    torch.testing.assert_close(found, torch.tensor([0.5, 0.881]), rtol=0, atol=5e-4)


@pytest.mark.parametrize("phi", ["inverse", "tanh", "linear"])
def test_every_phi_rises_within_zero_and_one(phi):
    found = o.phi_of_reward(torch.linspace(0, 1, 50), 0.3, phi)
    assert (found.diff() > 0).all() and found[0] >= 0 and found[-1] <= 1


def step_terms(arm, form, phi, seed=0):
    """One step's terms on random rows: 4 completions of up to 3 tokens over 7 words."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(12, 7, generator=generator, requires_grad=True)
    ref_logits = torch.randn(12, 7, generator=generator)
    token = torch.randint(7, (12,), generator=generator)
    terms = o.token_terms(logits, ref_logits, token, torch.full((12,), phi), arm, form)
    return logits, ref_logits, token, o.TokenTerms(*(x.view(4, 3) for x in terms))


def test_max_rl_climbs_the_log_of_the_chance_to_be_right():
    """In the mean over groups that hold a right answer, A times the score is grad log p (enumerated)."""
    p, group = torch.tensor(0.3, requires_grad=True), 4
    outcomes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=group)))  # (16, G)
    chance = (p * outcomes + (1 - p) * (1 - outcomes)).prod(dim=1)  # (16,)
    score = outcomes / p - (1 - outcomes) / (1 - p)  # d log p(outcome) / dp
    push = (chance * (o.max_rl_advantages(outcomes) * score).mean(dim=1)).sum()
    climbed = sum((1 - p) ** (k - 1) for k in range(1, group))  # log p, its series cut at G - 1
    assert push.item() == pytest.approx(float(climbed.detach()), rel=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("right", [1, 2, 4])
def test_pass_at_k_training_is_what_its_attempts_say(k, right):
    """Every k of the group form an attempt: A by counting them all."""
    reward, group = torch.tensor([[1.0] * right + [0.0] * (6 - right)]), 6
    attempts = list(itertools.combinations(range(group), k))
    worth = torch.tensor([float(any(i < right for i in some)) for some in attempts])
    spread = worth.std(correction=0)
    scaled = (worth - worth.mean()) / spread if spread > 0 else torch.zeros_like(worth)
    truth = [
        float(
            torch.stack([a for a, some in zip(scaled, attempts, strict=True) if i in some]).mean()
        )
        for i in range(group)
    ]
    assert o.pass_at_k_advantages(reward, k)[0].tolist() == pytest.approx(truth, abs=1e-5)


def test_pass_at_one_training_is_grpos():
    reward = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert torch.allclose(o.pass_at_k_advantages(reward, 1), o.group_advantages(reward), atol=1e-6)


def test_the_weight_of_the_kl_may_differ_by_completion():
    """token_shares with one weight a completion is token_shares of each completion with its own."""
    *_, terms = step_terms("rapo", "exact", phi=0.5)
    terms = o.TokenTerms(*(x.view(3, 4) for x in terms))
    mask, old, advantage = torch.ones(3, 4), terms.logp.detach(), torch.tensor([1.0, -1.0, 0.0])
    same = {"beta": 0.0, "clip_eps": 0.2, "completions": 3}
    alpha = torch.tensor([0.1, 0.5, 0.0])
    shares, _ = o.token_shares(terms, old, advantage, mask, alpha=alpha, **same)
    for row, weight in enumerate(alpha.tolist()):
        alone, _ = o.token_shares(terms, old, advantage, mask, alpha=weight, **same)
        assert torch.equal(shares[row], alone[row])


@pytest.mark.parametrize("arm", list(o.ARMS))
def test_each_arm_uses_its_own_kl(arm):
    """The KL that reaches the loss, from raw logits, against the formula of the arm's name."""
    logits, ref_logits, token, terms = step_terms(arm, o.kl_form(arm), phi=0.5)
    pi, ref = logits.detach().softmax(-1), ref_logits.softmax(-1)
    flat = (ref_logits * 0.5).softmax(-1)
    token = token[:, None]
    w = (ref / pi).gather(1, token)[:, 0]
    truth = {
        "rapo": (flat * (flat / pi).log()).sum(-1),
        "rapo-light": (ref * (ref / pi).log()).sum(-1),
        "grpo": w - 1 - w.log(),
        "grpo-unbiased": w - 1 - w.log(),  # times rho, which is another function
        "reverse-kl": (pi * (pi / ref).log()).sum(-1),
        "no-kl": torch.zeros(12),
        "max-rl": torch.zeros(12),
        "pass-at-k": torch.zeros(12),
    }[arm]
    torch.testing.assert_close(terms.kl.detach().flatten(), truth, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        terms.logp.detach().flatten(), pi.gather(1, token)[:, 0].log(), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("arm", ["grpo", "reverse-kl"])
def test_no_kl_is_bit_equal_to_any_arm_with_weight_zero(arm):
    gradients = []
    for name in (arm, "no-kl"):
        logits, _, _, terms = step_terms(name, o.kl_form(name), phi=1.0)
        shares, _ = o.token_shares(
            terms,
            terms.logp.detach() + 0.1,
            torch.tensor([1.0, -1.0, 0.5, -0.5]),
            torch.ones(4, 3),
            alpha=0.0,
            beta=0.0,
            clip_eps=0.2,
            completions=4,
        )
        shares.sum().backward()
        gradients.append(logits.grad)
    assert torch.equal(*gradients)


def loss_options():
    return {"alpha": 0.1, "beta": 0.02, "clip_eps": 0.2, "completions": 4}


def test_the_loss_is_the_objective_written_out():
    """-mean_i mean_t (min(rho A, clip A) - alpha KL + beta H), term by term in plain Python."""
    _, _, _, terms = step_terms("rapo", "exact", phi=0.5)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]])
    advantage, old = torch.tensor([1.0, -1.0, 0.5, 0.0]), terms.logp.detach() - 0.3
    shares, _ = o.token_shares(terms, old, advantage, mask, **loss_options())
    total = 0.0
    for i in range(4):
        values = []
        for t in range(int(mask[i].sum())):
            rho = (terms.logp[i, t] - old[i, t]).exp().item()
            A = float(advantage[i])
            g = min(rho * A, max(0.8, min(1.2, rho)) * A)
            values.append(g - 0.1 * terms.kl[i, t].item() + 0.02 * terms.entropy[i, t].item())
        total -= sum(values) / len(values) / 4
    assert shares.sum().item() == pytest.approx(total, rel=1e-5)


def test_the_loss_does_not_depend_on_micro_batches_or_padding():
    _, _, _, terms = step_terms("rapo", "exact", phi=0.5)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]])
    advantage, old = torch.tensor([1.0, -1.0, 0.5, 0.0]), terms.logp.detach()
    whole, _ = o.token_shares(terms, old, advantage, mask, **loss_options())
    cut = 0.0
    for rows in ([0, 3], [1], [2]):
        width = int(mask[rows].sum(dim=1).max())
        part = o.TokenTerms(*(x[rows, :width] for x in terms))
        shares, _ = o.token_shares(
            part, old[rows, :width], advantage[rows], mask[rows, :width], **loss_options()
        )
        cut += shares.sum().item()
    assert cut == pytest.approx(whole.sum().item(), rel=1e-6)
    assert torch.equal(whole == 0, mask == 0)


def test_a_group_without_signal_still_moves_the_policy_in_rapo():
    """A = 0 for all, yet the flattened reference and the entropy have a gradient."""
    logits, _, _, terms = step_terms("rapo", "exact", phi=0.5)
    shares, _ = o.token_shares(
        terms, terms.logp.detach(), torch.zeros(4), torch.ones(4, 3), **loss_options()
    )
    shares.sum().backward()
    assert logits.grad.abs().sum() > 0.01


def test_a_ratio_too_large_for_sixteen_bits_is_computed_in_thirty_two():
    logits = torch.tensor([[0.0, 30.0]], dtype=torch.float16)
    terms = o.token_terms(logits, -logits, torch.tensor([0]), torch.ones(1), "rapo", "sampled")
    assert terms.kl.item() == pytest.approx(29 * math.exp(30), rel=1e-3)  # u log u - u, u = e^30


def test_effective_sample_size_counts_what_decides():
    mask = torch.tensor([[1, 1, 1, 0]])
    one_rules = torch.tensor([[50.0, 0.0, 0.0, 99.0]])  # the last one is padding
    assert o.effective_sample_size(one_rules, mask) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("arm", "form", "names"),
    [("ppo", "auto", "--arm"), ("grpo", "exact", "--kl-form"), ("rapo", "k9", "--kl-form")],
)
def test_arms_that_do_not_exist_are_named(arm, form, names):
    with pytest.raises(ValueError, match=names):
        o.kl_form(arm, form)
