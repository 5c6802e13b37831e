"""benchmarks/scaling.py: a cell runs through, and its arithmetic counts what a step multiplies."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tyro

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import scaling as room  # noqa: E402

SMALL = room.Cell(prompts=2, group_size=2, new_tokens=4, prompt_tokens=6, steps=1, threads=1)


def test_a_cell_runs_through_in_a_process_of_its_own():
    found = room.measured_apart(SMALL)
    assert found["sample"] > 0 and found["learn"] > 0 and found["mib"] >= 0


def test_an_axis_becomes_a_table_with_both_slopes(monkeypatch):
    monkeypatch.setattr(
        room,
        "measured_apart",
        lambda cell: {"sample": 0.1 * cell.prompts, "learn": cell.prompts**2, "mib": 3.0},
    )
    table = room.along("prompts", SMALL).splitlines()
    assert table[-2] == "| slope | 1.00 | 2.00 | |"
    assert table[-1] == "| of the arithmetic | 1.00 | 1.00 | |"
    assert len(table) == 2 + 4 + 2


@pytest.mark.parametrize(("size", "millions"), [("5M", 5), ("25M", 25), ("135M", 135)])
def test_a_size_is_what_it_is_called(size, millions):
    shape = room.SIZES[size]
    weights = shape.layers * sum(out * into for out, into in shape.linears())
    assert (weights + shape.vocabulary * shape.hidden) / 1e6 == pytest.approx(millions, rel=0.05)


def test_twice_the_group_is_less_than_twice_the_arithmetic():
    """The prompts are read once, however large the group."""
    for one, two in zip(
        room.operations(SMALL), room.operations(replace(SMALL, group_size=4)), strict=True
    ):
        assert 1.3 < two / one < 1.9


def test_a_size_that_there_is_not_is_named(capsys):
    with pytest.raises(SystemExit) as ended:
        tyro.cli(room.Options, args=["--size=1T"])
    assert ended.value.code == 2 and "1T" in capsys.readouterr().err
