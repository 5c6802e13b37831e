"""A comparison that is stopped or killed leaves no worker behind, and two do not share a folder."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from compare import cells
from compare.__main__ import main
from compare.cells import Options
from compare.plan import quick_cells
from faults.runs import ROOT, everything_in, sentence
from watch.lock import locked


def test_a_second_comparison_on_the_same_folder_is_refused(tmp_path, capsys):
    with locked(tmp_path):
        assert main(Options(out=tmp_path, quick=True)) == 2
    assert "in use by process" in sentence(capsys, "compare")


def test_a_folder_with_other_things_in_it_is_refused(tmp_path, capsys):
    (tmp_path / "curves.png").write_text("mine")
    before = everything_in(tmp_path)
    assert main(Options(out=tmp_path, quick=True)) == 2
    assert "--out" in sentence(capsys, "compare") and everything_in(tmp_path) == before


@pytest.mark.parametrize("content", ['{"protocol": {"base": "x"}}', "[]", "{", '{"cells": []}'])
def test_a_file_without_cells_is_a_sentence(tmp_path, capsys, content):
    (tmp_path / "compare.json").write_text(content)
    assert main(Options(out=tmp_path, draw_only=True)) == 2
    assert "compare.json" in sentence(capsys, "compare")


@pytest.mark.parametrize("why", [KeyboardInterrupt, cells.GaveUp])
def test_stopping_stops_the_workers(monkeypatch, why):
    """TERM, HUP and Ctrl-C come as KeyboardInterrupt to the parent, which ends its workers."""
    told = []
    worker = type("Worker", (), {"kill": lambda self: told.append("worker")})()
    pool = type("Pool", (), {"shutdown": lambda self, **how: told.append(how)})()
    monkeypatch.setattr(cells.multiprocessing, "active_children", lambda: [worker])
    with pytest.raises(why), cells.workers_stop_too(pool):
        raise why
    assert told == ["worker", {"cancel_futures": True}]


def gives_up_or_lasts(cell, *_rest):
    """Instead of `run_cell`: the first cell gives up, all others would take a minute."""
    if cell == quick_cells()[0]:
        raise cells.GaveUp(f"{cell.name}: no signal")
    time.sleep(60)


def test_when_a_cell_gives_up_the_others_are_not_waited_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cells, "run_cell", gives_up_or_lasts)
    monkeypatch.setattr(cells, "missed_by_base", lambda *_: [0])
    monkeypatch.setattr(cells, "show_progress", lambda *_: None)
    began = time.monotonic()
    assert main(Options(out=tmp_path, quick=True, jobs=2, problems=2, pool=2)) == 1
    assert time.monotonic() - began < 50 and not multiprocessing.active_children()
    assert sentence(capsys, "compare").endswith(f"{quick_cells()[0].name}: no signal")
    assert json.loads((tmp_path / "compare.json").read_text())["cells"] == {}


def workers_of(pid):
    """Processes whose parent is, or was, this one: by the group that they share."""
    found = subprocess.run(["ps", "-eo", "pid,pgid,stat"], capture_output=True, text=True).stdout
    rows = [line.split() for line in found.splitlines()[1:]]
    return [int(p) for p, group, state in rows if int(group) == pid and not state.startswith("Z")]


@pytest.mark.faults
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_comparison(tmp_path, number):
    command = [sys.executable, "-m", "compare", "--quick", "--steps", "300", "--problems", "2"]
    command += ["--pool", "2", "--samples", "2", "--jobs", "2", "--out", str(tmp_path / "c")]
    parent = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        logs = tmp_path / "c" / "cells"
        until = time.monotonic() + 120
        while not any(p.stat().st_size for p in logs.glob("*/metrics.jsonl")):
            assert parent.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        parent.send_signal(number)
        parent.wait(timeout=60)
        assert parent.returncode == (-9 if number == signal.SIGKILL else 130)
        until = time.monotonic() + 10
        while workers_of(parent.pid) and time.monotonic() < until:
            time.sleep(0.1)
        assert not workers_of(parent.pid)
        json.loads((tmp_path / "c" / "compare.json").read_text())
    finally:
        for worker in workers_of(parent.pid):
            os.kill(worker, signal.SIGKILL)
