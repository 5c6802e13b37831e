"""From counts of right answers to tables and figures: what `compare.py` found, with honest intervals.

Everything here is computed from compare.json: for each cell how many of n completions of each problem
of Full ("test") and Hard were right. Estimates are means over seeds and problems; an interval draws
both anew (`crossed_bootstrap`), so it says what other seeds AND other problems could have shown.
Differences are paired: problem by problem against the base, and also seed by seed against RAPO.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from compare.plan import (
    BASE,
    PHI_MINS,
    SEEDS,
    WEIGHTS,
    Cell,
    ablations,
    chosen_by_validation,
    chosen_weights,
    default_cell,
    grid,
    validation_score,
)
from pass_at_k import COLOURS, Estimate, pass_at_k, powers_of_two
from settings import ARM_DEFAULTS, whole


def crossed_bootstrap(values: np.ndarray, resamples: int = 4000, seed: int = 0) -> Estimate:
    """Mean of (S, N) values with a 95% interval that draws S seeds and N problems anew, independently.

    With one seed it counts the problems alone. With few seeds it is a little too narrow, as any
    bootstrap of a handful is.

    >>> print(crossed_bootstrap(np.full((5, 20), 0.25)))
    0.250 [0.250, 0.250]
    """
    if values.size == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    seeds, problems = values.shape
    seed_share = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds  # (R, S)
    problem_share = (
        rng.multinomial(problems, np.full(problems, 1 / problems), size=resamples) / problems
    )
    means = np.einsum("rs,sn,rn->r", seed_share, values, problem_share, optimize=True)  # (R,)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))


class Results:
    """compare.json, asked by arm and k."""

    def __init__(self, results: dict):
        self.cells = results["cells"]
        self.samples = results["protocol"]["samples"]
        self.steps = results["protocol"]["steps"]
        self.chosen = chosen_weights(self.cells)
        self.pool = results["protocol"]["pool"]
        full = np.arange(results["protocol"]["problems"])
        easy = np.setdiff1d(full, results["missed"]["test"])
        hard = np.arange(len(results["missed"]["pool"]))
        self.splits = {"full": ("test", full), "easy": ("test", easy), "hard": ("hard", hard)}
        self.splits = {name: split for name, split in self.splits.items() if split[1].size}
        self.ks = powers_of_two(self.samples)
        self.shown_ks = [k for k in (1, 16, 64, 256) if k in self.ks]

    def done(self, cells: list[Cell]) -> list[Cell]:
        return [cell for cell in cells if cell.name in self.cells]

    def seeds_of(self, cell: Cell) -> list[Cell]:
        """The finished runs with the settings of this cell, in order of their seeds."""
        return self.done([replace(cell, seed=seed) for seed in SEEDS])

    def curve_cells(self, arm: str) -> list[Cell]:
        """The finished cells of an arm at its chosen weight, in order of their seeds."""
        if arm == "base":
            return [BASE]
        return self.seeds_of(default_cell(arm, alpha=self.chosen[arm]))

    def values(self, cells: list[Cell], k: int, split: str = "full") -> np.ndarray:
        """pass@k by cell and problem: (S, N)."""
        name, chosen = self.splits[split]
        if not cells:
            return np.empty((0, chosen.size))
        correct = np.array([self.cells[cell.name][name] for cell in cells])[:, chosen]  # (S, N)
        return np.stack([pass_at_k(self.samples, row, k) for row in correct])

    def entropy(self, cells: list[Cell]) -> float:
        """Mean entropy of some cells at the end of training, nats per token."""
        return float(np.mean([self.cells[cell.name]["last"]["entropy"] for cell in cells]))

    def against(self, arm: str, other: str, k: int, split: str) -> Estimate:
        """The paired difference of two arms at their chosen weights."""
        return self.difference(self.curve_cells(arm), self.curve_cells(other), k, split)

    def difference(self, mine: list[Cell], theirs: list[Cell], k: int, split: str) -> Estimate:
        """Mean pass@k of some cells less that of others, paired by problem and (not the base) by seed."""
        if theirs != [BASE]:
            seeds = {cell.seed for cell in mine} & {cell.seed for cell in theirs}
            mine, theirs = ([c for c in some if c.seed in seeds] for some in (mine, theirs))
        return crossed_bootstrap(self.values(mine, k, split) - self.values(theirs, k, split))

    def arms(self) -> list[str]:
        return [arm for arm in ARM_DEFAULTS if arm in self.chosen]


# ---------------------------------------------------------------- tables, in Markdown


def table(head: list[str], rows: list[list]) -> str:
    """A Markdown table; a float is printed with three digits.

    >>> print(table(["arm", "pass@1"], [["rapo", 0.5]]))
    | arm | pass@1 |
    |---|---|
    | rapo | 0.500 |
    """
    lines = [head, ["---"] * len(head), *rows]
    shown = [[f"{x:.3f}" if isinstance(x, float) else str(x) for x in row] for row in lines]
    text = "\n".join("| " + " | ".join(row) + " |" for row in shown)
    return text.replace("| --- ", "|---").replace("---|", "---|").replace("|--- |", "|---|")


def signed(e: Estimate) -> str:
    """A difference, with its sign."""
    return f"{e.mean:+.3f} [{e.low:+.3f}, {e.high:+.3f}]"


def report(results: dict) -> str:
    """All tables that the finished cells allow."""
    found = Results(results)
    sizes = {name: len(chosen) for name, (_, chosen) in found.splits.items()}
    parts = [
        f"Full: {sizes['full']} test problems. Easy: the {sizes.get('easy', 0)} of them that the base "
        f"solved in {found.samples} samples. Hard: of {found.pool} others the {sizes.get('hard', 0)} "
        f"that it did not. All are scored, the base too, on {found.samples} fresh samples a problem. "
        f"{found.steps} training steps. Intervals: 95%, over problems and seeds.",
        curve_table(found),
        difference_table(found),
        seed_table(found),
        grid_table(found),
        ablation_table(found),
        map_table(found),
    ]
    return "\n\n".join(part for part in parts if part)


def curve_table(found: Results) -> str:
    rows = []
    for split in found.splits:
        for arm in ["base", *found.arms()]:
            cells = found.curve_cells(arm)
            at = [str(crossed_bootstrap(found.values(cells, k, split))) for k in found.shown_ks]
            weight = f"{found.chosen[arm]:g}" if arm in found.chosen else ""
            rows.append([split, arm, weight, len(cells), *at])
    head = ["split", "arm", "alpha", "seeds", *(f"pass@{k}" for k in found.shown_ks)]
    return "**pass@k at each arm's chosen weight**\n\n" + table(head, rows)


def difference_table(found: Results) -> str:
    """Each arm against the base, and RAPO against each other arm."""
    pairs = [(arm, "base") for arm in found.arms()]
    pairs += [("rapo", arm) for arm in found.arms() if arm != "rapo" and "rapo" in found.chosen]
    rows = []
    for split in found.splits:
        for mine, theirs in pairs:
            at = [signed(found.against(mine, theirs, k, split)) for k in found.shown_ks]
            rows.append([split, f"{mine} - {theirs}", *at])
    return "**Paired differences**\n\n" + table(
        ["split", "difference", *(f"pass@{k}" for k in found.shown_ks)], rows
    )


def seed_table(found: Results) -> str:
    """Seed by seed: nothing is averaged away."""
    base = {k: found.values([BASE], k).mean() for k in found.shown_ks}
    before = {name: np.array(found.cells[BASE.name][name]) > 0 for name in ("test", "hard")}
    rows = [["base", "", "", *(float(v) for v in base.values()), "", "", "", ""]]
    for arm in found.arms():
        for cell in found.curve_cells(arm):
            at = [float(found.values([cell], k).mean()) for k in found.shown_ks]
            result = found.cells[cell.name]
            after = {name: np.array(result[name]) > 0 for name in ("test", "hard")}
            won = int((after["hard"] & ~before["hard"]).sum())
            lost = int((before["test"] & ~after["test"]).sum())
            times = f"{at[0] / base[1]:.2f}"
            entropy = found.entropy([cell])
            rows.append([arm, f"{cell.alpha:g}", cell.seed, *at, times, won, lost, entropy])
    head = ["arm", "alpha", "seed", *(f"pass@{k}" for k in found.shown_ks)]
    head += ["pass@1 / base's", "newly solved", "no longer", "entropy"]
    new = int((~before["hard"]).sum())
    return (
        f"**Seed by seed** (pass@k: Full. Newly solved: by the arm in {found.samples} samples, of the "
        f"{new} Hard problems that the base solved in none of {2 * found.samples}. No longer: problems "
        f"of Full that only the base solved in {found.samples})\n\n" + table(head, rows)
    )


def grid_table(found: Results) -> str:
    cells = found.done(grid(seed=0))
    if len(cells) <= len(found.arms()):
        return ""
    most = found.ks[-1]
    rows = []
    for cell in cells:
        one, many = validation_score(found.cells[cell.name])
        runs = found.seeds_of(cell)
        at = [float(found.values(runs, k).mean()) for k in (1, most)]
        mark = "chosen" if found.chosen[cell.arm] == cell.alpha else ""
        row = [cell.arm, f"{cell.alpha:g}", one, many, mark, *at, len(runs), found.entropy(runs)]
        rows.append(row)
    head = ["arm", "alpha", "validation pass@1", "validation pass@64", ""]
    head += ["test pass@1", f"test pass@{most}", "seeds", "entropy"]
    return "**The grid of KL weights** (validation: seed 0)\n\n" + table(head, rows)


def ablation_table(found: Results) -> str:
    """RAPO, and what changes in it when one part is left out or done otherwise."""
    cells = {
        label: found.seeds_of(default_cell("rapo", **kind))
        for label, kind in ablations(found.chosen.get("rapo", 0.0)).items()
    }
    cells = {label: some for label, some in cells.items() if some}
    if len(cells) < 2:
        return ""
    rows = []
    for label, some in cells.items():
        at = [str(crossed_bootstrap(found.values(some, k))) for k in found.shown_ks]
        rows.append([label, len(some), *at, found.entropy(some)])
    full = cells.pop("rapo")
    differences = [
        [
            split,
            f"{label} - rapo",
            *(signed(found.difference(some, full, k, split)) for k in found.shown_ks),
        ]
        for split in found.splits
        for label, some in cells.items()
    ]
    ks = [f"pass@{k}" for k in found.shown_ks]
    return (
        "**Ablations** (Full)\n\n"
        + table(["RAPO with", "seeds", *ks, "entropy"], rows)
        + "\n\n**Ablations, paired differences**\n\n"
        + table(["split", "difference", *ks], differences)
    )


def map_cells(found: Results) -> dict[tuple[float, float], Cell]:
    """(alpha, phi_min) -> the finished cell of seed 0."""
    wanted = {(a, p): default_cell("rapo", 0, a, phi_min=p) for a in WEIGHTS for p in PHI_MINS}
    return {place: cell for place, cell in wanted.items() if cell.name in found.cells}


def map_table(found: Results) -> str:
    cells = map_cells(found)
    if len(cells) < len(WEIGHTS) * len(PHI_MINS):
        return ""
    chosen = chosen_by_validation(list(cells.values()), found.cells)
    rows = [
        [
            f"{alpha:g}",
            f"{phi_min:g}",
            *validation_score(found.cells[cell.name]),
            "chosen" if cell == chosen else "",
            *(float(found.values([cell], k).mean()) for k in (1, found.ks[-1])),
            found.entropy([cell]),
        ]
        for (alpha, phi_min), cell in cells.items()
    ]
    head = ["alpha", "phi_min", "validation pass@1", "validation pass@64", ""]
    head += ["test pass@1", f"test pass@{found.ks[-1]}", "entropy at the end"]
    return "**RAPO over alpha and phi_min** (seed 0)\n\n" + table(head, rows)


# ---------------------------------------------------------------- figures


def draw(results: dict, out: Path) -> list[Path]:
    """Write the figures that the finished cells allow; returns their paths."""
    from matplotlib.figure import Figure

    found = Results(results)
    figures = {"curves.png": draw_curves}
    if grid_table(found):
        figures["frontier.png"] = draw_frontier
    if map_table(found):
        figures["map.png"] = draw_map
    for name, draw_one in figures.items():
        figure = Figure(layout="constrained", dpi=110)
        draw_one(found, figure)
        with whole(out / name) as part:
            figure.savefig(part, format="png")
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
    cells, most = map_cells(found), found.ks[-1]
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
