"""One training step in two verbs, with one record between them.

    rollout(policy, problems)  ->  Rollout      y ~ pi_old for each prompt, and their rewards
    learn(policy, ..., rollout) -> Learned      one step up the objective J of `objective.py`

Everything here is plumbing between the modules that do the work: `sampler`, `verifier`, `policy` and
`objective`. The README explains each metric.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from machine.devices import empty_cache
from machine.limit import Pieces, learn_less, pieces_of, within_memory
from machine.shared_prompts import row_order
from machine.slow import slow
from objective import (
    TokenTerms,
    advantage_and_phi,
    completion_weights,
    differ,
    effective_sample_size,
    token_shares,
    token_terms,
    weigh_kl,
)
from policy import Policy, decode, encode_prompts, sampling_weights, score
from problems import Judge, Problem, render_prompt
from sampler import Completions, sample_within_memory
from settings import Settings
from verifier import Verdict

MAX_GRAD_NORM = 1.0  # gradients are scaled down to this norm
HALVINGS = 9  # of float16's loss scale, in a step whose gradient overflows

# ---------------------------------------------------------------- rollout


@dataclass(frozen=True)
class Rollout:
    """What one step sampled. P prompts, G completions each, B = P * G rows; row p * G + g."""

    problems: list[Problem]  # P
    prompt_ids: Tensor  # (P, L), padded on the left
    prompt_mask: Tensor  # (P, L)
    completions: Completions  # tokens, mask, logp (B, T), ended (B,)
    texts: list[str]  # B
    verdicts: list[Verdict]  # B
    reward: Tensor  # (P, G) float32
    pieces: Pieces  # the sizes that the step is cut into, as memory allowed so far
    seconds: dict[str, float]  # {"sample": ..., "verify": ...}
    rewards: dict[str, float] = field(default_factory=dict)  # means, where --reward names several


def rollout(
    policy: Policy,
    problems: list[Problem],
    settings: Settings,
    step: int,
    pieces: Pieces | None = None,
    judge: Judge | None = None,
) -> Rollout:
    """Sample a group for each problem and have it judged. pieces, judge: None as the settings say.

    All randomness is a function of (settings.seed, step): a resumed run samples what the whole run
    would have sampled.
    """
    began = time.perf_counter()
    pieces = pieces or pieces_of(settings)
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    prompt_ids, prompt_mask = prompts_of(policy, problems, settings)  # (P, L)
    with sampling_weights(policy) as model:
        completions, rows = sample_groups(
            policy,
            model,
            (prompt_ids, prompt_mask),
            settings,
            group_size=settings.group_size,
            rows_at_once=pieces.sample_rows,
            generator=generator,
        )
    empty_cache()
    sampled = time.perf_counter()
    texts = decode(policy, completions.tokens, completions.mask)
    verdicts, rewards = (judge or Judge(settings))(problems, texts)
    reward = torch.tensor([v.reward for v in verdicts]).view(len(problems), -1)  # (P, G)
    return Rollout(
        problems,
        prompt_ids,
        prompt_mask,
        completions,
        texts,
        verdicts,
        reward,
        pieces._replace(sample_rows=rows),
        seconds={"sample": sampled - began, "verify": time.perf_counter() - sampled},
        rewards=rewards,
    )


def prompts_of(
    policy: Policy, problems: Sequence[Problem], settings: Settings
) -> tuple[Tensor, Tensor]:
    """Token ids and mask of the problems' prompts, each (P, L), padded on the left."""
    return encode_prompts(policy, [render_prompt(settings.prompt_template, p) for p in problems])


def sample_groups(
    policy: Policy,
    model: nn.Module,
    prompts: tuple[Tensor, Tensor],
    settings: Settings,
    *,
    group_size: int,
    rows_at_once: int,
    generator: torch.Generator,
    top_p: float = 1.0,
) -> tuple[Completions, int]:
    """`group_size` completions a prompt, and how many were sampled at a time: `sampler.sample`, as set.

    model: the weights to sample from, the policy's or the base's; prompts: from `prompts_of`; top_p: for
    evaluation only, a rollout never sets it.
    """
    return sample_within_memory(
        model,
        *prompts,
        group_size=group_size,
        rows_at_once=rows_at_once,
        generator=generator,
        top_p=top_p,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        fixed=settings.fixed_decode,
        end_ids=policy.end_ids,
        pad_id=policy.pad_id,
    )


# ---------------------------------------------------------------- learn


class Learned(NamedTuple):
    """The result of one step's gradient updates."""

    metrics: dict  # for the step's line of metrics.jsonl
    pieces: Pieces  # into what the step was cut: halved where memory ran out


def make_optimizer(policy: Policy, settings: Settings) -> torch.optim.Optimizer:
    """AdamW on the adapter, its state in 32 bits or, through bitsandbytes, in 8."""
    options = {"lr": settings.lr, "weight_decay": 0.0}
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(policy.trainable(), **options)
    try:
        from bitsandbytes.optim import AdamW8bit, PagedAdamW8bit
    except ImportError as error:
        raise ValueError(
            f"--optimizer {settings.optimizer} needs the package bitsandbytes: "
            "pip install bitsandbytes, or --optimizer adamw"
        ) from error
    kind = {"adamw8bit": AdamW8bit, "paged_adamw8bit": PagedAdamW8bit}[settings.optimizer]
    return kind(policy.trainable(), **options)


def learn(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    rolled: Rollout,
    settings: Settings,
    watch: Callable[[int, dict, Pieces], None] | None = None,
) -> Learned:
    """One rollout's gradient updates.

    An update whose loss or gradient is not finite changes nothing and is the last: "skipped" is True.

    watch: called before each update with its number, its metrics and its pieces; it may look at the
    policy and must not change it.
    """
    began = time.perf_counter()
    pieces, parity = rolled.pieces, {}

    def attempt(pieces: Pieces, settings: Settings, halvings: int) -> dict:
        optimizer.zero_grad()
        return backward(policy, rolled, settings, pieces, halvings)

    for update in range(settings.updates):
        asked = settings_at(update, policy, settings)
        for halvings in loss_scale_halvings(policy):
            tried = partial(attempt, settings=asked, halvings=halvings)
            metrics, pieces = within_memory(tried, pieces, learn_less)
            norm = torch.nn.utils.clip_grad_norm_(policy.trainable(), MAX_GRAD_NORM)
            sound = math.isfinite(metrics["loss"])
            finite = sound and math.isfinite(norm)
            if finite or not sound:  # no scale mends a loss
                break
        metrics |= {"grad_norm": float(norm), "skipped": not finite}
        if watch:
            watch(update, metrics, pieces)
        # Before any update pi_theta is pi_old: there sampler and trainer must agree.
        parity = parity or {key: metrics[key] for key in ("parity_mean", "parity_max")}
        if metrics["skipped"]:
            break
        optimizer.step()
    empty_cache()
    tokens = int(rolled.completions.mask.sum())
    seconds = {f"seconds_{name}": s for name, s in rolled.seconds.items()}
    seconds["seconds_learn"] = time.perf_counter() - began
    speed = {"tokens": tokens, "tokens_per_second": tokens / sum(seconds.values())}
    before = rollout_metrics(rolled, settings.right_at)
    metrics = before | metrics | parity | pieces._asdict() | speed | seconds
    return Learned(metrics, pieces)


def settings_at(update: int, policy: Policy, settings: Settings) -> Settings:
    """Those of an update. In 16 bits the first clips nothing: only rounding parts pi_theta and pi_old."""
    if update == 0 and policy.dtype != torch.float32:
        return replace(settings, clip_eps=math.inf)
    return settings


def backward(
    policy: Policy, rolled: Rollout, settings: Settings, pieces: Pieces, halvings: int = 0
) -> dict:
    """Accumulate the gradient of the step's loss -J, micro-batch by micro-batch; sums over the step.

    Every sum is weighted by the whole step's numbers, so the cut changes memory and last digits only.
    halvings: of the loss scale.
    """
    scale = loss_scale(policy, rolled.completions.mask) / 2**halvings
    sums: Counter = Counter()
    log_u, gaps = [], []
    batches = -(-len(rolled.texts) // pieces.micro_batch)
    for s in slow(scored(policy, rolled, settings, pieces), "learning", batches):
        (s.shares.sum() * scale).backward()
        weight = completion_weights(s.mask, len(rolled.texts))  # (b, T)
        sums["loss"] += float(s.shares.detach().sum())
        sums["kl"] += float((weight * s.terms.kl.detach()).sum())
        sums["entropy"] += float((weight * s.terms.entropy.detach()).sum())
        sums["clip_fraction"] += float((weight * s.clipped).sum())
        real = s.mask.bool()
        log_u.append(s.terms.log_u[real])
        gaps.append((s.terms.logp.detach() - s.logp_old)[real].abs())
    for parameter in policy.trainable():
        parameter.grad /= scale
    gap, log_u = torch.cat(gaps), torch.cat(log_u)  # (N,)
    return {
        **sums,
        "parity_mean": float(gap.mean()),
        "parity_max": float(gap.max()),
        "largest_u": float(log_u.max().exp()),
        "effective_sample_size": effective_sample_size(log_u, torch.ones_like(log_u)),
    }


class Scored(NamedTuple):
    """A micro-batch of b completions of a step, T tokens long at most."""

    rows: Tensor  # (b,) which of the step's B completions
    mask: Tensor  # (b, T)
    logp_old: Tensor  # (b, T)
    terms: TokenTerms  # (b, T)
    shares: Tensor  # (b, T) each token's share of the step's loss -J
    clipped: Tensor  # (b, T) where the surrogate was clipped


def scored(policy: Policy, rolled: Rollout, settings: Settings, pieces: Pieces) -> Iterator[Scored]:
    """The step's completions, micro-batch by micro-batch, with gradients into the adapter.

    The longest comes first, so that memory runs out at once or not at all.
    """
    reward = rolled.reward.to(policy.device)  # (P, G)
    advantage, phi = advantage_and_phi(reward, settings, settings.right_at)  # (B,), (B,)
    alpha = alpha_of(rolled, settings, policy.device)  # (B,)
    lengths = rolled.completions.mask.sum(dim=1)  # (B,)
    prompt_length = int(rolled.prompt_mask.sum(dim=1).max()) if policy.shares_prompts else 0
    order = row_order(lengths, prompt_length, settings.group_size, pieces.micro_batch)  # (B,)
    for rows in order.split(pieces.micro_batch):  # (b,)
        _, mask, logp_old = rows_of(rolled, rows)  # (b, T)
        terms = score_rows(policy, rolled, rows, phi, settings, pieces.chunk_tokens)  # (b, T)
        terms = weigh_kl(terms, logp_old, settings.arm)  # (b, T)
        shares, clipped = token_shares(
            terms,
            logp_old,
            advantage[rows],
            mask,
            alpha=alpha[rows],
            beta=settings.beta,
            clip_eps=settings.clip_eps,
            completions=len(lengths),
        )
        yield Scored(rows, mask, logp_old, terms, shares, clipped)


def alpha_of(rolled: Rollout, settings: Settings, device: torch.device) -> Tensor:
    """The weight of the KL of each completion (B,): --alpha, or --alpha-right where the reward is 1."""
    reward = rolled.reward.to(device).flatten().clamp(0, 1)  # (B,)
    return settings.alpha + (settings.alpha_right - settings.alpha) * reward


def rows_of(rolled: Rollout, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, mask and log pi_old of some completions, (b, T) with T the longest one's length."""
    longest = int(rolled.completions.mask[rows].sum(dim=1).max())
    tokens, mask, logp_old, _ = rolled.completions
    return tokens[rows, :longest], mask[rows, :longest], logp_old[rows, :longest]


def score_rows(
    policy: Policy,
    rolled: Rollout,
    rows: Tensor,
    phi: Tensor,
    settings: Settings,
    chunk_tokens: int,
    terms: Callable[..., NamedTuple] = token_terms,
) -> NamedTuple:
    """`policy.score` of some completions of a step: rows (b,), phi (B,) -> fields of (b, T).

    terms: what is made of a token's rows of logits, with --plausible and --fork-entropy.
    """
    tokens, mask, _ = rows_of(rolled, rows)  # (b, T)
    prompt = rows // settings.group_size  # (b,) the prompt of each row
    return score(
        policy,
        rolled.prompt_ids[prompt],
        rolled.prompt_mask[prompt],
        tokens,
        mask,
        phi[rows],
        arm=settings.arm,
        form=settings.kl_form,
        temperature=settings.temperature,
        chunk_tokens=chunk_tokens,
        terms=partial(terms, plausible=settings.plausible, fork_entropy=settings.fork_entropy),
    )


def loss_scale(policy: Policy, mask: Tensor) -> float:
    """What the loss is multiplied with before the backward pass, and the gradient divided by after it.

    A token's share of the loss is about 1 / (all sampled tokens), and float16 has nothing left of
    gradients that small: there, the number of tokens, as a power of two, and 1 otherwise. Only the
    activations are 16-bit; the adapter and its gradients are float32. mask: (B, T).
    """
    if policy.dtype != torch.float16:
        return 1.0
    return 2.0 ** int(torch.log2(mask.sum().float()))


def loss_scale_halvings(policy: Policy) -> range:
    """How often the loss scale is halved before a step without finite gradients is given up.

    float16 ends at 65,504, and the scale may lift a large gradient past it. No other dtype needs one.
    """
    return range(HALVINGS if policy.dtype == torch.float16 else 1)


def rollout_metrics(rolled: Rollout, right_at: float = 1.0) -> dict:
    """What can be said of a rollout before anything is learned from it; right: r >= right_at."""
    reward, mask = rolled.reward, rolled.completions.mask
    return {
        "reward": float(reward.mean()),
        "solved_prompts": float((reward.amax(dim=1) >= right_at).float().mean()),
        "groups_with_signal": float(differ(reward).float().mean()),
        "completion_tokens": float(mask.sum(dim=1).float().mean()),
        "ended": float(rolled.completions.ended.float().mean()),
        "reasons": dict(sorted(Counter(v.reason for v in rolled.verdicts).items())),
        **({"rewards": rolled.rewards} if rolled.rewards else {}),
    }
