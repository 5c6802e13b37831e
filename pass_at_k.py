"""pass@k of a base model and of what training made of it, with honest intervals.

pass@k is the probability that at least one of k completions is right: the share of problems that the
model can solve when it may try k times. RL usually raises pass@1; whether it raises pass@64 tells
whether the model learned to solve problems, or only to solve the same ones more often.

    python pass_at_k.py --adapter runs/my-run/adapter      # base against adapter

The splits follow the paper: Full is all problems, Hard those that the base never solved in n samples,
Easy the rest. Hard is chosen by one set of base samples and scored on fresh ones [ours]: scored on the
samples that chose it, the base would have 0 there by definition.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from problems import Problem, render_prompt


def pass_at_k(samples: int, correct: np.ndarray, k: int) -> np.ndarray:
    """The unbiased estimate of pass@k for each problem: 1 - C(n-c, k) / C(n, k).

    samples: n; correct: (N,) how many of the n were right; k <= n -> (N,).
    Source: Chen et al. 2021 (arXiv 2107.03374), eq. 1.

    >>> pass_at_k(4, np.array([0, 1, 2, 4]), 2)
    array([0.        , 0.5       , 0.83333333, 1.        ])
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k = {k} must lie between 1 and the number of samples, {samples} (--k)")
    misses = np.asarray(samples - correct, dtype=float)  # (N,) n - c
    drawn = np.arange(k)[:, None]  # (k, 1): none of the k draws without replacement is right
    return 1 - np.prod(np.maximum(misses - drawn, 0) / (samples - drawn), axis=0)


class Estimate(NamedTuple):
    """A mean over problems with its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(values: np.ndarray, resamples: int = 2000, seed: int = 0) -> Estimate:
    """The mean of (N,) values and its 95% percentile-bootstrap interval over the N problems."""
    if len(values) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))


def powers_of_two(samples: int) -> list[int]:
    """1, 2, 4, ... up to n.

    >>> powers_of_two(10)
    [1, 2, 4, 8]
    """
    return [2**i for i in range(samples.bit_length())]


# ---------------------------------------------------------------- sampling and grading


def count_correct(
    policy,
    problems: Sequence[Problem],
    *,
    samples: int,
    adapter_on: bool,
    template: str,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    rows: int = 512,
    label: str = "",
) -> np.ndarray:
    """How many of `samples` completions of each problem are right: (N,) integers.

    adapter_on: the trained policy, or the base under it. rows: completions sampled at once.
    """
    import torch
    from tqdm import tqdm

    from policy import decode, encode_prompts, reference_weights, sampling_weights
    from sampler import sample
    from verifier import verify

    generator = torch.Generator().manual_seed(seed)
    correct = np.zeros(len(problems), dtype=int)
    group = min(samples, rows)
    weights = sampling_weights if adapter_on else reference_weights
    with (
        weights(policy) as model,
        tqdm(total=len(problems) * samples, desc=label, leave=False) as bar,
    ):
        for first in range(0, len(problems), max(1, rows // group)):
            some = problems[first : first + max(1, rows // group)]
            prompts = encode_prompts(policy, [render_prompt(template, p) for p in some])
            for done in range(0, samples, group):
                completions = sample(
                    model,
                    *prompts,
                    group_size=min(group, samples - done),
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    end_ids=policy.end_ids,
                    pad_id=policy.pad_id,
                    generator=generator,
                )
                texts = decode(policy, completions.tokens, completions.mask)
                for i, text in enumerate(texts):
                    problem = i * len(some) // len(texts)
                    correct[first + problem] += verify(text, some[problem].answer).reward > 0
                bar.update(len(texts))
    return correct


def compare_with_base(policy, problems: list[Problem], *, seed: int, **options) -> Comparison:
    """Sample base (twice) and trained policy on the same problems; options as in `count_correct`."""
    draws = {"chosen_by": False, "base": False, "trained": True}
    counts = {
        name: count_correct(
            policy,
            problems,
            adapter_on=adapter_on,
            seed=seed * 1_000_003 + i,
            label=name,
            **options,
        )
        for i, (name, adapter_on) in enumerate(draws.items())
    }
    return Comparison(problems, options["samples"], **counts)


# ---------------------------------------------------------------- the comparison


@dataclass(frozen=True)
class Comparison:
    """Right answers out of n for each problem: (N,) each."""

    problems: list[Problem]
    samples: int  # n, for each of the three
    chosen_by: np.ndarray  # the base, first draw: says which problems are Hard
    base: np.ndarray  # the base, fresh draw
    trained: np.ndarray

    def splits(self) -> dict[str, np.ndarray]:
        """Which problems belong to each split: boolean (N,)."""
        hard = self.chosen_by == 0
        return {"full": np.ones_like(hard), "easy": ~hard, "hard": hard}

    def estimates(self, k: int) -> dict[str, dict[str, Estimate]]:
        """split -> base, trained, and their paired difference, each with its interval."""
        base = pass_at_k(self.samples, self.base, k)
        trained = pass_at_k(self.samples, self.trained, k)
        return {
            split: {
                "base": bootstrap(base[chosen]),
                "trained": bootstrap(trained[chosen]),
                "difference": bootstrap((trained - base)[chosen]),
            }
            for split, chosen in self.splits().items()
        }

    def by_kind(self, k: int) -> dict[str, tuple[int, float, float]]:
        """kind -> number of problems, base pass@k, trained pass@k; kinds in order of base pass@1."""
        rows = {}
        for kind in dict.fromkeys(p.kind for p in self.problems):
            chosen = np.array([p.kind == kind for p in self.problems])
            values = [
                float(pass_at_k(self.samples, correct[chosen], k).mean())
                for correct in (self.base, self.trained)
            ]
            rows[kind or "-"] = (int(chosen.sum()), *values)
        return dict(sorted(rows.items(), key=lambda row: -row[1][1]))

    def as_json(self) -> dict:
        """For summary.json: every estimate, and the counts that they were made from."""
        return {
            "samples": self.samples,
            "problems": len(self.problems),
            "split_sizes": {name: int(chosen.sum()) for name, chosen in self.splits().items()},
            "pass_at_k": {str(k): self.estimates(k) for k in powers_of_two(self.samples)},
            "newly_solved": int(((self.chosen_by + self.base == 0) & (self.trained > 0)).sum()),
            "no_longer_solved": int(((self.chosen_by + self.base > 0) & (self.trained == 0)).sum()),
            "correct": {
                name: getattr(self, name).tolist() for name in ("chosen_by", "base", "trained")
            },
        }

    def table(self) -> str:
        """The comparison as text."""
        lines = []
        for split, chosen in self.splits().items():
            lines.append(
                f"{split.capitalize()}: {int(chosen.sum())} problems, {self.samples} samples"
            )
            if not chosen.any():
                continue
            lines.append(f"{'':>9}  {'base':>22}  {'trained':>22}  {'trained - base':>24}")
            for k in powers_of_two(self.samples):
                row = self.estimates(k)[split]
                gap = row["difference"]
                shown = f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
                lines.append(
                    f"  pass@{k:<3} {row['base']!s:>22}  {row['trained']!s:>22}  {shown:>24}"
                )
        kinds = self.by_kind(1)
        if len(kinds) > 1:
            top = powers_of_two(self.samples)[-1]
            at_top = self.by_kind(top)
            lines.append(f"By kind: problems, pass@1 and pass@{top}, base -> trained")
            for kind, (count, base, trained) in kinds.items():
                _, base_top, trained_top = at_top[kind]
                lines.append(
                    f"  {kind:<20} {count:>4}   {base:.3f} -> {trained:.3f}   "
                    f"{base_top:.3f} -> {trained_top:.3f}"
                )
        return "\n".join(lines)


# ---------------------------------------------------------------- the figure

COLOURS = {  # one for each arm, everywhere in the project; colour-blind safe (Okabe and Ito)
    "base": "#7f7f7f",
    "rapo": "#0072b2",
    "grpo": "#e69f00",
    "reverse-kl": "#cc79a7",
    "no-kl": "#d55e00",
}


def draw_report(metrics: list[dict], comparison: Comparison | None, arm: str, path: Path) -> None:
    """One picture of a run: reward, entropy and KL over steps, and pass@k of base and trained."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained", dpi=110)
    panels = figure.subplots(2, 2).flatten()
    steps = [m["step"] for m in metrics]
    named = (
        ("reward", "Mean reward (share right)"),
        ("entropy", "Entropy (nats per token)"),
        ("kl", "KL in the loss (nats per token)"),
    )
    for axes, (name, title) in zip(panels, named, strict=False):
        values = np.array([m[name] for m in metrics], dtype=float)
        axes.plot(steps, values, color=COLOURS[arm], alpha=0.25, linewidth=1)
        axes.plot(steps, running_mean(values, 15), color=COLOURS[arm], linewidth=2)
        axes.set(title=title, xlabel="step")
    if comparison is None:
        panels[3].set_visible(False)
    else:
        draw_pass_at_k(panels[3], comparison, arm)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    part = path.with_name(path.name + ".part")
    figure.savefig(part, format="png")
    os.replace(part, path)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of each value and up to width - 1 before it: (n,) -> (n,)."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    end = np.arange(1, len(values) + 1)
    begin = np.maximum(end - width, 0)
    return (total[end] - total[begin]) / (end - begin)


def draw_pass_at_k(axes, comparison: Comparison, arm: str) -> None:
    """pass@k of base and trained on all problems, with 95% bands, labelled at the curves' ends."""
    ks = powers_of_two(comparison.samples)
    estimates = [comparison.estimates(k)["full"] for k in ks]
    for name, label in (("base", "base"), ("trained", arm)):
        colour = COLOURS[label]
        rows = [row[name] for row in estimates]
        axes.fill_between(
            ks, [r.low for r in rows], [r.high for r in rows], color=colour, alpha=0.15
        )
        axes.plot(ks, [r.mean for r in rows], color=colour, marker="o", markersize=4)
        axes.annotate(
            f" {label} {rows[0].mean:.2f} → {rows[-1].mean:.2f}",
            (ks[len(ks) // 2], rows[len(ks) // 2].mean),
            xytext=(6, -14 if name == "base" else 10),
            textcoords="offset points",
            color=colour,
            fontweight="bold",
            ha="right" if name == "trained" else "left",
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.set(
        title=f"pass@k on {len(comparison.problems)} held-out problems", xlabel="k", ylim=(0, 1.02)
    )
