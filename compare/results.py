"""compare.json, asked by contender and k: pass@k by cell and problem, paired differences, intervals.

compare.json holds, for each cell, how many of n completions of each problem of Full ("test") and Hard
were right, and its exact probabilities. Estimates are means over seeds and problems. An interval draws
both anew (`crossed_bootstrap`), so it says what other seeds and other problems could have shown.
Differences are paired: problem by problem against the base, and also seed by seed against another
contender.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from compare.plan import (
    BASE,
    CONTENDERS,
    GRID_SEEDS,
    RULES,
    SEEDS,
    Cell,
    best_weight,
    chosen_weights,
    exact_pass_at_k,
)
from pass_at_k import Estimate, pass_at_k, powers_of_two
from problems import TIERS, Problem


def crossed_bootstrap(values: np.ndarray, resamples: int = 4000, seed: int = 0) -> Estimate:
    """Mean of (S, N) values with a 95% interval that draws S seeds and N problems anew, independently.

    With one seed it counts the problems alone. With few seeds it is a little too narrow, as any
    bootstrap of a handful is.

    >>> print(crossed_bootstrap(np.full((5, 20), 0.25)))
    0.250 [0.250, 0.250]
    """
    if values.size == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    seed_share, problem_share = drawn_anew(*values.shape, resamples, seed)
    means = np.einsum("rs,sn,rn->r", seed_share, values, problem_share, optimize=True)  # (R,)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))


@lru_cache(maxsize=16)
def drawn_anew(
    seeds: int, problems: int, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The share of each seed (R, S) and of each problem (R, N) in R draws of as many, put back."""
    rng = np.random.default_rng(seed)
    return tuple(rng.multinomial(n, np.full(n, 1 / n), resamples) / n for n in (seeds, problems))


def seeds_to_resolve(values: np.ndarray, most: int = 1000) -> int | None:
    """How many seeds would have put the interval of the mean of (S, N) values on one side of 0.

    From the variance between seeds and that between problems, if the mean stays what it is. None: no
    number up to `most`, since these problems alone vary too much.

    >>> seeds_to_resolve(np.array([[0.3, 0.3], [0.1, 0.1], [-0.1, -0.1], [0.1, 0.1]]))
    11
    """
    seeds, problems = values.shape
    if seeds < 2:
        return None
    between_seeds = values.mean(axis=1).var(ddof=1)
    between_problems = values.mean(axis=0).var(ddof=1) / problems if problems > 1 else 0.0
    room = (values.mean() / 1.96) ** 2 - between_problems  # what the seeds' part may be at most
    needed = between_seeds / room if room > 0 else np.inf
    return int(np.ceil(needed)) if needed <= most else None


@dataclass(frozen=True)
class Primary:
    """A comparison that was declared before the runs: mine - theirs at k, on puzzles of a split."""

    mine: str
    theirs: str  # a contender, or "base"
    k: int
    split: str
    tier: str = ""  # "": all

    def __str__(self) -> str:
        tier = f", {self.tier} tier" if self.tier else ""
        return f"{self.mine} - {self.theirs}, pass@{self.k}, {self.split.capitalize()}{tier}"


PRIMARY_COMPARISONS = (
    Primary("rapo", "base", 256, "full"),
    Primary("rapo", "grpo", 256, "full"),
    Primary("rapo", "grpo", 1024, "hard"),
    Primary("rapo", "no-kl", 256, "full", "rare"),
)


KEYS = {"full": "test", "hard": "hard"}  # split -> its name in a cell's entry


class Results:
    """compare.json, asked by contender and k."""

    def __init__(self, results: dict, sets: dict[str, list[Problem]]):
        """results: the file; sets: the puzzles that it was made on, from `cells.puzzle_sets`."""
        self.cells = results["cells"]
        self.protocol = results["protocol"]
        self.samples = {
            "full": self.protocol["samples"],
            "hard": self.protocol["hard_samples"],
        }
        self.pool = len(sets["pool"])  # what Hard was chosen from
        hard = [sets["pool"][i] for i in results["missed"]]
        self.problems = {"full": sets["test"], "hard": hard}
        self.chosen = chosen_weights(self.cells)

    def splits(self) -> list[str]:
        return [name for name, problems in self.problems.items() if problems]

    def ks(self, split: str = "full") -> list[int]:
        return powers_of_two(self.samples[split])

    def shown_ks(self, split: str = "full") -> list[int]:
        return [k for k in (1, 16, 64, 256, 1024) if k in self.ks(split)]

    def largest(self, k: int, split: str) -> int:
        """k, or the largest that was sampled: a quick comparison has fewer samples."""
        return min(k, self.ks(split)[-1])

    def contenders(self) -> list[str]:
        """Those with a finished run, of the grid at least."""
        return [name for name in CONTENDERS if self.curve_cells(name)]

    def weight(self, name: str, rule: str) -> float | None:
        """A contender's weight by a rule; before its grid is finished, the best so far, or None."""
        if not self.finished(CONTENDERS[name].grid()):
            return None
        return best_weight(CONTENDERS[name], RULES[rule], self.cells)

    def sampled(self, split: str) -> list[str]:
        """The contenders with runs, at their weight for many attempts, that were sampled on a split."""
        return [n for n in self.contenders() if len(self.values(self.curve_cells(n), 1, split))]

    def finished(self, cells: list[Cell]) -> list[Cell]:
        return [cell for cell in cells if cell.name in self.cells]

    def curve_cells(self, name: str, rule: str = "many") -> list[Cell]:
        """The finished runs of a contender at its weight by a rule, in order of their seeds."""
        if name == "base":
            return self.finished([BASE])
        return self.finished(CONTENDERS[name].cells(self.weight(name, rule), SEEDS))

    def of_tier(self, split: str, tier: str) -> np.ndarray:
        """Which puzzles of a split belong to a tier ("": all): boolean (N,)."""
        tiers = np.array([TIERS[problem.kind] for problem in self.problems[split]])
        return tiers == tier if tier else np.ones(len(tiers), dtype=bool)

    def values(self, cells: list[Cell], k: int, split: str = "full", tier: str = "") -> np.ndarray:
        """pass@k by cell and problem, from samples: (S, N). Cells that were not sampled are left out."""
        key = KEYS[split]
        some = [self.cells[cell.name][key] for cell in cells if key in self.cells[cell.name]]
        chosen = self.of_tier(split, tier)
        correct = np.array(some, dtype=int).reshape(len(some), len(chosen))[:, chosen]
        return np.array([pass_at_k(self.samples[split], row, k) for row in correct]).reshape(
            len(some), int(chosen.sum())
        )

    def exact(self, cells: list[Cell], k: int, split: str = "full", tier: str = "") -> np.ndarray:
        """pass@k by cell and problem, from exact probabilities: (S, N)."""
        chosen = self.of_tier(split, tier)
        return np.array(
            [exact_pass_at_k(self.cells[c.name], k, KEYS[split])[chosen] for c in cells]
        )

    def entropy(self, cells: list[Cell]) -> float:
        """Mean entropy of some cells at the end of training, nats per token."""
        return float(np.mean([self.cells[cell.name]["last"]["entropy"] for cell in cells]))

    def gap(
        self, mine: list[Cell], theirs: list[Cell], k: int, split: str = "full", tier: str = ""
    ) -> np.ndarray:
        """pass@k of some cells less others', paired by problem and (not the base) by seed: (S, N)."""
        if theirs != [BASE]:
            seeds = {cell.seed for cell in mine} & {cell.seed for cell in theirs}
            mine, theirs = ([c for c in some if c.seed in seeds] for some in (mine, theirs))
        mine_at, theirs_at = (self.values(some, k, split, tier) for some in (mine, theirs))
        if len(mine_at) != len(theirs_at) and len(theirs_at) != 1:
            return np.empty((0, mine_at.shape[1]))  # Hard is not yet sampled for all of them
        return mine_at - theirs_at

    def difference(
        self, mine: list[Cell], theirs: list[Cell], k: int, split: str = "full", tier: str = ""
    ) -> Estimate:
        return crossed_bootstrap(self.gap(mine, theirs, k, split, tier))

    def against(
        self, mine: str, theirs: str, k: int, split: str = "full", rule: str = "many"
    ) -> Estimate:
        """The paired difference of two contenders, both at their weights by a rule."""
        return self.difference(
            self.curve_cells(mine, rule), self.curve_cells(theirs, rule), k, split
        )

    def grid_runs(self, name: str) -> dict[float | None, list[Cell]]:
        """weight -> the finished runs of a contender's grid; {} if it has but one weight."""
        contender = CONTENDERS[name]
        runs = {a: self.finished(contender.cells(a, GRID_SEEDS)) for a in contender.weights}
        return {a: some for a, some in runs.items() if some} if len(runs) > 1 else {}
