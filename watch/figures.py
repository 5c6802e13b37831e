"""The picture of a run, curves.png, and the colours that an arm has in every figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from objective import ARMS
from watch.files import whole

COLOURS = {"base": "#7f7f7f"} | {name: arm.colour for name, arm in ARMS.items()}
DASHES = {"base": "-"} | {name: arm.dashes for name, arm in ARMS.items()}
TIERS_LOOK = (("0", "-"), ("0.25", "--"), ("0.5", "-."), ("0.65", ":"))  # greys, and their strokes


def draw_run(metrics: list[dict], arm: str, path: Path, evaluation: dict | None = None) -> None:
    """One picture of a run: reward, entropy, KL, forgets and finds over steps, pass@k before and after.

    evaluation: the comparison of base and trained as it stands in summary.json.
    """
    from matplotlib.figure import Figure

    watched = [m for m in metrics if "rule_chosen" in m]
    figure = Figure(figsize=(16 if watched else 11, 7), layout="constrained", dpi=110)
    panels = figure.subplots(2, 3 if watched else 2).flatten()
    steps = [m["step"] for m in metrics]
    named = {
        "reward": "Mean reward (share right)",
        "entropy": "Entropy (nats per token)",
        "kl": "KL in the loss (nats per token)",
    }
    for axes, (name, title) in zip(panels, named.items(), strict=False):
        values = np.array([m[name] for m in metrics], dtype=float)
        axes.plot(steps, values, color=COLOURS[arm], alpha=0.25, linewidth=1)
        axes.plot(steps, running_mean(values, 15), color=COLOURS[arm], linewidth=2)
        axes.set(title=title, xlabel="step")
        axes.xaxis.get_major_locator().set_params(integer=True)  # there is no half step
    if evaluation is None:
        panels[3].set_visible(False)
    else:
        draw_pass_at_k(panels[3], evaluation, arm)
    if watched:
        draw_by_tier(panels[4], watched, "rule_chosen", "p(right rule | puzzle), exact")
        panels[4].set_yscale("log")
        draw_by_tier(panels[5], watched, "rule_carried_out", "p(right answer | right rule), exact")
        panels[5].set_ylim(0, 1.02)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    with whole(path) as unfinished:
        figure.savefig(unfinished, format="png")


def draw_by_tier(axes, watched: list[dict], name: str, title: str) -> None:
    """One line a tier of the bundled puzzles: how RL forgets and finds."""
    steps = [m["step"] for m in watched]
    for (shade, dashes), tier in zip(TIERS_LOOK, watched[0][name], strict=False):
        axes.plot(steps, [m[name][tier] for m in watched], dashes, color=shade, label=tier)
    axes.legend(fontsize=9, frameon=False)
    axes.set(title=title, xlabel="step")
    axes.xaxis.get_major_locator().set_params(integer=True)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of each value and up to width - 1 before it: (n,) -> (n,)."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    end = np.arange(1, len(values) + 1)
    begin = np.maximum(end - width, 0)
    return (total[end] - total[begin]) / (end - begin)


def draw_pass_at_k(axes, evaluation: dict, arm: str) -> None:
    """pass@k of base and trained on all problems, with 95% bands, labelled at the curves' ends."""
    ks = [int(k) for k in evaluation["pass_at_k"]]
    for name, label in (("base", "base"), ("trained", arm)):
        colour = COLOURS[label]
        rows = [row["full"][name] for row in evaluation["pass_at_k"].values()]
        mean = column(rows, "mean")
        axes.fill_between(ks, column(rows, "low"), column(rows, "high"), color=colour, alpha=0.15)
        axes.plot(ks, mean, color=colour, linestyle=DASHES[label], marker="o", markersize=4)
        axes.annotate(
            f" {label} {mean[0]:.2f} → {mean[-1]:.2f}",
            (ks[len(ks) // 2], mean[len(ks) // 2]),
            xytext=(6, -14 if name == "base" else 10),
            textcoords="offset points",
            color=colour,
            fontweight="bold",
            ha="right" if name == "trained" else "left",
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.set(
        title=f"pass@k on {evaluation['problems']} held-out problems", xlabel="k", ylim=(0, 1.02)
    )


def column(rows: Sequence[dict], name: str) -> list[float]:
    return [row[name] for row in rows]
