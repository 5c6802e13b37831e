"""Faults come by the hundred, so a run here draws no picture and makes its puzzles once."""

import functools
from pathlib import Path

import pytest

import problems
import rapo_mini
from faults import runs
from watch.files import write_whole


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    quicken(monkeypatch)


def quicken(monkeypatch):
    made = functools.cache(problems.bundled.puzzles)
    monkeypatch.setattr(problems.bundled, "puzzles", lambda *asked: list(made(*asked)))
    monkeypatch.setattr(rapo_mini, "draw_run", lambda *given: write_whole(Path(given[2]), "drawn"))
    monkeypatch.setattr(rapo_mini, "SAVE_SECONDS", -1)  # a state after each step


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """What a run with an evaluation comes to when nothing happens to it: `result_of`, and its folder."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert runs.run(out, **runs.MEASURED) == 0
    return runs.result_of(out), out
