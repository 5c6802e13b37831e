"""compare: the rule, the intervals, the tables and figures, the comparison that is killed and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from compare import cells as room
from compare.__main__ import main
from compare.cells import Options, completed, load_results, missed_by_base, puzzle_sets
from compare.figures import draw_curves, draw_figures, spread
from compare.plan import (
    ABLATION_SEEDS,
    BASE,
    GRID_ARMS,
    PHI_MINS,
    SEEDS,
    WEIGHTS,
    cells_so_far,
    chosen_by_validation,
    chosen_weights,
    default_cell,
    grid,
    quick_cells,
)
from compare.results import Results, crossed_bootstrap
from compare.tables import all_tables
from objective import ARMS
from pass_at_k import bootstrap

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("seeds", "ablations", "map", "second grid", "paper")
PROBLEMS, HARD, SAMPLES = 40, 12, 16


def result(cell, rng, chance, unsolved=10):
    """A cell's entry in compare.json with right answers drawn at `chance` on every problem."""
    return {
        "cell": asdict(cell),
        "last": {"reward": 0.4, "entropy": 0.1, "kl": 0.1},
        "seconds": {"sample": 1.0, "learn": 2.0, "evaluate": 3.0},
        "test": rng.binomial(SAMPLES, chance, PROBLEMS).tolist(),
        "hard": rng.binomial(SAMPLES, chance / 10, HARD).tolist(),
        "validation": [0] * unsolved
        + [30 if cell.alpha or cell.seed else 10] * (PROBLEMS - unsolved),
    }


@pytest.fixture(scope="module")
def results():
    """A whole comparison with drawn counts: RAPO 0.6, the other arms 0.4, the base 0.2 a sample."""
    rng = np.random.default_rng(0)
    cells = {BASE.name: result(BASE, rng, 0.2)}
    while todo := [c for c in cells_so_far(STAGES, cells) if c.name not in cells]:
        for cell in todo:
            chance = 0.6 if cell.arm == "rapo" else 0.4
            cells[cell.name] = result(cell, rng, chance, unsolved=4 if cell.alpha == 0.1 else 10)
    protocol = {"steps": 200, "problems": PROBLEMS, "pool": 60, "samples": SAMPLES}
    missed = {"test": list(range(10)), "pool": list(range(0, 60, 5))}
    return {"protocol": protocol, "missed": missed, "cells": cells}


# ---------------------------------------------------------------- the plan


def test_the_grid_comes_first_and_treats_all_arms_alike():
    cells = cells_so_far(STAGES, {})
    assert cells == [BASE, *grid(0)]
    for arm in set(GRID_ARMS) - {"no-kl"}:
        assert [c.alpha for c in cells if c.arm == arm] == list(WEIGHTS)


def test_after_the_grid_each_arm_gets_the_seeds_at_its_own_weight(results):
    grid_only = {c.name: results["cells"][c.name] for c in [BASE, *grid(0)]}
    cells = cells_so_far(["seeds"], grid_only)
    for arm in GRID_ARMS:
        alpha = 0.0 if arm == "no-kl" else 0.1
        assert [c.seed for c in cells if c.arm == arm and c.alpha == alpha] == list(SEEDS)
    cells = cells_so_far(["ablations"], grid_only)
    for kind, seeds in (({"phi_min": 1.0}, SEEDS), ({"kl_form": "sampled"}, ABLATION_SEEDS)):
        assert [c.seed for c in cells if c == default_cell("rapo", c.seed, 0.1, **kind)] == list(
            seeds
        )
    planned = cells_so_far(STAGES, grid_only)
    assert len(planned) == len({c.name for c in planned}), "a cell is planned twice"


def test_the_weight_is_chosen_by_validation_and_never_by_test(results):
    cells = {c.name: dict(results["cells"][c.name]) for c in [BASE, *grid(0)]}
    assert chosen_weights(cells)["grpo"] == 0.1
    best_on_test = cells[default_cell("grpo", 0, 0.3).name]
    best_on_test["test"] = [SAMPLES] * PROBLEMS
    assert chosen_weights(cells)["grpo"] == 0.1
    best_on_test["validation"] = [30] * PROBLEMS
    assert chosen_weights(cells)["grpo"] == 0.3
    best_on_test["validation"] = [11] * PROBLEMS  # more solved in 64, but pass@1 is not doubled
    assert chosen_weights(cells)["grpo"] == 0.1


# ---------------------------------------------------------------- intervals


def test_the_interval_counts_seeds_and_problems():
    """Draws with an effect of each seed and of each problem: the crossed interval covers the truth, one
    that draws only problems does not."""
    rng = np.random.default_rng(0)
    crossed, only_problems = [], []
    for i in range(200):
        values = 0.1 * rng.standard_normal((8, 1)) + 0.3 * rng.standard_normal((1, 60))
        values = values + 0.05 * rng.standard_normal((8, 60))
        both, one = crossed_bootstrap(values, 400, i), bootstrap(values.mean(axis=0), 400, i)
        crossed.append(both.low <= 0 <= both.high)
        only_problems.append(one.low <= 0 <= one.high)
    assert 0.87 <= np.mean(crossed) <= 0.99
    assert np.mean(only_problems) < np.mean(crossed) - 0.05


def test_differences_are_paired(results):
    """An arm that has the base's own counts differs from it by nothing, with no width."""
    cells = dict(results["cells"])
    for seed in SEEDS:
        cell = default_cell("grpo", seed, 0.1)
        cells[cell.name] = cells[cell.name] | {"test": cells[BASE.name]["test"]}
    found = Results(results | {"cells": cells})
    assert tuple(found.against("grpo", "base", 16, "full")) == (0, 0, 0)
    gap = found.against("rapo", "grpo", 1, "full")
    assert gap.mean == pytest.approx(0.4, abs=0.05) and gap.low > 0.3


def test_ablations_are_paired_with_rapo_by_seed(results):
    """Without phi the counts are RAPO's own on the four seeds that it has: a difference of nothing."""
    cells = dict(results["cells"])
    for seed in SEEDS:
        rapo, ablated = (default_cell("rapo", seed, 0.1, **kind) for kind in ({}, {"phi_min": 1.0}))
        cells[ablated.name] = cells[rapo.name]
    del cells[ablated.name]
    text = all_tables(Results(results | {"cells": cells}))
    rows = [row for row in text.splitlines() if "phi = 1 - rapo" in row]
    assert len(rows) == 3 and all(row.count("+0.000 [+0.000, +0.000]") == 2 for row in rows)


def test_an_ablation_without_a_seed_in_common_with_rapo_has_no_difference_yet(results):
    """A comparison that was stopped early can be drawn all the same."""
    early = [c for c in results["cells"] if c.startswith("rapo-alpha0.1-seed") and c[-1] != "3"]
    early += [default_cell("rapo", seed, 0.1).name for seed in (1, 2, 3, 4)]
    cells = {name: result for name, result in results["cells"].items() if name not in early}
    assert "phi = 1 - rapo | +nan" in all_tables(Results(results | {"cells": cells}))


def test_hard_is_what_the_base_missed_in_the_samples_that_choose(results):
    found, base = Results(results), results["cells"][BASE.name]
    assert found.values([BASE], 1, "easy").shape == (1, PROBLEMS - 10)
    assert found.values([BASE], 1, "hard").tolist() == [[c / SAMPLES for c in base["hard"]]]
    assert found.values([BASE], 16, "hard").mean() > 0, "scored on other samples than those"


def test_what_the_base_missed_is_what_all_its_samples_miss(monkeypatch):
    """Rounds: 16 samples of all problems, 16 more of the unsolved, then 32: 64 in all, or a hit."""
    options = completed(Options(problems=4, pool=9, samples=64))
    sets, asked = puzzle_sets(options), []
    assert len(sets["test"]) == 4 and not set(sets["test"]) & set(sets["pool"])

    def fake(policy, problems, seed, samples, adapter_on):
        asked.append((len(problems), seed, samples))
        first = problems[0] == sets["test"][0]
        return [1 if first and i == 0 and samples == 16 else 0 for i in range(len(problems))]

    monkeypatch.setattr(room, "right_answers", fake)
    assert missed_by_base(sets["test"], options) == [1, 2, 3]
    assert [(n, s) for n, _, s in asked] == [(4, 16), (3, 16), (3, 32)]
    assert len({seed for _, seed, _ in asked}) == 3, "the same samples again"


# ---------------------------------------------------------------- tables and figures


def test_every_table_and_figure_is_made(results, tmp_path):
    text = all_tables(Results(results))
    for title in (
        "chosen weight",
        "Paired",
        "Seed by seed",
        "grid",
        "Ablations",
        "phi_min",
        "paper",
    ):
        assert title in text
    assert text.count("| rapo | 0.1 | ") >= len(SEEDS)
    assert text.count("| chosen |") == len(GRID_ARMS) + 1, "one weight an arm, one place of the map"
    for path in draw_figures(Results(results), tmp_path):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


def test_the_defaults_and_the_tables_of_the_docs_are_those_of_its_runs():
    """The rule picks each arm's default weight, and RAPO's phi_min; docs/results.md is up to date."""
    saved = json.loads((ROOT / "docs" / "compare.json").read_text())
    chosen = chosen_weights(saved["cells"])
    assert chosen == {name: ARMS[name].alpha for name in GRID_ARMS}
    on_the_map = list(Results(saved).map_cells().values())
    assert len(on_the_map) == len(WEIGHTS) * len(PHI_MINS)
    assert chosen_by_validation(on_the_map, saved["cells"]) == default_cell("rapo")
    shown = (ROOT / "docs" / "results.md").read_text().splitlines()
    rows = [line for line in all_tables(Results(saved)).splitlines() if line.startswith("| ")]
    assert [row for row in rows if row not in shown] == []


def test_the_curves_are_the_tables_numbers(results):
    found, figure = Results(results), Figure()
    draw_curves(found, figure)
    drawn = [line.get_ydata() for line in figure.axes[0].lines]
    for arm, heights in zip(["base", *found.arms()], drawn, strict=True):
        cells = found.curve_cells(arm)
        assert heights == pytest.approx([found.values(cells, k).mean() for k in found.ks])
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names == ["base", *found.arms()]


def test_labels_are_spread():
    heights = spread([0.5, 0.52, 0.51, 0.9], 0.1)
    assert min(np.diff(sorted(heights))) >= 0.0999 and heights[3] == 0.9
    assert np.argsort(heights).tolist() == [0, 2, 1, 3]


# ---------------------------------------------------------------- the command

COMMAND = [sys.executable, "-m", "compare", "--quick"]
COMMAND += ["--steps", "8", "--problems", "3", "--pool", "6", "--samples", "4", "--jobs", "2"]


def run(out, **options):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*COMMAND, "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, cwd=ROOT, start_new_session=True, **options,
    )  # fmt: skip


def without_seconds(out):
    cells = json.loads((out / "compare.json").read_text())["cells"]
    return {name: {k: v for k, v in cell.items() if k != "seconds"} for name, cell in cells.items()}


def test_a_killed_comparison_goes_on_and_gives_the_same_table(tmp_path):
    undisturbed = run(tmp_path / "whole")
    table, errors = undisturbed.communicate(timeout=600)
    assert undisturbed.returncode == 0, errors
    killed = run(tmp_path / "killed")
    log = tmp_path / "killed" / "cells" / quick_cells()[1].name / "metrics.jsonl"
    while not (log.exists() and log.read_bytes().count(b"\n") > 2):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert len(without_seconds(tmp_path / "whole")) == 3
    again = run(tmp_path / "killed")
    same_table, errors = again.communicate(timeout=600)
    assert again.returncode == 0, errors
    screen = Path(f"{log.parent}.screen.txt").read_text()
    assert "going on with" in screen
    assert without_seconds(tmp_path / "killed") == without_seconds(tmp_path / "whole")
    assert same_table.replace(f"{tmp_path}/killed", f"{tmp_path}/whole") == table


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"steps": 0}, "--steps 0"),
        ({"samples": 0}, "--samples 0"),
        ({"jobs": 0}, "--jobs 0"),
        ({"draw_only": True}, "--draw-only"),
    ],
)
def test_bad_input_is_named_with_its_flag(tmp_path, capsys, wrong, named):
    assert main(Options(out=tmp_path, **wrong)) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"cells": {}}'])
def test_a_file_that_holds_no_comparison_is_named(tmp_path, capsys, content):
    (tmp_path / "compare.json").write_text(content)
    assert main(Options(out=tmp_path)) == 2
    assert "compare.json" in capsys.readouterr().err


def test_comparisons_of_different_length_or_base_are_not_mixed(tmp_path):
    options = completed(Options(out=tmp_path))
    empty = load_results(options)
    (tmp_path / "compare.json").write_text(json.dumps(empty))
    assert load_results(options) == empty
    longer = completed(Options(out=tmp_path, steps=300))
    with pytest.raises(ValueError, match=r"--steps 300, .* --steps 200"):
        load_results(longer)
    empty["protocol"]["base"] = "other"
    (tmp_path / "compare.json").write_text(json.dumps(empty))
    with pytest.raises(ValueError, match="another bundled base"):
        load_results(options)
