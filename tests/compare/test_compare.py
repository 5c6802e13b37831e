"""compare: the rule, the intervals, the tables and figures, the comparison that is killed and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import tyro
from colour_vision import alike
from matplotlib.figure import Figure

from compare import cells as room
from compare import plan
from compare.__main__ import main
from compare.cells import Options, completed, load_results, missed_by_base, puzzle_sets
from compare.figures import draw_figures, draw_forks, draw_frontier, draw_minus_base, spread
from compare.plan import (
    BASE,
    CONTENDERS,
    GRID_SEEDS,
    PAPER_WEIGHTS,
    PRIMARY,
    RULES,
    SEEDS,
    WEIGHTS,
    Cell,
    cells_so_far,
    chosen_weights,
    quick_cells,
    scored_on_hard,
    tried,
)
from compare.results import PRIMARY_COMPARISONS, Results, crossed_bootstrap, seeds_to_resolve
from compare.tables import all_tables, intervals_in
from objective import ARMS
from pass_at_k import bootstrap
from settings import Settings, resolve

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("primary", "others", "tried")
PROBLEMS, SAMPLES, HARD_SAMPLES = 40, 256, 1024
OPTIONS = completed(Options(problems=PROBLEMS, pool=60, samples=SAMPLES))
SETS = puzzle_sets(OPTIONS)
MISSED = list(range(0, len(SETS["pool"]), 5))


def chances(cell, few=0.1):
    """What a drawn cell has: the weight 0.3 is best for pass@1, 0.6 for pass@256."""
    base = {0.3: 0.5, 0.6: 0.3}.get(cell.alpha, 0.2) + few * (cell.arm == "rapo")
    rare = 0.01 if cell.alpha == 0.6 else 0.0001
    return base, rare


def result(cell, rng, hard):
    """A cell's entry in compare.json: the first half of each set is solved often, the rest rarely."""
    often, rare = (0.15, 0.001) if cell == BASE else chances(cell)
    sizes = {"validation": 20, "test": PROBLEMS, "hard": len(MISSED)}
    p = {n: np.where(np.arange(size) < size // 2, often, rare) for n, size in sizes.items()}
    entry = {
        "cell": asdict(cell),
        "last": {"reward": 0.4, "entropy": 0.1, "kl": 0.1, "completion_tokens": 20.0},
        "seconds": {"sample": 1.0, "learn": 2.0, "evaluate": 3.0},
        "forks": {
            name: {tier: [0.001, 0.01, 0.1] for tier in ("common", "rare", "very rare", "hidden")}
            for name in ("rule_chosen", "rule_carried_out")
        },
        "test": rng.binomial(SAMPLES, p["test"]).tolist(),
        "exact": {
            n: {"chosen": some.tolist(), "carried_out": [1.0] * len(some)} for n, some in p.items()
        },
    }
    if hard:
        entry["hard"] = rng.binomial(HARD_SAMPLES, p["hard"] / 10).tolist()
    return entry


@pytest.fixture(scope="module")
def results():
    """A whole comparison with drawn counts."""
    rng, cells = np.random.default_rng(0), {}

    def todo():
        hard = scored_on_hard(cells)
        missing = (c for c in cells_so_far(STAGES, cells) if room.unfinished(c, cells, hard))
        return {cell: cell.name in hard for cell in missing}

    while some := todo():
        for cell, on_hard in some.items():
            cells[cell.name] = result(cell, rng, on_hard)
    protocol = {name: getattr(OPTIONS, name) for name in room.PROTOCOL}
    return {"protocol": protocol, "missed": MISSED, "cells": cells}


def found_in(results, cells=None):
    return Results(results | {"cells": cells or results["cells"]}, SETS)


# ---------------------------------------------------------------- the plan


def test_the_grid_of_the_primary_contenders_comes_first():
    cells = cells_so_far(STAGES, {})
    grid = [c for name in PRIMARY for c in CONTENDERS[name].grid()]
    assert cells[: len(grid) + 1] == [
        BASE,
        *(c for seed in GRID_SEEDS for c in grid if c.seed == seed),
    ]


def test_every_contender_with_a_kl_is_tried_at_as_many_weights():
    for name, contender in CONTENDERS.items():
        expected = PAPER_WEIGHTS if "published" in name else WEIGHTS
        has_kl = ARMS[contender.cell.arm].alpha > 0
        assert contender.weights == (expected if has_kl else (None,))
        assert len(contender.grid()) == len(contender.weights) * len(GRID_SEEDS)
    assert len(WEIGHTS) == len(PAPER_WEIGHTS)


def test_two_rules_choose_a_weight_each_by_validation_and_never_by_test(results):
    cells = {name: dict(entry) for name, entry in results["cells"].items()}
    assert chosen_weights(cells)["grpo"] == {"few": 0.3, "many": 0.6}
    for cell in CONTENDERS["grpo"].cells(1.0, GRID_SEEDS):
        cells[cell.name]["test"] = [SAMPLES] * PROBLEMS
        exact = cells[cell.name]["exact"]
        cells[cell.name]["exact"] = exact | {"test": {"chosen": [1.0], "carried_out": [1.0]}}
    assert chosen_weights(cells)["grpo"] == {"few": 0.3, "many": 0.6}
    for cell in CONTENDERS["grpo"].cells(1.0, GRID_SEEDS):
        sure = {"chosen": [0.9] * 20, "carried_out": [1.0] * 20}
        cells[cell.name]["exact"] = exact | {"validation": sure}
    assert chosen_weights(cells)["grpo"] == {"few": 1.0, "many": 1.0}


def test_a_contender_waits_for_its_whole_grid(results):
    """One run short of its grid, no weight is chosen and no further seed is planned."""
    short = {n: e for n, e in results["cells"].items() if n != Cell("grpo", 1.0, 1).name}
    assert "grpo" not in chosen_weights(short) and "rapo" in chosen_weights(short)
    planned = cells_so_far(["primary"], short)
    assert {c.seed for c in planned if c.arm == "grpo"} == set(GRID_SEEDS)
    assert {
        c.seed for c in planned if c == replace(CONTENDERS["rapo"].cell, alpha=0.6, seed=c.seed)
    } == set(SEEDS)


def test_no_cell_is_planned_twice(results):
    planned = cells_so_far(STAGES, results["cells"])
    assert len(planned) == len({c.name for c in planned})
    assert {c.name for c in planned} == set(results["cells"])


def test_what_else_is_tried_changes_one_thing_at_the_weight_for_many(results):
    for label, cell in tried(results["cells"]).items():
        plain = replace(CONTENDERS["rapo"].cell, alpha=0.6)
        changed = [k for k, v in asdict(cell).items() if asdict(plain)[k] != v]
        assert len(changed) == 1, label


@pytest.mark.parametrize("weight", WEIGHTS)
def test_what_else_is_tried_is_another_run_whatever_the_weight(monkeypatch, weight):
    monkeypatch.setattr(plan, "chosen_weights", lambda _cells: {"rapo": {"many": weight}})

    def meant(cell):
        return resolve(Settings(**(asdict(cell) | {"steps": cell.steps or 200})))[0]

    plain = meant(replace(CONTENDERS["rapo"].cell, alpha=weight))
    assert all(meant(cell) != plain for cell in tried({}).values())


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


def test_the_seeds_that_would_resolve_a_difference():
    """Drawn with a known spread between seeds: four times the spread needs sixteen times the seeds."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((400, 1))
    noise = (noise - noise.mean()) / noise.std()
    few, many = (
        seeds_to_resolve(0.05 + spread * noise + np.zeros((1, 30))) for spread in (0.1, 0.4)
    )
    assert few == pytest.approx(1.96**2 * 4, abs=4) and many == pytest.approx(16 * few, rel=0.3)
    assert seeds_to_resolve(0.01 + np.tile([[-1.0, 1.0]], (5, 10))) is None, (
        "the puzzles alone vary"
    )


def test_differences_are_paired(results):
    """A contender that has the base's own counts differs from it by nothing, with no width."""
    cells = dict(results["cells"])
    for cell in CONTENDERS["grpo"].cells(0.6, SEEDS):
        cells[cell.name] = cells[cell.name] | {"test": cells[BASE.name]["test"]}
    found = found_in(results, cells)
    assert tuple(found.against("grpo", "base", 16)) == (0, 0, 0)
    gap = found.against("rapo", "grpo", 1, rule="few")
    assert gap.mean == pytest.approx(0.05, abs=0.02), "0.1 on half of the puzzles"


def test_two_contenders_are_compared_at_the_seeds_that_both_have(results):
    cells = {n: e for n, e in results["cells"].items() if n != Cell("rapo", 0.6, 3).name}
    found = found_in(results, cells)
    mine, theirs = found.curve_cells("rapo"), found.curve_cells("grpo")
    assert found.gap(mine, theirs, 1).shape == (4, PROBLEMS)


def test_hard_is_sampled_for_the_chosen_weights_only(results):
    found = found_in(results)
    assert found.values([BASE], 1024, "hard").shape == (1, len(MISSED))
    assert found.values([Cell("grpo", 1.0, 0)], 1, "hard").shape == (0, len(MISSED))
    for rule in RULES:
        assert found.values(found.curve_cells("grpo", rule), 1, "hard").shape[0] == len(SEEDS)


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


@pytest.fixture(scope="module")
def text(results):
    """All tables of the whole comparison."""
    return all_tables(found_in(results))


def test_every_table_and_figure_is_made(results, text, tmp_path):
    found = found_in(results)
    for title in ("primary", "few attempts", "many attempts", "by tier", "Seed by seed", "grid"):
        assert title in text
    assert "Also tried" in text and "Predicted / measured" in text
    assert (
        text.count("| few |")
        == text.count("| many |")
        == sum(len(c.weights) > 1 for c in CONTENDERS.values())
    )
    for primary in PRIMARY_COMPARISONS:
        assert f"| {primary} | " in text
    for path in draw_figures(found, tmp_path):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


def test_the_number_of_intervals_is_said(text):
    tables, _, said = text.rpartition("\n\n")
    assert said.startswith(f"{intervals_in([tables])} intervals") and tables.count("[") > 100
    assert said.endswith(f"about {intervals_in([tables]) / 20:.0f} of them.")


def test_a_comparison_that_has_just_begun_can_be_drawn(results, tmp_path):
    """The base and one run of each primary contender: tables and figures of what is there."""
    names = [BASE.name, Cell("rapo", 0.6).name, Cell("grpo", 0.6).name]
    found = found_in(results, {n: results["cells"][n] for n in names})
    assert found.contenders() == ["rapo", "grpo"]
    assert "| rapo | 0.6 | 1 |" in all_tables(found)
    assert len(draw_figures(found, tmp_path)) == 3


def test_the_tables_of_the_docs_are_those_of_its_runs():
    """docs/results.md is up to date with docs/compare.json."""
    saved = json.loads((ROOT / "docs" / "compare.json").read_text())
    numbers = {n: v for n, v in saved["protocol"].items() if n in ("problems", "pool", "samples")}
    found = Results(saved, puzzle_sets(completed(Options(**numbers))))
    shown = (ROOT / "docs" / "results.md").read_text().splitlines()
    rows = [line for line in all_tables(found).splitlines() if line.startswith("| ")]
    assert [row for row in rows if row not in shown] == []


def test_the_lines_are_the_tables_numbers(results):
    found, figure = found_in(results), Figure()
    draw_minus_base(found, figure)
    drawn = [line.get_ydata() for line in figure.axes[0].lines]
    for name, heights in zip(found.contenders(), drawn, strict=False):
        assert list(heights) == [found.against(name, "base", k).mean for k in found.ks()]
    *names, base = figure.axes[0].texts
    assert [name.get_text() for name in names] == found.contenders()
    assert base.get_text() == "base"
    for name, heights in zip(names, drawn, strict=False):
        assert name.xy == (found.ks()[-1], heights[-1]), "its leader begins at its line's end"


@pytest.mark.parametrize("draw_one", [draw_minus_base, draw_forks, draw_frontier])
def test_the_lines_of_a_panel_are_told_apart_by_everyone(results, draw_one):
    figure = Figure()
    draw_one(found_in(results), figure)
    for axes in figure.axes:
        assert len(axes.lines) >= len(CONTENDERS)
        assert alike(axes) == []


def test_a_split_that_was_not_sampled_yet_has_no_panel(results):
    cells = {n: {k: v for k, v in e.items() if k != "hard"} for n, e in results["cells"].items()}
    figure = Figure()
    draw_minus_base(found_in(results, cells), figure)
    assert [axes.get_title() for axes in figure.axes] == [f"Full: {PROBLEMS} problems"]


def test_labels_are_spread():
    heights = spread([0.5, 0.52, 0.51, 0.9], 0.1)
    assert min(np.diff(sorted(heights))) >= 0.0999 and heights[3] == 0.9
    assert np.argsort(heights).tolist() == [0, 2, 1, 3]


# ---------------------------------------------------------------- the command

COMMAND = [sys.executable, "-m", "compare", "--quick"]
COMMAND += ["--steps", "4", "--problems", "4", "--pool", "6", "--samples", "4"]
COMMAND += ["--hard-samples", "4"]


def run(out, **options):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*COMMAND, "--out", str(out), "--jobs", "2"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, cwd=ROOT, start_new_session=True, **options,
    )  # fmt: skip


def without_seconds(out):
    cells = json.loads((out / "compare.json").read_text())["cells"]
    return {name: {k: v for k, v in cell.items() if k != "seconds"} for name, cell in cells.items()}


def run_here(out, capsys):
    """The same with one worker, begun in this process: the table that it prints."""
    options = tyro.cli(Options, args=[*COMMAND[3:], "--out", str(out), "--jobs", "1"])
    assert main(options) == 0
    return capsys.readouterr().out


@pytest.mark.faults
def test_a_killed_comparison_goes_on_and_gives_the_same_table(tmp_path, capsys):
    table = run_here(tmp_path / "whole", capsys)
    killed = run(tmp_path / "killed")
    log = tmp_path / "killed" / "cells" / quick_cells()[1].name / "metrics.jsonl"
    while not (log.exists() and log.read_bytes().count(b"\n") > 1):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert len(without_seconds(tmp_path / "whole")) == 3
    same_table = run_here(tmp_path / "killed", capsys)
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
