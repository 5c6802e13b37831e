"""The figures of a comparison: arm minus base against k, the frontier of weights, forgets and finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compare.plan import BASE, CONTENDERS
from compare.results import Results
from problems import TIER_ORDER
from watch.figures import COLOURS
from watch.files import whole
from watch.forks import EVERY

GREY = COLOURS["base"]
BANDS = ("rapo", "grpo", "no-kl")  # the contenders that are drawn with an interval


def draw_figures(found: Results, out: Path) -> list[Path]:
    """Write the figures that the finished cells allow; returns their paths."""
    from matplotlib.figure import Figure

    figures = {"minus_base.png": draw_minus_base, "forks.png": draw_forks}
    if any(found.grid_runs(name) for name in CONTENDERS):
        figures["frontier.png"] = draw_frontier
    for name, draw_one in figures.items():
        figure = Figure(layout="constrained", dpi=110)
        draw_one(found, figure)
        with whole(out / name) as unfinished:
            figure.savefig(unfinished, format="png")
    return [out / name for name in figures]


def tidy(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=13)
    axes.title.set_size(15)
    axes.xaxis.label.set_size(14)
    axes.yaxis.label.set_size(14)


def spread(heights: list[float], gap: float) -> list[float]:
    """Heights moved apart until neighbours are `gap` apart, in the order given.

    >>> spread([0.5, 0.5, 0.9], 0.1)
    [0.45, 0.55, 0.9]
    """
    placed = np.array(heights, dtype=float)
    order = np.argsort(placed, kind="stable")
    for _ in range(200):
        for low, high in zip(order, order[1:], strict=False):
            missing = gap - (placed[high] - placed[low])
            if missing > 1e-9:
                placed[low] -= missing / 2
                placed[high] += missing / 2
    return [round(float(height), 6) for height in placed]


def name_ends(axes, ends: dict[str, float], last: float) -> None:
    """Each line's name beside its right end, with a leader from there: names are moved apart.

    ends: the height of each contender's line at its last x, `last`, on a logarithmic axis.
    """
    low, high = axes.get_ylim()
    heights = spread(list(ends.values()), 0.055 * (high - low))
    for (name, end), height in zip(ends.items(), heights, strict=True):
        drawn = CONTENDERS[name]
        axes.annotate(
            name,
            (last, end),
            (last * 1.6, height),
            color=drawn.colour,
            va="center",
            fontsize=13,
            fontweight="bold" if name == "rapo" else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": drawn.colour,
                "linestyle": drawn.dashes,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )


def draw_minus_base(found: Results, figure) -> None:
    """pass@k less the base's, against k, with paired bands: above the line is above the base."""
    splits = [split for split in found.splits() if found.sampled(split)] or ["full"]
    figure.set_size_inches(6.8 * len(splits) + 1, 5.4)
    for axes, split in zip(np.atleast_1d(figure.subplots(1, len(splits))), splits, strict=True):
        ks, ends = found.ks(split), {}
        for name in found.sampled(split):
            rows = [found.against(name, "base", k, split) for k in ks]
            drawn = CONTENDERS[name]
            if name in BANDS:
                low, high = [r.low for r in rows], [r.high for r in rows]
                axes.fill_between(ks, low, high, color=drawn.colour, alpha=0.13, linewidth=0)
            axes.plot(
                ks,
                [r.mean for r in rows],
                color=drawn.colour,
                linestyle=drawn.dashes,
                linewidth=3 if name == "rapo" else 2,
            )
            ends[name] = rows[-1].mean
        axes.axhline(0, color=GREY, linewidth=2)
        axes.set_xscale("log", base=2)
        axes.set_xticks(ks[::2], [str(k) for k in ks[::2]])
        axes.set_xlim(1, ks[-1] * 7)  # room for the names
        name_ends(axes, ends, ks[-1])
        axes.text(ks[-1] * 6.7, 0, "base", color=GREY, va="bottom", ha="right", fontsize=13)
        title = f"{split.capitalize()}: {len(found.problems[split])} problems"
        axes.set(title=title, xlabel="k", ylabel="pass@k minus the base's")
        tidy(axes)


def draw_forks(found: Results, figure) -> None:
    """How RL forgets and finds: the exact probability of the right rule, by tier, over the steps."""
    count = len(TIER_ORDER)
    figure.set_size_inches(4.6 * count, 4.6)
    for axes, tier in zip(figure.subplots(1, count), TIER_ORDER, strict=True):
        for name in found.contenders():
            runs = [found.cells[c.name]["forks"]["rule_chosen"] for c in found.curve_cells(name)]
            runs = [run[tier] for run in runs if tier in run]
            if not runs:
                continue
            mean = np.exp(
                np.log(np.maximum(runs, 1e-12)).mean(axis=0)
            )  # over seeds, on the log axis
            steps = EVERY * np.arange(len(mean))
            drawn = CONTENDERS[name]
            axes.plot(
                steps,
                mean,
                color=drawn.colour,
                linestyle=drawn.dashes,
                linewidth=3 if name == "rapo" else 1.8,
                label=name,
            )
            axes.axhline(mean[0], color=GREY, linewidth=1.5, linestyle=":")
        axes.set_yscale("log")
        axes.set(title=f"{tier} rules", xlabel="step")
        tidy(axes)
    first = figure.axes[0]
    first.set_ylabel("p(right rule | puzzle)")
    handles, names = first.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=12)


def draw_frontier(found: Results, figure) -> None:
    """Every weight of everyone: pass@1 against pass@k at the largest k. Up and right is better."""
    figure.set_size_inches(11, 6)
    axes, most = figure.subplots(), found.ks()[-1]
    base = [float(found.values([BASE], k).mean()) for k in (1, most)]
    axes.plot(*base, "s", color=GREY, markersize=11)
    axes.annotate(
        "base", base, textcoords="offset points", xytext=(10, -4), color=GREY, fontsize=13
    )
    for i, name in enumerate(found.contenders()):
        drawn, best = CONTENDERS[name], found.weight(name, "many")
        beside = (8, 6 if i % 2 == 0 else -15)  # of two that lie close one above, one below
        runs = found.grid_runs(name) or {best: found.curve_cells(name)}
        points = {
            alpha: [float(found.values(some, k).mean()) for k in (1, most)]
            for alpha, some in runs.items()
        }
        look = {"linestyle": drawn.dashes, "color": drawn.colour, "linewidth": 1.5}
        label = name if best is None else f"{name}, star {best:g}"
        axes.plot(
            *zip(*points.values(), strict=True), **look, marker="o", markersize=6, label=label
        )
        axes.plot(*points.pop(best), "*", color=drawn.colour, markersize=17)
        for alpha, place in points.items():  # the stars lie close together: see the legend
            axes.annotate(
                f"{alpha:g}",
                place,
                textcoords="offset points",
                xytext=beside,
                color=drawn.colour,
                fontsize=10,
            )
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=11, handlelength=4)
    axes.margins(0.16, 0.12)
    so_far = "" if found.chosen.keys() >= set(found.contenders()) else " (so far)"
    axes.set(
        title=f"KL weights; the star is the one for many attempts{so_far}",
        xlabel="pass@1",
        ylabel=f"pass@{most}",
    )
    tidy(axes)
