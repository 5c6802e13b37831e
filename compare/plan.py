"""Which runs a comparison is made of: the grid of KL weights, the seeds, RAPO's ablations, the map.

The rule that keeps it fair: every arm with a KL gets the same grid of weights, and its curve is
drawn at the weight with the highest pass@64 on validation puzzles, among those that at least double the
base's pass@1 there. The test puzzles choose nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np

from objective import ARMS
from pass_at_k import pass_at_k

GRID_ARMS = ("rapo", "grpo", "reverse-kl", "no-kl")
WEIGHTS = (0.03, 0.1, 0.2, 0.3)  # KL weights that each of them with a KL is tried at
PHI_MINS = (0.3, 0.5, 0.7)
SEEDS = (0, 1, 2, 3, 4)  # of each arm at its chosen weight
ABLATION_SEEDS = (0, 1, 2)  # without phi, which is the question of the paper, all SEEDS
VALIDATION_SAMPLES = 64  # completions of each validation puzzle


@dataclass(frozen=True)
class Cell:
    """One training run: what differs from the defaults of its arm."""

    arm: str  # "base": no training
    alpha: float = 0.0
    seed: int = 0
    phi_min: float | None = 1.0  # None: --phi decides
    beta: float = 0.0
    kl_form: str = "auto"
    phi_from: str = "completion"
    phi: str = "linear"
    refresh_reference: int = 0

    @property
    def name(self) -> str:
        """One word, also the name of its folder.

        >>> Cell("rapo", 0.1, 2, phi_min=0.5).name, Cell("no-kl").name
        ('rapo-alpha0.1-phi_min0.5-seed2', 'no-kl-seed0')
        """
        default = Cell(self.arm)
        shown = [
            f"{'' if f.type == 'str' else f.name}{getattr(self, f.name)}"
            for f in fields(self)
            if f.name not in ("arm", "seed")
            and getattr(self, f.name) not in (None, getattr(default, f.name))
        ]
        return "-".join([self.arm, *shown, f"seed{self.seed}"])


BASE = Cell("base")


def default_cell(arm: str, seed: int = 0, alpha: float | None = None, **others) -> Cell:
    """An arm with its default settings, but for what is given."""
    own = ARMS[arm]
    weights = {"alpha": own.alpha if alpha is None else alpha, "beta": own.beta}
    return Cell(arm, seed=seed, **{**weights, "phi_min": own.phi_min, **others})


def grid(seed: int) -> list[Cell]:
    """Every arm at every weight."""
    return [
        default_cell(arm, seed, alpha)
        for arm in GRID_ARMS
        for alpha in (WEIGHTS if arm != "no-kl" else (0.0,))
    ]


def chosen_weights(finished: dict[str, dict]) -> dict[str, float]:
    """The weight of each arm by the rule. An arm without finished cells is left out.

    finished: results by the name of their cell; those of seed 0 have counts on the validation puzzles.
    """
    cells: dict[str, list[Cell]] = {}
    for cell in grid(seed=0):
        if cell.name in finished:
            cells.setdefault(cell.arm, []).append(cell)
    return {arm: chosen_by_validation(some, finished).alpha for arm, some in cells.items()}


def chosen_by_validation(cells: list[Cell], finished: dict[str, dict]) -> Cell:
    """The rule: the highest pass@64 of those that double the base's pass@1; if none does, of all."""
    base, _ = validation_score(finished[BASE.name])

    def rank(cell: Cell) -> tuple[bool, float]:
        one, many = validation_score(finished[cell.name])
        return one >= 2 * base, many

    return max(cells, key=rank)


def validation_score(result: dict) -> tuple[float, float]:
    """pass@1 and pass@64 of a finished cell on the validation puzzles."""
    correct = np.array(result["validation"])  # (N,)
    return tuple(float(pass_at_k(VALIDATION_SAMPLES, correct, k).mean()) for k in (1, 64))


def ablations(alpha: float) -> dict[str, dict]:
    """RAPO without, or with another form of, one of its parts: {label: what differs}."""
    return {
        "rapo": {"alpha": alpha},
        "phi = 1": {"alpha": alpha, "phi_min": 1.0},
        "sampled estimator": {"alpha": alpha, "kl_form": "sampled"},
        "entropy 0.01": {"alpha": alpha, "beta": 0.01},
        "group-mean phi": {"alpha": alpha, "phi_from": "group"},
    }


def paper_cells() -> dict[str, Cell]:
    """What the paper has and the arms of the grid have not, one seed each: {label: cell}."""
    flattened = {"phi": "inverse", "phi_min": None}
    return {
        **{
            f"the paper's form: phi inverse, sampled, weight {weight:g}": default_cell(
                "rapo", alpha=weight, kl_form="sampled", **flattened
            )
            for weight in (0.001, 0.01, 0.1, 0.3)
        },
        "phi inverse, exact": default_cell("rapo", **flattened),
        "phi tanh, exact": default_cell("rapo", phi="tanh", phi_min=None),
        "phi linear from 0.7, exact": default_cell("rapo"),
        "reference refreshed every 25 steps": default_cell("rapo", refresh_reference=25),
        "reference refreshed every 50 steps": default_cell("rapo", refresh_reference=50),
        "rapo-light": default_cell("rapo-light"),
        "grpo (k3)": default_cell("grpo"),
        "grpo-unbiased (rho k3)": default_cell("grpo-unbiased"),
        "no-kl": default_cell("no-kl"),
    }


def quick_cells() -> list[Cell]:
    """Base, RAPO and GRPO at their default weights."""
    return [BASE, default_cell("rapo"), default_cell("grpo")]


def cells_so_far(stages: Collection[str], finished: dict[str, dict]) -> list[Cell]:
    """The cells that can be named so far, each once: the stages after the grid wait for its choice.

    stages: of "seeds", "ablations", "map", "second grid", "paper"; finished: results by the name of
    their cell.
    """
    cells = [BASE, *grid(seed=0)]
    if not all(cell.name in finished for cell in cells):
        return cells
    chosen = chosen_weights(finished)
    ablated = [
        default_cell("rapo", seed, **kind)
        for seed in SEEDS
        for label, kind in ablations(chosen["rapo"]).items()
        if seed in ABLATION_SEEDS or label == "phi = 1"
    ]
    after_the_grid = {
        "seeds": [default_cell(a, s, chosen[a]) for s in SEEDS for a in chosen],
        "ablations": ablated,
        "map": [default_cell("rapo", 0, a, phi_min=p) for a in WEIGHTS for p in PHI_MINS],
        "second grid": grid(seed=1),
        "paper": list(paper_cells().values()),
    }
    return list(dict.fromkeys(cells + [cell for stage in stages for cell in after_the_grid[stage]]))
