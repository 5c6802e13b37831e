"""The figures of a comparison: pass@k curves, the frontier of KL weights, RAPO over alpha and phi_min."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compare.plan import BASE, PHI_MINS, WEIGHTS, grid
from compare.results import Results, crossed_bootstrap
from watch.figures import COLOURS
from watch.files import whole


def draw_figures(found: Results, out: Path) -> list[Path]:
    """Write the figures that the finished cells allow; returns their paths."""
    from matplotlib.figure import Figure

    figures = {"curves.png": draw_curves}
    if found.grid_cells():
        figures["frontier.png"] = draw_frontier
    if found.map_cells():
        figures["map.png"] = draw_map
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


def draw_curves(found: Results, figure) -> None:
    """pass@k over k on Full, Easy and Hard, with bands; each curve is named at its right end."""
    figure.set_size_inches(15, 5.2)
    columns = np.atleast_1d(figure.subplots(1, len(found.splits)))
    for axes, split in zip(columns, found.splits, strict=True):
        ends = {}
        for arm in ["base", *found.arms()]:
            cells = found.curve_cells(arm)
            rows = [crossed_bootstrap(found.values(cells, k, split)) for k in found.ks]
            colour = COLOURS[arm]
            axes.fill_between(
                found.ks, [r.low for r in rows], [r.high for r in rows], color=colour, alpha=0.1
            )
            width = 3 if arm in ("base", "rapo") else 2
            axes.plot(found.ks, [r.mean for r in rows], color=colour, linewidth=width)
            ends[arm] = rows[-1].mean
        axes.set_xscale("log", base=2)
        axes.set_xticks(found.ks[::2], [str(k) for k in found.ks[::2]])
        axes.set_xlim(1, found.ks[-1] * 4.5)  # room for the names
        low, high = axes.get_ylim()
        low, high = max(low, -0.01), min(high, 1.03)
        axes.set_ylim(low, high)
        heights = spread(list(ends.values()), 0.06 * (high - low))
        too_high = max(0.0, max(heights) - high)
        for arm, height in zip(ends, heights, strict=True):
            axes.text(
                found.ks[-1] * 1.15,
                height - too_high,
                arm,
                color=COLOURS[arm],
                va="center",
                fontsize=14,
                fontweight="bold" if arm == "rapo" else "normal",
            )
        size = len(found.splits[split][1])
        axes.set(title=f"{split.capitalize()}: {size} problems", xlabel="k", ylabel="pass@k")
        tidy(axes)


LABEL_AT = {  # each arm's labels on another side of its points: they lie close together
    "rapo": {"xytext": (-10, 8), "ha": "right"},
    "grpo": {"xytext": (-10, -14), "ha": "right"},
    "reverse-kl": {"xytext": (9, 5), "ha": "left"},
    "no-kl": {"xytext": (11, -4), "ha": "left"},
}


def draw_frontier(found: Results, figure) -> None:
    """Every weight of every arm: pass@1 against pass@k at the largest k. Up and right is better."""
    figure.set_size_inches(8, 6)
    axes, most = figure.subplots(), found.ks[-1]
    base = [float(found.values([BASE], k).mean()) for k in (1, most)]
    axes.axhline(base[1], color=COLOURS["base"], linestyle=":", linewidth=2)
    axes.text(
        0.02,
        base[1],
        f"base (pass@1 {base[0]:.2f})",
        color=COLOURS["base"],
        fontsize=14,
        va="bottom",
        transform=axes.get_yaxis_transform(),
    )
    for arm in found.arms():
        cells = {cell.alpha: found.seeds_of(cell) for cell in grid(0) if cell.arm == arm}
        points = {
            alpha: [float(found.values(some, k).mean()) for k in (1, most)]
            for alpha, some in sorted(cells.items())
            if some
        }
        x, y = zip(*points.values(), strict=True)
        axes.plot(x, y, "-", color=COLOURS[arm], linewidth=2, alpha=0.6)
        for alpha, (right, up) in points.items():
            star = "*" if found.chosen[arm] == alpha else "o"
            axes.plot(right, up, star, color=COLOURS[arm], markersize=17 if star == "*" else 9)
            label = arm if arm == "no-kl" else f"{alpha:g}"
            axes.annotate(
                f"{arm} {label}" if star == "*" and arm != label else label,
                (right, up),
                textcoords="offset points",
                color=COLOURS[arm],
                fontsize=14 if star == "*" else 11,
                **LABEL_AT[arm],
            )
    axes.margins(0.2, 0.12)
    axes.set(
        title="KL weights; the star is the one that validation chose",
        xlabel="pass@1",
        ylabel=f"pass@{most}",
    )
    tidy(axes)


def draw_map(found: Results, figure) -> None:
    """RAPO's alpha and phi_min: pass@1, pass@k at the largest k, entropy at the end."""
    figure.set_size_inches(14, 4.6)
    cells, most = found.map_cells(), found.ks[-1]
    measured = {
        "pass@1": lambda cell: found.values([cell], 1).mean(),
        f"pass@{most}": lambda cell: found.values([cell], most).mean(),
        "entropy at the end (nats per token)": lambda cell: found.entropy([cell]),
    }
    for axes, (title, value) in zip(figure.subplots(1, 3), measured.items(), strict=True):
        numbers = np.array([[value(cells[a, p]) for a in WEIGHTS] for p in PHI_MINS])
        image = axes.imshow(numbers, cmap="cividis", origin="lower", aspect="auto")
        axes.set_xticks(range(len(WEIGHTS)), [f"{a:g}" for a in WEIGHTS])
        axes.set_yticks(range(len(PHI_MINS)), [f"{p:g}" for p in PHI_MINS])
        for (row, column), number in np.ndenumerate(numbers):
            dark = image.norm(number) < 0.5
            axes.text(
                column,
                row,
                f"{number:.2f}",
                ha="center",
                va="center",
                fontsize=16,
                color="white" if dark else "black",
            )
        axes.set(title=title, xlabel="alpha", ylabel="phi_min")
        tidy(axes)
        axes.grid(False)
