"""benchmarks/step_vs_trl.py --profile: ours alone, where its time goes (the comparison needs TRL)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import step_vs_trl as room  # noqa: E402

import rapo_mini  # noqa: E402

SMALL = {"model": str(room.BUNDLED_BASE), "out": "-", "prompts": 2, "group_size": 4, "threads": 1}


def test_the_profile_names_operators_and_the_share_of_the_products():
    settings, _ = room.resolve(room.Settings(**SMALL))
    table = room.profile(settings, room.Options(steps=2, warm_up=1, threads=1)).splitlines()
    assert table[0].startswith("| operator") and any(line.startswith("| mm |") for line in table)
    share = int(table[-1].split(", ")[-1].removesuffix("%"))
    assert 0 < share < 100 and "its products alone" in table[-1]


def test_what_is_learned_from_counts_once_however_often_it_was_drawn():
    settings, _ = room.resolve(room.Settings(**SMALL))
    _, rolled = rapo_mini.train_step(rapo_mini.Run(settings))
    tokens, mask = rolled.completions.tokens, rolled.completions.mask
    for drawn in (tokens, mask):
        drawn[1] = drawn[0]  # a copy, of the same prompt
    prompts, lengths = int(rolled.prompt_mask.sum()), mask.sum(dim=1).tolist()
    copies = {row for row in range(1, 8) if any(same(rolled, row, other) for other in range(row))}
    assert 1 in copies and len(lengths) == 8
    once = sum(length for row, length in enumerate(lengths) if row not in copies)
    assert room.passes(rolled) == prompts + sum(lengths) + 3 * (prompts + once)


def same(rolled, row, other):
    """Is it the same text, after the same prompt? Four of eight rows belong to each of two prompts."""
    texts = [rolled.completions.tokens[r] * rolled.completions.mask[r] for r in (row, other)]
    return row // 4 == other // 4 and bool((texts[0] == texts[1]).all())
