"""compare.json, asked by arm and k: pass@k by cell and problem, paired differences, honest intervals.

compare.json holds, for each cell, how many of n completions of each problem of Full ("test") and Hard
were right. Estimates are means over seeds and problems. An interval draws both anew
(`crossed_bootstrap`), so it says what other seeds and other problems could have shown. Differences are
paired: problem by problem against the base, and also seed by seed against another arm.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compare.plan import (
    BASE,
    PHI_MINS,
    SEEDS,
    WEIGHTS,
    Cell,
    chosen_weights,
    default_cell,
    grid,
)
from objective import ARMS
from pass_at_k import Estimate, pass_at_k, powers_of_two


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

    def finished(self, cells: list[Cell]) -> list[Cell]:
        return [cell for cell in cells if cell.name in self.cells]

    def seeds_of(self, cell: Cell) -> list[Cell]:
        """The finished runs with the settings of this cell, in order of their seeds."""
        return self.finished([replace(cell, seed=seed) for seed in SEEDS])

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
        return [arm for arm in ARMS if arm in self.chosen]

    def grid_cells(self) -> list[Cell]:
        """The finished cells of the grid at seed 0; none if no arm has more than one."""
        cells = self.finished(grid(seed=0))
        return cells if len(cells) > len(self.arms()) else []

    def map_cells(self) -> dict[tuple[float, float], Cell]:
        """(alpha, phi_min) -> RAPO's cell of seed 0; empty until all of them are finished."""
        cells = {(a, p): default_cell("rapo", 0, a, phi_min=p) for a in WEIGHTS for p in PHI_MINS}
        return cells if len(self.finished(list(cells.values()))) == len(cells) else {}
