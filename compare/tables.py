"""The tables of a comparison, in Markdown: what docs/results.md shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compare.plan import (
    BASE,
    CONTENDERS,
    RULES,
    TRIED_SEEDS,
    exact_pass_at_k,
    tried,
)
from compare.results import (
    PRIMARY_COMPARISONS,
    Primary,
    Results,
    crossed_bootstrap,
    seeds_to_resolve,
)
from problems import TIER_ORDER


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


def all_tables(found: Results) -> str:
    """All tables that the finished cells allow, as one text."""
    full, hard = (len(found.problems[split]) for split in ("full", "hard"))
    tables = [
        f"Full: {full} test problems, {found.samples['full']} fresh samples each. Hard: of "
        f"{found.pool} others the {hard} that the base missed in {found.samples['full']} "
        f"samples; everyone, the base too, is scored on {found.samples['hard']} fresh ones. "
        f"{found.protocol['steps']} training steps. Intervals: 95%, over problems and seeds.",
        primary_table(found),
        *(curve_table(found, rule) for rule in RULES),
        *(difference_table(found, rule) for rule in RULES),
        tier_table(found),
        seed_table(found),
        grid_table(found),
        tried_table(found),
        check_table(found),
    ]
    tables = [text for text in tables if text]
    count = intervals_in(tables)
    many = (
        f"{count} intervals stand above, 4 of them primary. One in twenty misses the true value by "
        f"chance: about {count / 20:.0f} of them."
    )
    return "\n\n".join([*tables, many])


def intervals_in(tables: list[str]) -> int:
    """How many intervals some tables show."""
    return sum(text.count("[") for text in tables)


def primary_table(found: Results) -> str:
    """What was declared before the runs, each contender at its weight for many attempts."""
    rows = [primary_row(found, primary) for primary in PRIMARY_COMPARISONS]
    rows = [row for row in rows if row]
    if not rows:
        return ""
    head = ["declared before the runs", "seeds", "difference", "", "seeds that would resolve it"]
    return "**The primary comparisons**\n\n" + table(head, rows)


def primary_row(found: Results, primary: Primary) -> list | None:
    k = found.largest(primary.k, primary.split)
    mine, theirs = (found.curve_cells(name) for name in (primary.mine, primary.theirs))
    gap = found.gap(mine, theirs, k, primary.split, primary.tier)  # (S, N)
    if not gap.size:
        return None
    estimate = crossed_bootstrap(gap)
    resolved = not estimate.low <= 0 <= estimate.high
    verdict = ("above" if estimate.mean > 0 else "below") if resolved else "unresolved"
    needed = "" if resolved or len(gap) < 2 else seeds_to_resolve(gap) or "more puzzles, not seeds"
    return [replace(primary, k=k), len(gap), estimate.signed(), verdict, needed]


def shown_weight(weight: float | None) -> str:
    return "" if weight is None else f"{weight:g}"


def curve_table(found: Results, rule: str) -> str:
    """pass@k of everyone at the weight of one rule."""
    texts = []
    for split in found.splits():
        ks, rows = found.shown_ks(split), []
        for name in ["base", *found.contenders()]:
            cells = found.curve_cells(name, rule)
            if not len(found.values(cells, 1, split)):
                continue
            at = [str(crossed_bootstrap(found.values(cells, k, split))) for k in ks]
            weight = "" if name == "base" else shown_weight(found.weight(name, rule))
            rows.append([name, weight, len(found.values(cells, 1, split)), *at])
        head = [split.capitalize(), "alpha", "seeds", *(f"pass@{k}" for k in ks)]
        if len(rows) > 1:
            texts.append(table(head, rows))
    return f"**pass@k, each at its weight for {rule} attempts**\n\n" + "\n\n".join(texts)


def difference_table(found: Results, rule: str) -> str:
    """Each contender against the base, and RAPO against each other."""
    names = found.contenders()
    pairs = [(name, "base") for name in names]
    pairs += [("rapo", name) for name in names if name != "rapo" and "rapo" in names]
    texts = []
    for split in found.splits():
        ks, rows = found.shown_ks(split), []
        for mine, theirs in pairs:
            at = [found.against(mine, theirs, k, split, rule) for k in ks]
            if not np.isnan(at[0].mean):
                rows.append([f"{mine} - {theirs}", *(e.signed() for e in at)])
        if rows:
            texts.append(table([split.capitalize(), *(f"pass@{k}" for k in ks)], rows))
    return f"**Paired differences, weights for {rule} attempts**\n\n" + "\n\n".join(texts)


def tier_table(found: Results) -> str:
    """What each has of each tier: exact p(right rule), and pass@256 from samples."""
    tiers, k = TIER_ORDER, found.ks()[-1]
    rows = []
    for name in ["base", *found.contenders()]:
        cells = found.curve_cells(name)
        chosen = [f"{chosen_rule(found, cells, tier):.1e}" for tier in tiers]
        solved = [float(found.values(cells, k, "full", tier).mean()) for tier in tiers]
        rows.append([name, *chosen, *solved])
    head = ["", *(f"p(rule), {tier}" for tier in tiers), *(f"pass@{k}, {tier}" for tier in tiers)]
    return (
        "**Forgets and finds, by tier** (Full; weights for many attempts; p(rule): the exact mean "
        "probability of the right rule)\n\n" + table(head, rows)
    )


def chosen_rule(found: Results, cells: list, tier: str) -> float:
    """Mean exact p(right rule | puzzle) of some cells on a tier of Full."""
    of_tier = found.of_tier("full", tier)
    values = [found.cells[cell.name]["exact"]["test"]["chosen"] for cell in cells]
    return float(np.array(values)[:, of_tier].mean())


def seed_table(found: Results) -> str:
    """Seed by seed: nothing is averaged away."""
    ks = found.shown_ks()
    base = {k: float(found.values([BASE], k).mean()) for k in ks}
    before = np.array(found.cells[BASE.name]["test"]) > 0
    rows = [["base", "", "", *base.values(), "", "", "", ""]]
    for name in found.contenders():
        for cell in found.curve_cells(name):
            at = [float(found.values([cell], k).mean()) for k in ks]
            after = np.array(found.cells[cell.name]["test"]) > 0
            won, lost = int((after & ~before).sum()), int((before & ~after).sum())
            times, entropy = f"{at[0] / base[1]:.2f}", found.entropy([cell])
            rows.append([name, shown_weight(cell.alpha), cell.seed, *at, times, won, lost, entropy])
    head = ["", "alpha", "seed", *(f"pass@{k}" for k in ks)]
    head += ["pass@1 / base's", "newly solved", "no longer", "entropy"]
    n = found.samples["full"]
    return (
        f"**Seed by seed** (Full; weights for many attempts. Newly solved: in {n} samples, of the "
        f"problems that the base solved in none of {n}; no longer: the other way round)\n\n"
        + table(head, rows)
    )


def grid_table(found: Results) -> str:
    """Every weight: what chose it, and what it gives on the test puzzles."""
    most, rows = found.ks()[-1], []
    for name in CONTENDERS:
        for alpha, cells in found.grid_runs(name).items():
            exact = [
                float(np.mean([exact_pass_at_k(found.cells[c.name], k).mean() for c in cells]))
                for k in RULES.values()
            ]
            marks = [r for r in RULES if name in found.chosen and found.chosen[name][r] == alpha]
            at = [float(found.values(cells, k).mean()) for k in (1, most)]
            rows.append([name, shown_weight(alpha), len(cells), *exact, ", ".join(marks), *at])
            rows[-1].append(found.entropy(cells))
    if not rows:
        return ""
    head = ["", "alpha", "seeds", *(f"validation pass@{k}, exact" for k in RULES.values())]
    head += ["chosen for", "test pass@1", f"test pass@{most}", "entropy"]
    return "**The grid of KL weights**\n\n" + table(head, rows)


def tried_table(found: Results) -> str:
    """RAPO with one thing changed, beside RAPO itself at the same seeds."""
    if "rapo" not in found.chosen:
        return ""
    plain = CONTENDERS["rapo"].cells(found.weight("rapo", "many"), TRIED_SEEDS)
    cells = {"rapo": found.finished(plain)}
    for label, cell in tried(found.cells).items():
        cells[label] = found.finished([replace(cell, seed=seed) for seed in TRIED_SEEDS])
    cells = {label: some for label, some in cells.items() if some}
    if len(cells) < 2:
        return ""
    most = found.ks()[-1]
    rows = [
        [
            label,
            len(some),
            *(float(found.values(some, k).mean()) for k in found.shown_ks()),
            *(
                "" if label == "rapo" else found.difference(some, plain, k).signed()
                for k in (1, most)
            ),
            found.entropy(some),
        ]
        for label, some in cells.items()
    ]
    head = ["RAPO with", "seeds", *(f"pass@{k}" for k in found.shown_ks())]
    head += ["minus RAPO, pass@1", f"minus RAPO, pass@{most}", "entropy"]
    return "**Also tried** (Full, at RAPO's weight for many attempts)\n\n" + table(head, rows)


def check_table(found: Results) -> str:
    """pass@k from exact probabilities beside pass@k from samples: do they agree?"""
    rows = []
    for name in ["base", *found.contenders()]:
        cells = found.curve_cells(name)
        pairs = [(found.exact(cells, k), found.values(cells, k)) for k in found.shown_ks()]
        rows.append([name, *(f"{e.mean():.3f} / {v.mean():.3f}" for e, v in pairs)])
    return (
        "**Predicted / measured** (Full: from exact probabilities, and from samples)\n\n"
        + table(["", *(f"pass@{k}" for k in found.shown_ks())], rows)
    )
