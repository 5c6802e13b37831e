"""One training step in two verbs, with one record between them.

    rollout(policy, problems)  ->  Rollout      y ~ pi_old for each prompt, and the verifier's rewards
    learn(policy, rollout)     ->  metrics      one step up the objective J of `objective.py`

Everything here is plumbing between the rooms that do the work: `sampler`, `verifier`, `policy` and
`objective`. The README explains each metric.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from machine.limit import learn_less, sample_within_memory, within_memory
from objective import (
    completion_weights,
    effective_sample_size,
    group_advantages,
    phi_of_groups,
    token_shares,
)
from policy import Policy, decode, encode_prompts, sampling_weights, score
from problems import Problem, render_prompt
from sampler import Completions
from settings import Settings
from verifier import Verdict, verify
from watch.recorder import Recorder

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
    seconds: dict[str, float]  # {"sample": ..., "verify": ...}
    sample_rows: int = 0  # completions sampled at a time, as memory allowed


def rollout(policy: Policy, problems: list[Problem], settings: Settings, step: int) -> Rollout:
    """Sample a group for each problem and have it verified.

    All randomness is a function of (settings.seed, step): a resumed run samples what the whole run
    would have sampled.
    """
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    prompts = [render_prompt(settings.prompt_template, p) for p in problems]
    prompt_ids, prompt_mask = encode_prompts(policy, prompts)  # (P, L)
    with sampling_weights(policy) as model:
        options = {
            "group_size": settings.group_size,
            "max_new_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "end_ids": policy.end_ids,
            "pad_id": policy.pad_id,
            "fixed": settings.fixed_decode,
        }
        rows = settings.sample_rows or len(problems) * settings.group_size
        completions, rows = sample_within_memory(
            model, prompt_ids, prompt_mask, generator=generator, rows_at_once=rows, **options
        )
    sampled = time.perf_counter()
    texts = decode(policy, completions.tokens, completions.mask)
    golds = [p.answer for p in problems for _ in range(settings.group_size)]
    verdicts = [verify(text, gold) for text, gold in zip(texts, golds, strict=True)]
    reward = torch.tensor([v.reward for v in verdicts]).view(len(problems), -1)  # (P, G)
    seconds = {"sample": sampled - began, "verify": time.perf_counter() - sampled}
    return Rollout(
        problems, prompt_ids, prompt_mask, completions, texts, verdicts, reward, seconds, rows
    )


# ---------------------------------------------------------------- learn


def make_optimizer(policy: Policy, settings: Settings) -> torch.optim.Optimizer:
    """AdamW on the adapter, its state in 32 bits or, through bitsandbytes, in 8."""
    options = {"lr": settings.lr, "weight_decay": 0.0}
    if settings.optimizer in ("adamw", "auto"):  # "auto" only from the config.json of an older run
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
    records: list[dict] | None = None,
) -> dict:
    """One rollout's gradient updates; the metrics of the step. The README explains each.

    A non-finite loss or gradient changes nothing: "skipped" is then True. If a list of records is
    given, each update adds its own (see `watch/watch/recorder.py`); this changes no number.
    """
    began = time.perf_counter()
    reward = rolled.reward.to(policy.device)  # (P, G)
    advantage = group_advantages(reward).flatten()  # (B,)
    phi = phi_of_groups(reward, settings.phi_min, settings.phi_from).flatten()  # (B,)

    def attempt(settings: Settings) -> tuple[dict, Recorder | None]:
        optimizer.zero_grad()
        recorder = None
        if records is not None:
            recorder = Recorder(policy, rolled, advantage, phi, settings)
        return backward(policy, rolled, advantage, phi, settings, recorder), recorder

    for update in range(settings.updates):
        (metrics, recorder), settings = within_memory(attempt, settings, learn_less)
        norm = torch.nn.utils.clip_grad_norm_(policy.trainable(), settings.max_grad_norm)
        metrics["grad_norm"] = float(norm)
        metrics["skipped"] = not bool(
            torch.isfinite(norm) and torch.isfinite(torch.tensor(metrics["loss"]))
        )
        if recorder:
            records.append(recorder.record(update, metrics))
        if update == 0:  # before any update pi_theta is pi_old: here the two must agree
            parity = {key: metrics[key] for key in ("parity_mean", "parity_max")}
        if metrics["skipped"]:
            break
        optimizer.step()
    seconds = {f"seconds_{part}": s for part, s in rolled.seconds.items()}
    seconds["seconds_learn"] = time.perf_counter() - began
    used = {"sample_rows": rolled.sample_rows}
    used |= {"micro_batch": settings.micro_batch, "chunk_tokens": settings.chunk_tokens}
    tokens = int(rolled.completions.mask.sum())
    speed = {"tokens": tokens, "tokens_per_second": tokens / sum(seconds.values())}
    return {**rollout_metrics(rolled), **metrics, **parity, **used, **speed, **seconds}


def backward(
    policy: Policy,
    rolled: Rollout,
    advantage: Tensor,
    phi: Tensor,
    settings: Settings,
    recorder: Recorder | None = None,
) -> dict:
    """Accumulate the gradient of the step's loss, micro-batch by micro-batch; sums over the step.

    Rows are taken in order of length, so that a micro-batch holds little padding. Every sum is
    weighted by the whole step's numbers: the cut changes nothing but the memory.
    """
    done = rolled.completions
    scale = loss_scale(policy, done.mask)
    rows = torch.argsort(done.mask.sum(dim=1), stable=True)  # (B,)
    sums: Counter = Counter()
    log_u, masks, gaps = [], [], []
    for part in rows.split(settings.micro_batch):  # (b,)
        longest = int(done.mask[part].sum(dim=1).max())
        tokens, mask, logp_old = (x[part, :longest] for x in done[:3])  # (b, T)
        prompt = part // settings.group_size  # (b,) the prompt of each row
        glimpses = [] if recorder and recorder.wants(part) else None
        terms = score(
            policy,
            rolled.prompt_ids[prompt],
            rolled.prompt_mask[prompt],
            tokens,
            mask,
            phi[part],
            arm=settings.arm,
            form=settings.kl_form,
            temperature=settings.temperature,
            chunk_tokens=settings.chunk_tokens,
            glimpses=glimpses,
        )
        shares, clipped = token_shares(
            terms,
            logp_old,
            advantage[part],
            mask,
            alpha=settings.alpha,
            beta=settings.beta,
            clip_eps=settings.clip_eps,
            completions=len(rows),
        )
        if recorder:
            recorder.add(part, terms, glimpses, shares, clipped)
        (shares.sum() * scale).backward()
        weight = completion_weights(mask, len(rows))  # (b, T)
        sums["loss"] += float(shares.detach().sum())
        sums["kl"] += float((weight * terms.kl.detach()).sum())
        sums["entropy"] += float((weight * terms.entropy.detach()).sum())
        sums["clip_fraction"] += float((weight * clipped).sum())
        real = mask.bool()
        log_u.append(terms.log_u[real])
        masks.append(mask[real])
        gaps.append((terms.logp.detach() - logp_old)[real].abs())
    for parameter in policy.trainable():
        parameter.grad /= scale
    gap, log_u, real = torch.cat(gaps), torch.cat(log_u), torch.cat(masks)  # (N,)
    return {
        **sums,
        "parity_mean": float(gap.mean()),
        "parity_max": float(gap.max()),
        "largest_u": float(log_u.max().exp()),
        "effective_sample_size": effective_sample_size(log_u, real),
    }


def loss_scale(policy: Policy, mask: Tensor) -> float:
    """What the loss is multiplied with before the backward pass, and the gradient divided by after it.

    A token's share of the loss is about 1 / (all sampled tokens), and float16 has nothing left of
    gradients that small: there, the number of tokens, as a power of two, and 1 otherwise. Only the
    activations are 16-bit; the adapter and its gradients are float32. mask: (B, T).
    """
    if policy.dtype != torch.float16:
        return 1.0
    return 2.0 ** int(torch.log2(mask.sum().float()))


def rollout_metrics(rolled: Rollout) -> dict:
    """What can be said of a rollout before anything is learned from it."""
    reward, mask = rolled.reward, rolled.completions.mask
    mixed = (reward.std(dim=1, correction=0) > 0).float()  # (P,) groups with an advantage
    return {
        "reward": float(reward.mean()),
        "solved_prompts": float((reward.sum(dim=1) > 0).float().mean()),
        "groups_with_signal": float(mixed.mean()),
        "completion_tokens": float(mask.sum(dim=1).float().mean()),
        "ended": float(rolled.completions.ended.float().mean()),
        "reasons": dict(sorted(Counter(v.reason for v in rolled.verdicts).items())),
    }
