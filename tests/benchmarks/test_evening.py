"""benchmarks/evening.py end to end on the bundled base: every row, nothing done twice."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tyro
import warm

import rapo_mini
from settings import Settings

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import evening as room  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_picture")


def in_this_process(command):
    """What the child would do, without its seconds of imports."""
    settings = tyro.cli(Settings, args=command[2:])
    return subprocess.CompletedProcess(command, rapo_mini.main(settings))


def test_it_trains_every_arm_once_and_prints_a_row_for_each(tmp_path, capsys, monkeypatch):
    small = {"steps": 2, "prompts": 2, "group_size": 3, "eval_problems": 2, "eval_samples": 2}
    options = room.Options(tmp_path / "evening", "tiny_base", (0,), **small, threads=1)
    assert room.main(replace(options, table_only=True)) == 0
    assert "no run in" in capsys.readouterr().out

    def as_asked(command):
        return warm.run(*command[1:]) if "grpo" in command else in_this_process(command)

    monkeypatch.setattr(room.subprocess, "run", as_asked)
    assert room.main(options) == 0
    screen = capsys.readouterr().out
    first = screen[screen.index("| run | seed") :]
    runs, pairs = first.split("\n\n")
    rows = [line.split(" | ") for line in runs.splitlines() if line.startswith("| ")]
    assert [row[0].removeprefix("| ") for row in rows] == ["run", "base", *room.RUNS]
    asked = {row[0].removeprefix("| "): row[5] for row in rows[2:]}
    assert asked["grpo"] == asked["no-kl"] == "-", "they flatten nothing"
    assert all(float(asked[name]) > 0 for name in asked if name.startswith("rapo"))
    of_grpo = json.loads((tmp_path / "evening/grpo-seed0/summary.json").read_text())["evaluation"]
    gain = of_grpo["pass_at_k"]["2"]["full"]["difference"]["mean"]
    assert "| grpo - base | 1 | " in pairs and f"| {gain:+.3f} [" in pairs.splitlines()[2]
    assert len(pairs.splitlines()) == 2 + len(room.PAIRS)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "evening").rglob("*") if p.is_file()}
    assert room.main(options) == 0 and capsys.readouterr().out == first
    assert before == {p: p.stat().st_mtime_ns for p in before}, "nothing was done twice"


def test_a_begun_run_is_resumed(tmp_path):
    options = room.Options(out=tmp_path)
    name = "rapo exact 0.2, no support"
    assert "--plausible" in room.command_of(options, name, 1)
    folder = room.folder_of_run(options, name, 1)
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert room.command_of(options, name, 1)[2:] == ["--resume", str(folder)]
