"""The mathematics of RAPO, and of the arms it is compared with: pure functions on tensors.

What a step maximises, over groups of G completions that pi_old sampled for each prompt [paper, Eq. 11]:

    J(theta) = E[ 1/G sum_i ( g_i(theta) - alpha * D_KL(ref^_i || pi_theta) + beta * H(pi_theta) ) ]

The file goes through it from left to right: advantages, the clipped surrogate g, the reweighted
reference ref^, the KL in every form that is in use, the entropy H, and the loss -J.

The paper writes ref^(y|x) = pi_ref(y|x)^phi / Z for a whole answer y (Eq. 9) and applies it token by
token: phi acts on the next-token distribution, Z is the sum over the vocabulary. So does this file.

Where we depart from it [ours]. The paper estimates the KL at the sampled token (`k_rapo`, Eq. 13); by
default we take it exactly, over the whole vocabulary (`exact_forward_kl`). phi may be linear in the
reward. And a warning that holds for both: the states s_t = (x, y_<t) at which the KL is taken are those
that the policy visited, and no gradient runs through which states those are. So "forward KL" below means
the mean, over the policy's own states, of the forward KL between next-token distributions; the forward
KL between sequence distributions would take the mean over the reference's states.

Letters: P prompts, G completions each, B = P*G; T tokens of a completion (padded); V vocabulary.
All logs are natural: KL and entropy are in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# ---------------------------------------------------------------- reward -> advantage -> surrogate


def group_advantages(reward: Tensor) -> Tensor:
    """A_i = (r_i - mean) / std over each group [paper]; 0 where all rewards of a group are equal.

    reward (P, G) -> (P, G). The standard deviation is the population's (divided by G) [ours].

    >>> group_advantages(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    tensor([[ 1.7321, -0.5774, -0.5774, -0.5774],
            [ 0.0000,  0.0000,  0.0000,  0.0000]])
    """
    centred = reward - reward.mean(dim=1, keepdim=True)  # (P, G)
    std = reward.std(dim=1, keepdim=True, correction=0)  # (P, 1)
    return torch.where(differ(reward), centred / std.clamp_min(1e-12), torch.zeros_like(centred))


def differ(reward: Tensor) -> Tensor:
    """Which groups have an advantage: (P, G) -> (P, 1). Not by std, which rounding may lift above 0."""
    return reward.amax(dim=1, keepdim=True) > reward.amin(dim=1, keepdim=True)


def max_rl_advantages(reward: Tensor) -> Tensor:
    """A_i = (r_i - mean) / mean of each group; 0 where the mean is not above 0.

    reward (P, G) -> (P, G). In the mean over groups this climbs log p(right) instead of p(right), so a
    problem counts by 1/p. Source: Tajwar et al., "Maximum Likelihood Reinforcement Learning" (arXiv
    2602.02710, 2026).

    >>> max_rl_advantages(torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]]))
    tensor([[ 3.0000, -1.0000, -1.0000, -1.0000],
            [ 0.3333,  0.3333,  0.3333, -1.0000]])
    """
    mean = reward.mean(dim=1, keepdim=True)  # (P, 1)
    return torch.where(mean > 0, (reward - mean) / mean.clamp_min(1e-12), torch.zeros_like(reward))


PASS_AT_K_TRAINED = 4  # the k of the arm pass-at-k


def pass_at_k_advantages(reward: Tensor, k: int = PASS_AT_K_TRAINED) -> Tensor:
    """A of each completion if the reward is pass@k, in closed form; k = 1 gives `group_advantages`.

    reward (P, G) of 0 and 1 -> (P, G). Every k of a group's G completions form one attempt, right if any
    of them is; A is the mean, over the attempts that hold a completion, of the attempt's advantage. With
    p_k the share of right attempts and s = sqrt(p_k (1 - p_k)): (1 - p_k) / s for a right completion;
    for a wrong one 1 - p_k less the share of wrong attempts among those that hold it, over s; 0 where
    all attempts are alike. Source: Chen et al., "Pass@k Training" (arXiv 2508.10751, 2025).

    >>> pass_at_k_advantages(torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]), k=2)
    tensor([[ 1.0000, -0.3333, -0.3333, -0.3333],
            [ 0.4472,  0.4472, -0.4472, -0.4472]])
    """
    group = reward.shape[1]
    wrong = group - reward.sum(dim=1, keepdim=True)  # (P, 1)
    failed = share_drawn(wrong, group, k)  # (P, 1) 1 - p_k
    beside_wrong = share_drawn(wrong - 1, group - 1, k - 1)  # (P, 1)
    advantage = torch.where(reward > 0, failed, failed - beside_wrong)  # (P, G)
    std = (failed * (1 - failed)).sqrt()  # (P, 1)
    return torch.where(std > 0, advantage / std.clamp_min(1e-12), torch.zeros_like(reward))


def share_drawn(some: Tensor, of: int, k: int) -> Tensor:
    """C(some, k) / C(of, k): how often k draws without putting back hit only the `some` of `of`."""
    share = torch.ones_like(some)
    for i in range(k):
        share = share * (some - i).clamp_min(0) / (of - i)
    return share


def ratio(logp: Tensor, logp_old: Tensor) -> Tensor:
    """rho = pi_theta(y_t | s_t) / pi_old(y_t | s_t), from the logs. Any shape."""
    return (logp - logp_old).exp()


def clipped_surrogate(
    logp: Tensor, logp_old: Tensor, advantage: Tensor, clip_eps: float
) -> tuple[Tensor, Tensor]:
    """min(rho*A, clip(rho, 1-eps, 1+eps)*A) per token, and where the clip took hold [paper: GRPO's g].

    logp, logp_old (B, T); advantage (B, 1) -> both (B, T).

    >>> value, clipped = clipped_surrogate(
    ...     torch.tensor([[0.5, -0.5]]).exp().log(), torch.zeros(1, 2), torch.ones(1, 1), 0.2
    ... )
    >>> value, clipped
    (tensor([[1.2000, 0.6065]]), tensor([[ True, False]]))
    """
    rho = ratio(logp, logp_old)  # (B, T)
    unclipped = rho * advantage  # (B, T)
    clipped = rho.clamp(1 - clip_eps, 1 + clip_eps) * advantage  # (B, T)
    return torch.minimum(unclipped, clipped), clipped < unclipped


# ---------------------------------------------------------------- the reweighted reference


def phi_of_reward(
    reward: Tensor, phi_min: float, phi: str = "linear", tau_max: float = 2.2
) -> Tensor:
    """phi(r), the power of the reference: increasing in the reward, with values in [0, 1]. Any shape.

    inverse  1 / (tau_max - r)              [paper, Eq. 16; better on Qwen2.5-3B]
    tanh     (1 + tanh r) / 2               [paper, Eq. 17; slightly better on Qwen2.5-7B]
    linear   phi_min + (1 - phi_min) * r    [ours: right answers leave the reference as it is]

    >>> [phi_of_reward(torch.tensor([0.0, 1.0]), 0.5, phi) for phi in ("inverse", "tanh", "linear")]
    [tensor([0.4545, 0.8333]), tensor([0.5000, 0.8808]), tensor([0.5000, 1.0000])]
    """
    if phi == "inverse":
        return 1 / (tau_max - reward)
    if phi == "tanh":
        return (1 + torch.tanh(reward)) / 2
    return phi_min + (1 - phi_min) * reward


def phi_of_groups(
    reward: Tensor, phi_min: float, phi_from: str, phi: str = "linear", tau_max: float = 2.2
) -> Tensor:
    """phi(r) of each completion; phi_from "group" [ours] puts the group's mean reward in r's place.

    reward (P, G) -> (P, G).

    >>> phi_of_groups(torch.tensor([[0.0, 1.0]]), 0.5, "group")
    tensor([[0.7500, 0.7500]])
    """
    if phi_from == "group":
        reward = reward.mean(dim=1, keepdim=True).expand_as(reward)  # (P, G)
    return phi_of_reward(reward, phi_min, phi, tau_max)  # (P, G)


def advantage_and_phi(reward: Tensor, chosen, right_at: float = 1.0) -> tuple[Tensor, Tensor]:
    """A and phi of each completion: reward (P, G) -> two of (B,), B = P * G.

    chosen: a run's settings or scale's RAPOConfig, whose arm, phi, phi_min, phi_from and tau_max count.
    phi sees a reward outside [0, 1] as 0 or 1 [ours]. right_at: from which reward on a completion is
    right, for the arm pass-at-k, whose closed form knows right and wrong alone.
    """
    phi = phi_of_groups(
        reward.clamp(0, 1), chosen.phi_min, chosen.phi_from, chosen.phi, chosen.tau_max
    )  # (P, G)
    if chosen.arm == "pass-at-k":
        reward = (reward >= right_at).float()  # (P, G)
    return ARMS[chosen.arm].advantage(reward).flatten(), phi.flatten()


def reweight(ref_logp: Tensor, phi: Tensor, plausible: float = 0.0) -> Tensor:
    """log ref^ = log softmax(phi * log pi_ref): the reference at temperature 1/phi [paper, Eq. 9].

    ref_logp (..., V), phi (..., 1) or broadcastable -> (..., V). phi = 1 is the reference itself,
    phi = 0 the uniform distribution.

    plausible m > 0 [ours]: only the tokens with ref >= m * max ref share their mass anew, in proportion
    to ref^phi; all others keep what the reference gives them. Over a real vocabulary Eq. 9 alone would
    move most of the mass to tokens that no text has.

    >>> ref = torch.tensor([0.9, 0.1]).log()
    >>> reweight(ref, torch.tensor([0.5])).exp()
    tensor([0.7500, 0.2500])
    >>> reweight(torch.tensor([0.80, 0.19, 0.01]).log(), torch.tensor([0.0]), plausible=0.1).exp()
    tensor([0.4950, 0.4950, 0.0100])
    """
    if not plausible:
        return torch.log_softmax(phi * ref_logp, dim=-1)
    least = ref_logp.amax(dim=-1, keepdim=True) + math.log(plausible)  # (..., 1)
    outside = ref_logp < least  # (..., V)
    inside = ref_logp.masked_fill(outside, -math.inf)  # (..., V)
    shared = torch.log_softmax((phi * ref_logp).masked_fill(outside, -math.inf), dim=-1)
    return torch.where(outside, ref_logp, shared + inside.logsumexp(dim=-1, keepdim=True))


def phi_at_forks(phi: Tensor, ref_logp: Tensor, fork_entropy: float) -> Tensor:
    """phi_t = 1 - (1 - phi) * min(1, H_ref / H0): full at forks, 1 where the reference is sure [ours].

    phi (..., 1), ref_logp (..., V), fork_entropy H0 in nats (0: phi everywhere) -> (..., 1). A digit or
    the rest of a word leaves no choice, and flattening it only makes errors; which rule to try is a fork.

    >>> sure, fork = torch.tensor([1.0, 1e-9]).log(), torch.tensor([0.5, 0.5]).log()
    >>> [round(float(phi_at_forks(torch.tensor([0.4]), row, 0.5)), 3) for row in (sure, fork)]
    [1.0, 0.4]
    """
    if not fork_entropy:
        return phi
    focus = (entropy(ref_logp).unsqueeze(-1) / fork_entropy).clamp_max(1)  # (..., 1)
    return 1 - (1 - phi) * focus


# ---------------------------------------------------------------- the KL, estimated or exact
#
# When an estimator is used as a loss, only its gradient matters, not its value. With y ~ pi (rho = 1)
# the expected gradients are [ours; tests/test_objective.py checks each against an enumerated truth]:
#
#   k1 = log(pi/ref)               0
#   k2 = 1/2 log(pi/ref)^2         that of the REVERSE KL, D(pi || ref)
#   k3 = w - 1 - log w, w = ref/pi that of the FORWARD KL, D(ref || pi)
#   rho * k3                       that of the REVERSE KL
#   k1 put into the reward         that of the REVERSE KL
#   k_rapo = u log u - u + 1       -E_ref^[log u * grad log pi]: neither KL's
#   exact forward, exact reverse   their own
#
# In the spirit of Tang and Munos (arXiv 2506.09477); k1 to k3 are Schulman's ("Approximating KL
# Divergence", 2020). GRPO as published and verl differentiate k3. TRL 1.16 has no KL by default (beta =
# 0), and with one takes rho * k3 (use_bias_correction_kl).


def k1(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """log(pi/ref): its mean is the reverse KL, the mean of its gradient is zero. Any shape."""
    return logp - ref_logp


def k2(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """1/2 (log(pi/ref))^2: the mean of its gradient is the reverse KL's. Any shape."""
    return 0.5 * (logp - ref_logp).square()


def k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """w - 1 - log w with w = ref/pi, the KL term of GRPO [as published]. Any shape, >= 0.

    Its mean is the reverse KL; the mean of its gradient is the FORWARD KL's.

    >>> k3(torch.tensor([0.5]).log(), torch.tensor([0.25]).log())
    tensor([0.1931])
    """
    log_w = ref_logp - logp
    return torch.expm1(log_w) - log_w


def rho_k3(logp: Tensor, logp_old: Tensor, ref_logp: Tensor) -> Tensor:
    """k3 with the ratio in front: the mean of its gradient is the reverse KL's. Any shape.

    Source: TRL 1.16, use_bias_correction_kl.
    """
    return ratio(logp, logp_old) * k3(logp, ref_logp)


def k_rapo(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """u log u - u + 1 with u = ref^/pi, the paper's estimate of the forward KL [Eq. 13]. Any shape.

    Its mean is the forward KL D(ref^ || pi), because the mean of u is 1; the mean of its gradient is
    not the forward KL's.

    >>> k_rapo(torch.tensor([0.5]).log(), torch.tensor([0.25]).log())
    tensor([0.1534])
    """
    log_u = ref_logp - logp
    return log_u.exp() * log_u - torch.expm1(log_u)


def exact_forward_kl(logp_row: Tensor, ref_logp_row: Tensor) -> Tensor:
    """sum_v ref(v) (log ref(v) - log pi(v)): rows (..., V) -> (...). No sampling noise at a state."""
    return (ref_logp_row.exp() * (ref_logp_row - logp_row)).sum(dim=-1)


def exact_reverse_kl(logp_row: Tensor, ref_logp_row: Tensor) -> Tensor:
    """sum_v pi(v) (log pi(v) - log ref(v)): rows (..., V) -> (...)."""
    return exact_forward_kl(ref_logp_row, logp_row)


def entropy(logp_row: Tensor) -> Tensor:
    """H = -sum_v pi(v) log pi(v): rows (..., V) -> (...)."""
    return -(logp_row.exp() * logp_row).sum(dim=-1)


# ---------------------------------------------------------------- the arms


@dataclass(frozen=True)
class Arm:
    """All that an arm is: its advantage, KL, default weights, symbols, look, and the flags that help.

    `sampled` sees the log-probs (N,) of the sampled tokens, `exact` the rows (N, V); None: that form
    does not exist for this arm. The weights are those for the bundled base (docs/results.md).
    """

    sampled: Callable[[Tensor, Tensor], Tensor] | None
    exact: Callable[[Tensor, Tensor], Tensor] | None
    default_form: str  # of the KL
    alpha: float  # weight of the KL
    colour: str  # in every figure (Okabe and Ito) ...
    dashes: str | tuple  # ... and its stroke: some pairs of the colours are one to the colour-blind
    symbols: dict[str, str]  # form -> what stands behind -alpha in J
    remedy: str  # the flags to change when the policy dissolves into noise
    reweighted: bool = False  # is the reference flattened by phi?
    weighed: bool = False  # is the KL multiplied by rho?
    beta: float = 0.0  # weight of the entropy
    phi_min: float = 1.0  # phi where the reward is 0
    fork_entropy: float = 0.0  # nats
    advantage: Callable[[Tensor], Tensor] = group_advantages  # rewards (P, G) -> A (P, G)


ARMS = {
    "rapo": Arm(
        k_rapo,
        exact_forward_kl,
        "exact",
        alpha=0.1,
        colour="#0072b2",
        dashes="-",
        symbols={"exact": "D_KL(ref^ ‖ π_θ)", "sampled": "k = u log u − u + 1, u = ref^/π_θ"},
        remedy="lower --alpha or --beta, or raise --phi-min",
        reweighted=True,
        phi_min=0.3,
        fork_entropy=1.0,
    ),
    "rapo-light": Arm(  # RAPO with phi = 1 for every reward
        k_rapo,
        exact_forward_kl,
        "exact",
        alpha=0.03,
        colour="#56b4e9",
        dashes="--",
        symbols={"exact": "D_KL(π_ref ‖ π_θ)", "sampled": "k = u log u − u + 1, u = π_ref/π_θ"},
        remedy="lower --lr, or --beta where it is above 0",
    ),
    "grpo": Arm(
        k3,
        None,
        "sampled",
        alpha=0.03,
        colour="#e69f00",
        dashes="--",
        symbols={"sampled": "k_3 = w − 1 − log w, w = π_ref/π_θ"},
        remedy="lower --lr, or --beta where it is above 0",
    ),
    "grpo-unbiased": Arm(
        k3,
        None,
        "sampled",
        alpha=0.03,
        colour="#009e73",
        dashes=(0, (6, 1, 1, 1, 1, 1)),
        symbols={"sampled": "ρ k_3, k_3 = w − 1 − log w, w = π_ref/π_θ"},
        remedy="lower --lr, or --beta where it is above 0",
        weighed=True,
    ),
    "reverse-kl": Arm(
        k2,
        exact_reverse_kl,
        "exact",
        alpha=0.03,
        colour="#cc79a7",
        dashes="-.",
        symbols={"exact": "D_KL(π_θ ‖ π_ref)", "sampled": "k_2 = ½ (log π_θ/π_ref)²"},
        remedy="lower --lr, or --beta where it is above 0",
    ),
    "no-kl": Arm(
        None,
        None,
        "none",
        alpha=0.0,
        colour="#d55e00",
        dashes=":",
        symbols={},
        remedy="lower --lr, or --beta where it is above 0",
    ),
    "max-rl": Arm(  # two arms of others, that differ from no-kl in the advantage alone
        None,
        None,
        "none",
        alpha=0.0,
        colour="#8a7a00",
        dashes="-.",
        symbols={},
        remedy="lower --lr, or --beta where it is above 0",
        advantage=max_rl_advantages,
    ),
    "pass-at-k": Arm(
        None,
        None,
        "none",
        alpha=0.0,
        colour="#000000",
        dashes="-.",
        symbols={},
        remedy="lower --lr, or --beta where it is above 0",
        advantage=pass_at_k_advantages,
    ),
}


def kl_form(arm: str, form: str = "auto") -> str:
    """The form of the KL that an arm uses: "exact", "sampled", or "none".

    Raises ValueError for an unknown arm, or for a form that the arm does not have.

    >>> kl_form("rapo"), kl_form("grpo"), kl_form("rapo", "sampled")
    ('exact', 'sampled', 'sampled')
    """
    if arm not in ARMS:
        raise ValueError(f"arm {arm!r} is not one of {', '.join(ARMS)} (--arm)")
    if form == "auto" or ARMS[arm].default_form == "none":
        return ARMS[arm].default_form
    if getattr(ARMS[arm], form, None) is None:
        raise ValueError(
            f"arm {arm!r} has no {form!r} KL, only {ARMS[arm].default_form!r} "
            f"(--kl-form {ARMS[arm].default_form}, or another --arm)"
        )
    return form


class TokenTerms(NamedTuple):
    """What one step needs at each sampled token; every field (N,), N tokens in any order."""

    logp: Tensor  # log pi_theta(y_t | s_t)
    entropy: Tensor  # H(pi_theta(. | s_t)), nats
    kl: Tensor  # the arm's KL contribution, nats
    log_u: Tensor  # log ref^(y_t | s_t) - log pi_theta(y_t | s_t), no gradient


def token_terms(
    logits: Tensor,
    ref_logits: Tensor | None,
    token: Tensor,
    phi: Tensor,
    arm: str,
    form: str,
    plausible: float = 0.0,
    fork_entropy: float = 0.0,
) -> TokenTerms:
    """From rows of logits (already divided by the temperature) to the numbers of the loss.

    logits, ref_logits (N, V); token, phi (N,) -> TokenTerms of (N,). Everything is float32, because
    u = ref^/pi overflows in 16 bits. Without ref_logits, or with form "none", KL and log_u are 0.
    plausible, fork_entropy: where the reference is flattened, as `target_row` says.
    """
    row = torch.log_softmax(logits.float(), dim=-1)  # (N, V)
    logp = row.gather(-1, token[:, None])[:, 0]  # (N,)
    if ref_logits is None or form == "none":
        zero = torch.zeros_like(logp)  # (N,)
        return TokenTerms(logp, entropy(row), zero, zero)
    target = target_row(ref_logits, phi, arm, plausible, fork_entropy)  # (N, V) log ref^
    target_logp = target.gather(-1, token[:, None])[:, 0]  # (N,)
    if form == "exact":
        kl = ARMS[arm].exact(row, target)  # (N,)
    else:
        kl = ARMS[arm].sampled(logp, target_logp)  # (N,)
    return TokenTerms(logp, entropy(row), kl, (target_logp - logp).detach())


def weigh_kl(terms: TokenTerms, logp_old: Tensor, arm: str) -> TokenTerms:
    """The terms, their KL multiplied by rho for an arm that needs it. logp_old and all fields (b, T)."""
    if not ARMS[arm].weighed:
        return terms
    return terms._replace(kl=ratio(terms.logp, logp_old) * terms.kl)


def target_row(
    ref_logits: Tensor, phi: Tensor, arm: str, plausible: float = 0.0, fork_entropy: float = 0.0
) -> Tensor:
    """log ref^, what the arm's KL pulls towards: pi_ref, flattened by phi if the arm reweights it.

    ref_logits (N, V) divided by the temperature; phi (N,) -> (N, V). plausible and fork_entropy as for
    `reweight` and `phi_at_forks`; 0 and 0 are the paper's Eq. 9.
    """
    ref_row = torch.log_softmax(ref_logits.float(), dim=-1)  # (N, V)
    if not ARMS[arm].reweighted:
        return ref_row
    return reweight(ref_row, phi_at_forks(phi[:, None], ref_row, fork_entropy), plausible)


# ---------------------------------------------------------------- the loss


def token_shares(
    terms: TokenTerms,
    logp_old: Tensor,
    advantage: Tensor,
    mask: Tensor,
    *,
    alpha: Tensor | float,
    beta: float,
    clip_eps: float,
    completions: int,
) -> tuple[Tensor, Tensor]:
    """Each token's share of the loss -J (their sum is the loss), and where the surrogate was clipped.

    terms, logp_old, mask (b, T); advantage (b,); alpha (b,) or one number -> two of (b, T). The tokens of
    a completion are averaged, then the completions [paper]. `completions` is B, that of the whole step
    and not of this micro-batch: so shares do not depend on how a step is cut up.
    """
    alpha = alpha[:, None] if isinstance(alpha, Tensor) else alpha  # (b, 1)
    objective, clipped = token_objective(
        terms, logp_old, advantage[:, None], alpha=alpha, beta=beta, clip_eps=clip_eps
    )
    return -objective * completion_weights(mask, completions), clipped & mask.bool()


def token_objective(
    terms: TokenTerms,
    logp_old: Tensor,
    advantage: Tensor,
    *,
    alpha: Tensor | float,
    beta: float,
    clip_eps: float,
) -> tuple[Tensor, Tensor]:
    """g - alpha * KL + beta * H of each token [paper], and where the clip took hold.

    terms, logp_old (b, T); advantage, alpha (b, 1), or (b, T) if tokens differ in them -> two of (b, T).
    """
    surrogate, clipped = clipped_surrogate(terms.logp, logp_old, advantage, clip_eps)
    return surrogate - alpha * terms.kl + beta * terms.entropy, clipped


def completion_weights(mask: Tensor, completions: int) -> Tensor:
    """The weight of each token in "mean over a completion's tokens, then over completions".

    mask (b, T) -> (b, T); over a whole step the weights sum to 1.

    >>> completion_weights(torch.tensor([[1, 1, 0], [1, 0, 0]]), completions=2)
    tensor([[0.2500, 0.2500, 0.0000],
            [0.5000, 0.0000, 0.0000]])
    """
    return mask / mask.sum(dim=1, keepdim=True).clamp_min(1) / completions


def effective_sample_size(log_u: Tensor, mask: Tensor) -> float:
    """(sum u)^2 / sum u^2 over the sampled tokens, as a share of their number: 1 is best [ours].

    log_u, mask (B, T). Near 0, a handful of tokens decide the sampled KL.

    >>> effective_sample_size(torch.zeros(2, 3), torch.ones(2, 3))
    1.0
    """
    log_u = log_u[mask.bool()]
    ess = 2 * torch.logsumexp(log_u, 0) - torch.logsumexp(2 * log_u, 0)
    return float(ess.exp() / log_u.numel())
