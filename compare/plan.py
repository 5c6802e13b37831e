"""Which runs a comparison is made of: contenders, each at its grid of KL weights, over seeds.

A contender is an arm with its settings but for the weight of its KL. Two rules choose its weight, on
validation puzzles and over GRID_SEEDS, and both are shown:

    few     the highest pass@1: who may try once
    many    the highest pass@256: who may try often

Both are computed from exact probabilities (`watch/forks.py`), so no sampling noise chooses. The test
puzzles choose nothing. At its two weights a contender gets all SEEDS. What is primary, and what only
described, was written down in docs/results.md before the runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from objective import ARMS
from watch.forks import AtForks

WEIGHTS = (0.03, 0.1, 0.3, 0.6, 1.0)  # of the KL, the same for every contender that has one ...
PAPER_WEIGHTS = (0.001, 0.01, 0.03, 0.1, 0.3)  # ... but the paper's form, whose weight is 0.001
GRID_SEEDS = (0, 1)  # of every weight; they choose
SEEDS = (0, 1, 2, 3, 4)  # of each contender at its chosen weights
TRIED_SEEDS = (0, 1)
RULES = {"few": 1, "many": 256}  # which pass@k a rule looks at


@dataclass(frozen=True)
class Cell:
    """One training run: what differs from the defaults of its arm."""

    arm: str  # "base": no training
    alpha: float | None = None
    seed: int = 0
    alpha_right: float | None = None
    phi: str = "linear"
    phi_min: float | None = None
    phi_from: str = "completion"
    kl_form: str = "auto"
    plausible: float | None = None
    fork_entropy: float | None = None
    refresh_reference: int = 0
    steps: int | None = None  # None: as many as all others

    @property
    def name(self) -> str:
        """One word, also the name of its folder.

        >>> Cell("rapo", 0.1, 2, phi_min=0.5).name, Cell("no-kl").name
        ('rapo-alpha0.1-phi_min0.5-seed2', 'no-kl-seed0')
        """
        default = Cell(self.arm)
        shown = [
            f"{f.name}{getattr(self, f.name)}"
            for f in fields(self)
            if f.name not in ("arm", "seed") and getattr(self, f.name) != getattr(default, f.name)
        ]
        return "-".join([self.arm, *shown, f"seed{self.seed}"])


BASE = Cell("base")


@dataclass(frozen=True)
class Contender:
    """An arm with its settings, the weights that it is tried at, and how it is drawn."""

    cell: Cell  # without weight and seed
    weights: tuple[float | None, ...] = WEIGHTS
    colour: str = ""
    dashes: str | tuple = "-"

    def cells(self, alpha: float | None, seeds: Collection[int]) -> list[Cell]:
        """Its runs at one weight."""
        return [replace(self.cell, alpha=alpha, seed=seed) for seed in seeds]

    def grid(self) -> list[Cell]:
        """Its runs at every weight, that choose among them."""
        return [cell for alpha in self.weights for cell in self.cells(alpha, GRID_SEEDS)]


def _arm(name: str) -> Contender:
    weights = WEIGHTS if ARMS[name].alpha else (None,)
    return Contender(Cell(name), weights, ARMS[name].colour, ARMS[name].dashes)


CONTENDERS = {
    "rapo": _arm("rapo"),
    "grpo": _arm("grpo"),
    "no-kl": _arm("no-kl"),
    "rapo-light": _arm("rapo-light"),
    "reverse-kl": _arm("reverse-kl"),
    "grpo-unbiased": _arm("grpo-unbiased"),
    "rapo, no support": Contender(Cell("rapo", plausible=0.0), WEIGHTS, ARMS["rapo"].colour, ":"),
    "rapo as published": Contender(
        Cell("rapo", kl_form="sampled", phi="inverse"), PAPER_WEIGHTS, ARMS["rapo"].colour, "-."
    ),
    "max-rl": _arm("max-rl"),
    "pass-at-k": _arm("pass-at-k"),
}
PRIMARY = ("rapo", "grpo", "no-kl")  # their runs come first


def tried(finished: dict[str, dict]) -> dict[str, Cell]:
    """What else was tried with RAPO, at its weight for many attempts: {label: cell}."""
    weight = chosen_weights(finished)["rapo"]["many"]
    rapo = replace(CONTENDERS["rapo"].cell, alpha=weight)
    return {
        "a tenth of it on right completions": replace(rapo, alpha_right=weight / 10),
        "twice as many steps": replace(rapo, steps=400),
        "reference refreshed every 50 steps": replace(rapo, refresh_reference=50),
        "phi from the group's mean reward": replace(rapo, phi_from="group"),
        "the paper's phi (inverse), at forks": replace(rapo, phi="inverse"),
        "everywhere, not only at forks": replace(rapo, fork_entropy=0.0),
    }


# ---------------------------------------------------------------- the choice


def chosen_weights(finished: dict[str, dict]) -> dict[str, dict[str, float | None]]:
    """{contender: {rule: weight}} for every contender whose grid is finished.

    finished: results by the name of their cell.
    """
    return {
        name: {rule: best_weight(contender, k, finished) for rule, k in RULES.items()}
        for name, contender in CONTENDERS.items()
        if all(cell.name in finished for cell in contender.grid())
    }


def best_weight(contender: Contender, k: int, finished: dict[str, dict]) -> float | None:
    """The weight with the highest pass@k on validation puzzles, in the mean over GRID_SEEDS.

    Of a grid that is not finished, the best so far. Raises ValueError if none of it is.
    """

    def runs(alpha: float | None) -> list[Cell]:
        return [c for c in contender.cells(alpha, GRID_SEEDS) if c.name in finished]

    def score(alpha: float | None) -> float:
        return float(np.mean([exact_pass_at_k(finished[c.name], k).mean() for c in runs(alpha)]))

    return max(filter(runs, contender.weights), key=score)


def exact_pass_at_k(result: dict, k: int, problems: str = "validation") -> np.ndarray:
    """pass@k of each puzzle of a set from a finished cell's exact probabilities: (N,)."""
    found = result["exact"][problems]
    return AtForks(*(np.array(found[name]) for name in AtForks._fields)).pass_at_k(k)


# ---------------------------------------------------------------- the order of the runs


def quick_cells() -> list[Cell]:
    """Base, RAPO and GRPO at their default weights."""
    return [BASE, *(replace(CONTENDERS[a].cell, alpha=ARMS[a].alpha) for a in ("rapo", "grpo"))]


def at_chosen(name: str, finished: dict[str, dict]) -> list[Cell]:
    """A contender's runs at its chosen weights, over SEEDS; none before its grid is finished."""
    weights = chosen_weights(finished).get(name, {})
    cells = [c for alpha in weights.values() for c in CONTENDERS[name].cells(alpha, SEEDS)]
    return list(dict.fromkeys(cells))


def cells_so_far(stages: Collection[str], finished: dict[str, dict]) -> list[Cell]:
    """The cells that can be named so far, each once, in the order in which they should run.

    stages: of "primary", "others", "tried"; finished: results by the name of their cell.
    """
    return list(dict.fromkeys(in_order(stages, finished)))


def in_order(stages: Collection[str], finished: dict[str, dict]) -> Iterator[Cell]:
    yield BASE
    others = [name for name in CONTENDERS if name not in PRIMARY]
    for stage, names in (("primary", PRIMARY), ("others", others)):
        if stage in stages:
            cells = [cell for name in names for cell in CONTENDERS[name].grid()]
            yield from sorted(cells, key=lambda cell: cell.seed)  # a first picture early
            for name in names:
                yield from at_chosen(name, finished)
    if "tried" in stages and "rapo" in chosen_weights(finished):
        for cell in tried(finished).values():
            yield from (replace(cell, seed=seed) for seed in TRIED_SEEDS)


def scored_on_hard(finished: dict[str, dict]) -> set[str]:
    """Names of the cells that Hard is sampled for: the base, and every contender at its weights."""
    return {BASE.name} | {c.name for name in CONTENDERS for c in at_chosen(name, finished)}
