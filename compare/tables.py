"""The tables of a comparison, in Markdown: what docs/results.md shows."""

from __future__ import annotations

import numpy as np

from compare.plan import (
    BASE,
    ablations,
    chosen_by_validation,
    default_cell,
    paper_cells,
    validation_score,
)
from compare.results import Results, crossed_bootstrap
from pass_at_k import Estimate


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


def all_tables(found: Results) -> str:
    """All tables that the finished cells allow, as one text."""
    sizes = {name: len(chosen) for name, (_, chosen) in found.splits.items()}
    tables = [
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
        paper_table(found),
    ]
    return "\n\n".join(filter(None, tables))


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
    cells = found.grid_cells()
    if not cells:
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


def map_table(found: Results) -> str:
    cells = found.map_cells()
    if not cells:
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


def paper_table(found: Results) -> str:
    """The paper's own forms beside ours, seed 0; pass@k minus the base's, problem by problem."""
    cells = {label: cell for label, cell in paper_cells().items() if cell.name in found.cells}
    if not any("the paper" in label for label in cells):
        return ""
    most = found.ks[-1]
    rows = [
        [
            label,
            f"{cell.alpha:g}",
            *(float(found.values([cell], k).mean()) for k in found.shown_ks),
            *(signed(found.difference([cell], [BASE], k, "full")) for k in (1, most)),
            found.entropy([cell]),
        ]
        for label, cell in cells.items()
    ]
    head = ["", "alpha", *(f"pass@{k}" for k in found.shown_ks)]
    head += ["minus base, pass@1", f"minus base, pass@{most}", "entropy"]
    return "**The paper's forms** (Full, seed 0)\n\n" + table(head, rows)
