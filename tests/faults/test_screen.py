"""A screen that fails costs nothing, and nothing of a model's text but its letters reaches it."""

import io
import json
import os
import sys

import numpy as np
import pytest

import pass_at_k
import rapo_mini
import step
from faults.runs import MEASURED, STEPS, flags, metrics_of, process, result_of, run
from pass_at_k import Comparison, Evaluation
from problems import Problem
from watch.terminal import Screen, steady_screen


class BrokenPipe(io.StringIO):
    """A stream whose reader goes away after some writes."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


@pytest.mark.parametrize("after", [0, 1, 3, 5, 8])
def test_a_closed_pipe_ends_printing_and_not_the_run(tmp_path, undisturbed, monkeypatch, after):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, BrokenPipe(after))
    assert run(tmp_path / "run", **MEASURED | {"show_every": 1}) == 0
    assert result_of(tmp_path / "run") == undisturbed[0]


def narrow():
    return io.TextIOWrapper(io.BytesIO(), encoding="cp1252")


def test_a_terminal_without_the_letters_shows_what_it_can(tmp_path, monkeypatch):
    data = tmp_path / "mine.jsonl"
    rows = [{"problem": f"What comes next: {n}?", "answer": "π", "kind": "ключ"} for n in range(40)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    screen = narrow()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", narrow())
    given = MEASURED | {"show_every": 1, "eval_data": str(data)}
    assert run(tmp_path / "run", data=str(data), **given) == 0
    screen.flush()
    assert b"gold ?" in screen.buffer.getvalue()
    asked = Evaluation(str(tmp_path / "run"), data=str(data), n=2, max_new_tokens=4)
    assert pass_at_k.main(asked) == 0


def test_what_was_measured_is_on_disk_before_it_is_shown(tmp_path, monkeypatch):
    def broken(*_given):
        raise RuntimeError("the screen is gone")

    monkeypatch.setattr(Comparison, "summary", broken)
    with pytest.raises(RuntimeError, match="the screen"):
        run(tmp_path / "run", **MEASURED)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["evaluation"]


def test_no_control_character_of_a_model_or_a_file_reaches_the_screen(
    tmp_path, monkeypatch, capsys
):
    """An escape sequence in a completion, in a gold answer, in a kind."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m"
    monkeypatch.setattr(step, "decode", lambda _p, tokens, _m: [evil] * len(tokens))
    one = [Problem("What comes next: 1, 2, 3?", evil + "4", evil)] * 2
    monkeypatch.setattr(rapo_mini, "both_sides", lambda _settings: (one, []))
    assert run(tmp_path / "run", show_every=1) == 0
    counts = np.array([1, 0])
    shown = capsys.readouterr().out
    two = [*one[:1], Problem("2", "3", "other" + evil)]
    shown += Comparison(two, 2, [1], counts, counts, counts).table()
    shown += Comparison(two, 2, [1], counts, counts, counts).summary()
    assert "owned" in shown and not set(shown) & {"\x1b", "\x07", "\x9b"}


def test_an_undisturbed_screen_is_shown_as_it_is():
    out = io.StringIO()
    before, sys.stdout = sys.stdout, out
    try:
        with steady_screen():
            print("π, 1", end="")
            assert isinstance(sys.stdout, Screen)
    finally:
        sys.stdout = before
    assert out.getvalue() == "π, 1"


@pytest.mark.faults
@pytest.mark.skipif(os.name == "nt", reason="a pipe of POSIX")
def test_head_ends_the_printing_only(tmp_path):
    """`python rapo_mini.py ... 2>&1 | head -1`, with the reader gone after one line."""
    out = tmp_path / "run"
    run_ = process("--out", out, *flags(MEASURED | {"show_every": 1}))
    run_.stdout.readline()
    run_.stdout.close()
    run_.stderr.close()
    assert run_.wait(timeout=120) == 0
    assert len(metrics_of(out)) == STEPS and (out / "summary.json").exists()
