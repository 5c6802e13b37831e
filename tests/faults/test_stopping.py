"""Ctrl-C, TERM, HUP and kill -9, at any moment: what was finished is kept, and a resume is bit-equal."""

import json
import os
import random
import signal
import time

import pytest
import torch
from warm import Program

import pass_at_k
import rapo_mini
from faults.runs import MEASURED, ROOT, flags, metrics_of, result_of, resume, run
from pass_at_k import Evaluation
from watch.progress import Progress

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_while_training_finishes_the_step_saves_and_reports(
    tmp_path, undisturbed, monkeypatch, capfd, number
):
    add = Progress.add

    def add_and_stop(self, metrics, rolled):
        if metrics["step"] == 1:
            os.kill(os.getpid(), number)
        add(self, metrics, rolled)

    monkeypatch.setattr(Progress, "add", add_and_stop)
    out = tmp_path / "run"
    assert run(out, **MEASURED) == 0
    assert "--resume" in capfd.readouterr().out
    assert len(metrics_of(out)) == 2 and (out / "summary.json").exists()
    assert torch.load(out / "state.pt", weights_only=True)["step"] == 2
    monkeypatch.setattr(Progress, "add", add)
    assert resume(out) == 0 and result_of(out) == undisturbed[0]


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_while_evaluating_keeps_what_was_sampled(
    tmp_path, undisturbed, monkeypatch, capfd, number
):
    sample, drawn = pass_at_k.sample_groups, []

    def stopping(*args, **options):
        drawn.append(1)
        if len(drawn) == 2:
            os.kill(os.getpid(), number)
        return sample(*args, **options)

    monkeypatch.setattr(pass_at_k, "sample_groups", stopping)
    out = tmp_path / "run"
    assert run(out, **MEASURED) == 130
    assert f"--resume {out}" in capfd.readouterr().err
    assert not (out / "summary.json").exists()
    drawn[:] = [1, 1]
    assert resume(out) == 0 and result_of(out) == undisturbed[0]
    assert len(drawn) == 2 + 2, "of three batches the first is not sampled again"


def test_a_signal_while_pass_at_k_samples_keeps_the_log(tmp_path, undisturbed, monkeypatch, capfd):
    asked = Evaluation(
        str(undisturbed[1]), n=4, problems=3, max_new_tokens=6, log=str(tmp_path / "log.jsonl")
    )
    sample, drawn = pass_at_k.sample_groups, []

    def stopping(*args, **options):
        drawn.append(1)
        if len(drawn) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return sample(*args, **options)

    monkeypatch.setattr(pass_at_k, "sample_groups", stopping)
    assert pass_at_k.main(asked) == 130
    assert pass_at_k.main(asked) == 0
    assert "2 batches are there already" in " ".join(capfd.readouterr().out.split())


def test_nohup_stays_nohup(tmp_path):
    """A signal that is ignored when the program starts is ignored to its end."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        from watch.stopping import interrupt, on_stop

        with on_stop(interrupt):
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("damage", ["torn", "flipped", "line lost", "swapped"])
def test_a_damaged_evaluation_log_is_sampled_again_where_it_is_damaged(
    tmp_path, undisturbed, damage
):
    import shutil

    out = shutil.copytree(undisturbed[1], tmp_path / "run")
    (log,) = (out / "evaluations").glob("*.jsonl")
    lines = log.read_text().splitlines(keepends=True)
    damaged = {
        "torn": [*lines[:-1], lines[-1][:30]],
        "flipped": [*lines[:2], lines[2].replace('"correct": 0', '"correct": 2'), *lines[3:]],
        "line lost": [*lines[:4], *lines[5:]],
        "swapped": [lines[0], lines[5], *lines[2:5], lines[1], *lines[6:]],
    }[damage]
    assert damaged != lines
    log.write_text("".join(damaged))
    assert resume(out) == 0 and result_of(out) == undisturbed[0]


@pytest.mark.parametrize("content", ["notes of mine", "notes of mine\n", '{"a": 1}\n', "[]\n"])
def test_a_file_that_is_no_log_is_not_written_over(undisturbed, tmp_path, capfd, content):
    (tmp_path / "mine").write_text(content)
    asked = Evaluation(str(undisturbed[1]), n=2, problems=2, log=str(tmp_path / "mine"))
    assert pass_at_k.main(asked) == 2
    assert "--log" in capfd.readouterr().err and (tmp_path / "mine").read_text() == content


# ---------------------------------------------------------------- real processes, random moments

LONG = MEASURED | {"steps": 20, "eval_problems": 12, "eval_samples": 16}


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("long") / "run"
    began = time.monotonic()
    assert Program(ROOT / "rapo_mini.py", "--out", out, *flags(LONG)).wait() == 0
    return out, time.monotonic() - began


@pytest.mark.faults
@pytest.mark.usefixtures("all_watched")
@pytest.mark.parametrize("seed", range(6))
def test_any_signal_at_any_moment(long_run, tmp_path, seed):
    """Loading, training, saving, evaluating: stopped at a random moment, then gone on with."""
    whole, seconds = long_run
    dice = random.Random(seed)
    number = [*STOPS, signal.SIGKILL][seed % 4]
    out = tmp_path / "run"
    stopped = Program(ROOT / "rapo_mini.py", "--out", out, *flags(LONG))
    time.sleep(dice.uniform(0.1, 1.0) * seconds)
    stopped.send_signal(number)
    error = stopped.communicate(timeout=120)[1]
    assert "Traceback" not in error, error
    if not (out / "config.json").exists():
        return  # it had not begun, and left nothing that would be in the way
    assert rapo_mini.main(rapo_mini.Settings(resume=str(out), steps=LONG["steps"])) == 0
    assert result_of(out)[:2] == result_of(whole)[:2]
    assert json.dumps(result_of(out)[2]) == json.dumps(result_of(whole)[2])
