"""Faults come by the hundred, so a run here draws no picture and saves its state at each step."""

import pytest

import rapo_mini
from faults import runs


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    quicken(monkeypatch)


def quicken(monkeypatch):
    runs.without_picture(monkeypatch)
    monkeypatch.setattr(rapo_mini, "SAVE_SECONDS", -1)  # a state after each step


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """What a run with an evaluation comes to when nothing happens to it: `result_of`, and its folder."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert runs.run(out, **runs.MEASURED) == 0
    return runs.result_of(out), out
