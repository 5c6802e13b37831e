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


def test_a_prompt_counts_once_however_many_answer_it():
    settings, _ = room.resolve(room.Settings(**SMALL))
    _, rolled = rapo_mini.train_step(rapo_mini.Run(settings))
    prompts = rolled.prompt_mask.sum(dim=1).tolist()
    drawn = rolled.completions.mask.sum(dim=1).tolist()
    assert len(prompts) == 2 and len(drawn) == 8
    assert room.tokens_of(rolled) == sum(prompts) + sum(drawn)
