"""pass@k on the screen: the short table of a run's end with what it means, and the full one.

`pass_at_k.Comparison` has the numbers; here they become lines of at most 80 columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from watch.terminal import harmless, wrapped

SPLITS = {
    "full": "Full",
    "easy": "Easy",
    "hard": "Hard",
    "hard_paper": "Hard as the paper has it (the base's 0 is true by construction)",
}
FEWEST = 6  # problems: of fewer, all may gain by chance (2 / 2**5 is more than 1 in 20)
SHORT = ("full", "easy", "hard")
BARS = {  # the three draws of a comparison, for a person who watches them
    "chosen_by": "sampling the base, to choose Hard",
    "base": "sampling the base, to score it",
    "trained": "sampling what was trained",
}


def short_table(comparison) -> str:
    """Base, trained and the gain at the first k, at 8 and at the last; then what that means."""
    ks = [k for k in comparison.ks if k in (comparison.ks[0], 8, comparison.ks[-1])]
    at = {k: comparison.estimates(k) for k in ks}
    lines = [
        f"{len(comparison.problems)} problems, {comparison.samples} samples each",
        f"{'':<21}{'base':>8}{'trained':>9}    gain, with its 95% interval",
    ]
    for split in SHORT:
        count = int(comparison.splits()[split].sum())
        same = split != SHORT[0] and count == len(comparison.problems)  # as Full: nothing is Hard
        for k in ks if count and not same else ():
            base, trained, gap = at[k][split].values()
            name = f"{SPLITS[split]} {count:>5}" if k == ks[0] else ""
            sure = " *" if excludes_0(gap, count) else ""
            lines.append(
                f"{name:<11} {f'pass@{k}':<9}{base.mean:>8.3f}{trained.mean:>9.3f}    "
                f"{gap.signed()}{sure}"
            )
    if any(line.endswith("*") for line in lines):
        lines.append("* the interval excludes 0")
    return "\n".join([*lines, wrapped(in_words(comparison))])


def excludes_0(gap, problems: int) -> bool:
    """Does the interval exclude 0, to the three digits that are shown, and over enough problems?"""
    return problems >= FEWEST and (round(gap.low, 3) > 0 or round(gap.high, 3) < 0)


def in_words(comparison) -> str:
    """One sentence: what one attempt and what many attempts say of base and trained."""
    few, many = comparison.ks[0], comparison.ks[-1]
    one, all_of_them = (comparison.estimates(k)["full"] for k in (few, many))
    gains, keeps, count = one["difference"], all_of_them["difference"], len(comparison.problems)
    said = (
        f"In {attempts(few)} the trained model solves {one['trained'].mean:.0%} of the problems, the "
        f"base {one['base'].mean:.0%}: {sure(gains, count)}"
    )
    if many == few:
        return said + "."
    if excludes_0(keeps, count):
        found = keeps.mean > 0
        so = (
            f"so it {'solves what the base does not' if found else 'has lost what the base solves'}"
        )
    elif excludes_0(gains, count) and gains.mean > 0:
        so = "so it solves what the base solves, only more often"
    else:
        so = sure(keeps, count)
    return (
        f"{said}; in {attempts(many)} {all_of_them['trained'].mean:.0%} and "
        f"{all_of_them['base'].mean:.0%}: {so}."
    )


def attempts(k: int) -> str:
    return "one attempt" if k == 1 else f"{k} attempts"


def sure(gap, problems: int) -> str:
    """Is a difference more than the choice of problems can make?"""
    if excludes_0(gap, problems):
        return "a real difference"
    return f"too close for {problems} problems to tell"


def full_table(comparison, splits: Sequence[str]) -> str:
    """Each split by every k, with all intervals, then each kind of problem."""
    at = {k: comparison.estimates(k) for k in comparison.ks}
    lines = []
    for split in splits:
        chosen = comparison.splits()[split]
        lines.append(
            wrapped(
                f"{SPLITS[split]}: {int(chosen.sum())} problems, {comparison.samples} samples each; "
                "95% intervals over problems"
            )
        )
        if not chosen.any():
            continue
        lines.append(f"{'':>10}{'base':>20}  {'trained':>20}  {'trained - base':>23}")
        for k in comparison.ks:
            base, trained, gap = at[k][split].values()
            lines.append(f" pass@{k:<4}{base!s:>20}  {trained!s:>20}  {gap.signed():>23}")
    return "\n".join([*lines, *lines_by_kind(comparison)])


def lines_by_kind(comparison) -> list[str]:
    """A line for each kind of problem, if there are several."""
    few, many = comparison.ks[0], comparison.ks[-1]
    kinds, at_many = comparison.by_kind(few), comparison.by_kind(many)
    if len(kinds) < 2:
        return []
    lines = [f"{'By kind':<26}{'problems':>8}{f'pass@{few}':>18}{f'pass@{many}':>18}"]
    for kind, (count, base, trained) in kinds.items():
        _, base_many, trained_many = at_many[kind]
        lines.append(
            f"  {harmless(kind):<24}{count:>8}{f'{base:.3f} -> {trained:.3f}':>18}"
            f"{f'{base_many:.3f} -> {trained_many:.3f}':>18}"
        )
    return lines
