"""Which KL does each arm really descend? Its gradient beside those of the true KLs, on a trained policy.

    python rapo_mini.py --arm no-kl --out runs/no-kl
    python benchmarks/kl_gradients.py --adapter runs/no-kl/adapter

The policy samples completions; at every state it visited, both next-token distributions are known whole.
So for a loss that is differentiated at sampled tokens the expected gradient needs no sampling: it is that
of sum_v sg(pi(v)) k(v), with the weights pi(v) held fixed. All gradients are with respect to the adapter
and averaged over the states as training does it (`completion_weights`). The estimator table of
`objective.py` then shows as cosines [ours]: 1 is the same direction.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from objective import (  # noqa: E402
    ARMS,
    completion_weights,
    exact_forward_kl,
    exact_reverse_kl,
    k1,
    k2,
    k3,
    k_rapo,
    phi_of_reward,
    target_row,
)
from policy import Policy, completion_states, load_policy, reference_weights  # noqa: E402
from problems import puzzles  # noqa: E402
from settings import BUNDLED_BASE, Settings, resolve  # noqa: E402
from step import Rollout, rollout  # noqa: E402


@dataclass(frozen=True)
class Options:
    """Cosines between the KL gradients of the arms and the true ones."""

    adapter: Path
    """Folder of an adapter on the bundled base, or of the run that trained it."""
    prompts: int = 32
    """Validation puzzles."""
    group_size: int = 16
    """Completions of each."""
    phi_min: float = ARMS["rapo"].phi_min
    """Flattening of the reference where the reward is 0; this and the next two as `rapo` has them."""
    plausible: float = 0.01
    """Flattened among tokens at least this likely, beside the likeliest; 0: among all."""
    fork_entropy: float = ARMS["rapo"].fork_entropy
    """Nats of the reference's entropy at which phi acts fully; 0: everywhere."""
    seed: int = 0
    """Of the puzzles and of the sampling."""
    threads: int = 2
    """CPU threads."""


Estimator = Callable[[Tensor, Tensor], Tensor]
TRUTHS = (
    "forward KL(ref||pi)",
    "reverse KL(pi||ref)",
    "forward KL(ref^||pi)",
    "reverse KL(pi||ref^)",
)


def expected(estimator: Estimator, logp: Tensor, ref: Tensor, _: Tensor) -> Tensor:
    """sum_v sg(pi(v)) k(v): its gradient is the expected gradient of k. Rows (N, V) -> (N,)."""
    return (logp.detach().exp() * estimator(logp, ref)).sum(dim=-1)


def at_sample(estimator: Estimator, logp: Tensor, ref: Tensor, token: Tensor) -> Tensor:
    """k at the tokens that were drawn, as training uses it. Rows (N, V), token (N,) -> (N,)."""
    return estimator(*(row.gather(-1, token[:, None])[:, 0] for row in (logp, ref)))


def losses(logp: Tensor, ref: Tensor, flat: Tensor, token: Tensor) -> dict[str, Tensor]:
    """Every loss at every state: (N,). logp, ref, flat (N, V): log pi, log ref, log ref^; token (N,)."""
    found = {
        "forward KL(ref||pi)": exact_forward_kl(logp, ref),
        "reverse KL(pi||ref)": exact_reverse_kl(logp, ref),
        "forward KL(ref^||pi)": exact_forward_kl(logp, flat),
        "reverse KL(pi||ref^)": exact_reverse_kl(logp, flat),
    }
    sampled = {
        "k1": (k1, ref),
        "reverse-kl, sampled (k2)": (k2, ref),
        "grpo (k3)": (k3, ref),
        "rapo, sampled (u log u - u + 1)": (k_rapo, flat),
        "the same with phi = 1": (k_rapo, ref),
    }
    for name, (estimator, target) in sampled.items():
        found[name] = expected(estimator, logp, target, token)
        found[f"{name}, at the drawn tokens"] = at_sample(estimator, logp, target, token)
    return found


def gradients(
    policy: Policy, rolled: Rollout, options: Options, rows: int = 32
) -> dict[str, Tensor]:
    """The gradient of each loss with respect to the adapter, as one vector."""
    phi = phi_of_reward(rolled.reward, options.phi_min).flatten()  # (B,)
    completions, total = rolled.completions, {}
    for row in torch.arange(len(phi)).split(rows):  # (b,)
        prompt = row // options.group_size  # (b,)
        batch = (
            rolled.prompt_ids[prompt],
            rolled.prompt_mask[prompt],
            completions.tokens[row],
            completions.mask[row],
        )
        real = completions.mask[row].bool()  # (b, T)
        head = policy.model.get_output_embeddings()
        with reference_weights(policy) as reference:
            ref_logits = head(completion_states(reference, *batch))  # (N, V)
        logp = torch.log_softmax(head(completion_states(policy.model, *batch)), dim=-1)  # (N, V)
        row_phi = phi[row, None].expand_as(real)[real]  # (N,)
        ref = torch.log_softmax(ref_logits, dim=-1)  # (N, V)
        where = (options.plausible, options.fork_entropy)
        flat = target_row(ref_logits, row_phi, "rapo", *where)  # (N, V)
        weight = completion_weights(completions.mask[row], len(phi))[real]  # (N,)
        for name, loss in losses(logp, ref, flat, completions.tokens[row][real]).items():
            found = torch.autograd.grad(
                (weight * loss).sum(), policy.trainable(), retain_graph=True
            )
            vector = torch.cat([g.flatten() for g in found])
            total[name] = total.get(name, 0) + vector
    return total


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    policy = load_policy(str(BUNDLED_BASE), adapter=options.adapter)
    settings, _ = resolve(
        Settings(model=str(BUNDLED_BASE), group_size=options.group_size, seed=options.seed)
    )
    rolled = rollout(policy, puzzles("validation", options.prompts, options.seed), settings, step=0)
    found = gradients(policy, rolled, options)
    tokens = int(rolled.completions.mask.sum())
    print(f"{options.adapter}: {tokens} states, mean reward {float(rolled.reward.mean()):.3f}\n")
    print(f"| differentiated | size | {' | '.join(TRUTHS)} |\n|---|---|{'---|' * len(TRUTHS)}")
    unit = float(found[TRUTHS[0]].norm())
    for name, gradient in found.items():
        size = float(gradient.norm()) / unit
        cosines = [float(torch.cosine_similarity(gradient, found[t], dim=0)) for t in TRUTHS]
        shown = " | ".join(f"{c:.3f}" if size > 1e-4 else "-" for c in cosines)
        print(f"| {name} | {size:.2g} | {shown} |")


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
