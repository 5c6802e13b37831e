"""The loop and the command: what a step does, what a run leaves behind, and that nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import warm
from peft import PeftModel
from transformers import AutoModelForCausalLM
from warm import Program

import rapo_mini
import step
from settings import BUNDLED_BASE, Settings, resolve

ROOT = Path(rapo_mini.__file__).parent
SMALL = {"prompts": 2, "group_size": 4, "max_new_tokens": 48, "show_every": 0, "threads": 1}
SMALL |= {"eval_problems": 6, "eval_samples": 4}
TIMES = ("seconds_sample", "seconds_verify", "seconds_learn", "tokens_per_second")


def metrics_of(out):
    """metrics.jsonl without what a clock wrote."""
    rows = [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def command(*args):
    return [sys.executable, str(ROOT / "rapo_mini.py"), *map(str, args)]


def flags(**settings):
    return [x for k, v in settings.items() for x in ("--" + k.replace("_", "-"), v)]


# ---------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The command itself, six steps, as a user would type it."""
    out = tmp_path_factory.mktemp("run") / "six"
    done = subprocess.run(
        command("--steps", 6, "--out", out, *flags(**(SMALL | {"show_every": 3}))),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=out.parent,
    )
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_the_screen_says_what_runs_and_what_came_of_it(finished):
    _, screen = finished
    lines = screen.splitlines()
    assert "bundled base" in lines[0] and "no CUDA GPU" in lines[0]
    for part in ("arm: rapo", "pass@1 ", "pass@4 ", "Full     6", "step 0, one group", "gold"):
        assert part in screen, part


def test_a_run_leaves_what_it_promises(finished):
    out, _ = finished
    names = {p.name for p in out.iterdir()}
    assert names == {
        ".lock",
        "adapter",
        "config.json",
        "curves.png",
        "evaluations",
        "metrics.jsonl",
        "state.pt",
        "summary.json",
    }
    summary = json.loads((out / "summary.json").read_text())
    assert summary["steps_done"] == 6 and summary["settings"]["steps"] == 6
    assert set(summary["seconds"]) == {"sample", "verify", "learn", "evaluate"}
    estimate = summary["evaluation"]["pass_at_k"]["4"]["full"]["trained"]
    assert 0 <= estimate["low"] <= estimate["mean"] <= estimate["high"] <= 1
    assert [m["step"] for m in metrics_of(out)] == list(range(6))


def test_the_adapter_is_pefts_own(finished):
    out, _ = finished
    base = AutoModelForCausalLM.from_pretrained(BUNDLED_BASE)
    loaded = PeftModel.from_pretrained(base, out / "adapter").state_dict()
    state = torch.load(out / "state.pt", weights_only=True)["adapter"]
    for name, value in state.items():
        assert torch.equal(loaded[name], value), name


def test_pass_at_k_is_a_command_on_that_adapter(finished):
    out, _ = finished
    done = warm.run(
        ROOT / "pass_at_k.py",
        *("--adapter", out / "adapter", "--problems", 5, "--n", 4, "--k", 1, 3),
        *("--out", out.parent / "scores.json", "--threads", 1),
    )
    assert done.returncode == 0, done.stderr
    assert "pass@3" in done.stdout and "Full: 5 problems" in done.stdout
    assert set(json.loads((out.parent / "scores.json").read_text())["pass_at_k"]) == {"1", "3"}


@pytest.mark.usefixtures("all_watched")
def test_the_same_seed_gives_the_same_run_in_two_halves(finished, tmp_path):
    """3 + 3 steps give the metrics of 6, to the last bit."""
    whole, _ = finished
    half = tmp_path / "half"
    assert rapo_mini.main(Settings(**SMALL, steps=3, out=str(half))) == 0
    assert len(metrics_of(half)) == 3
    assert rapo_mini.main(Settings(resume=str(half), steps=6)) == 0
    assert metrics_of(half) == metrics_of(whole)
    assert (
        json.loads((half / "summary.json").read_text())["evaluation"]
        == json.loads((whole / "summary.json").read_text())["evaluation"]
    )


def test_the_optimizer_follows_the_schedule(tmp_path):
    """What is logged as lr is what AdamW used: halved once t is --lr-decay-steps, after the warm-up."""
    settings = Settings(**SMALL, steps=2, lr=1e-3, lr_decay_steps=1, out=str(tmp_path / "run"))
    run = rapo_mini.Run(rapo_mini.resolve(settings)[0])
    rates = [rapo_mini.train_step(run)[0]["lr"] for _ in range(2)]
    assert rates == pytest.approx([1e-4, 2e-4 / 2])
    assert [group["lr"] for group in run.optimizer.param_groups] == rates[1:]


@pytest.mark.usefixtures("all_watched")
def test_a_run_killed_in_the_middle_goes_on(finished, tmp_path):
    """kill -9 between two saves: the resumed run's metrics are those of an undisturbed one."""
    whole, _ = finished
    out = tmp_path / "killed"
    settings = SMALL | {"steps": 300, "out": str(out)}
    code = f"import rapo_mini as r; r.SAVE_SECONDS = 0.2; r.main(r.Settings(**{settings!r}))"
    (tmp_path / "often.py").write_text(code)
    process = Program(tmp_path / "often.py")
    wait_for(lambda: (out / "state.pt").exists() and len(lines_of(out)) >= 3, process)
    process.kill()
    process.wait()
    done = torch.load(out / "state.pt", weights_only=True)["step"]
    assert done < 300
    wanted = max(6, done)
    assert rapo_mini.main(Settings(resume=str(out), steps=wanted)) == 0
    assert metrics_of(out)[:6] == metrics_of(whole)
    assert len(metrics_of(out)) == wanted


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to a child on Windows")
def test_ctrl_c_saves_and_still_reports(tmp_path):
    out = tmp_path / "stopped"
    process = Program(ROOT / "rapo_mini.py", "--steps", 300, "--out", out, *flags(**SMALL))
    wait_for(lambda: (out / "metrics.jsonl").exists() and len(lines_of(out)) >= 1, process)
    process.send_signal(signal.SIGINT)
    screen, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert f"--resume {out}" in screen and "pass@1" in screen
    steps = len(metrics_of(out))
    assert torch.load(out / "state.pt", weights_only=True)["step"] == steps < 300
    assert json.loads((out / "summary.json").read_text())["steps_done"] == steps


def test_ctrl_c_on_a_large_model_starts_no_evaluation(tmp_path, small_base, capsys, monkeypatch):
    """It may take twenty minutes there: the run says how to measure it instead."""
    monkeypatch.setattr(rapo_mini, "train", lambda _run: rapo_mini.Ending.STOPPED)
    monkeypatch.setattr(rapo_mini, "compare_with_base", lambda *_a, **_k: pytest.fail("evaluated"))
    out = tmp_path / "run"
    given = SMALL | {"model": str(small_base), "data": "puzzles", "out": str(out)}
    assert rapo_mini.main(Settings(**given)) == 0
    screen = capsys.readouterr().out
    measure = f"python pass_at_k.py --adapter {out} --n 4 --model {small_base} --problems 6"
    assert measure in " ".join(screen.replace("\\\n", "").split()) and f"--resume {out}" in screen
    assert json.loads((out / "summary.json").read_text())["evaluation"] is None


def test_problems_of_the_evaluation_keep_to_the_longest_prompt_too(tmp_path, small_base, capsys):
    given = SMALL | {"model": str(small_base), "data": "puzzles", "out": str(tmp_path / "run")}
    settings, _ = resolve(Settings(**(given | {"eval_problems": 40}), prompt_template="{problem}"))
    encode = rapo_mini.Run(settings).policy.tokenizer.encode
    lengths = sorted(len(encode(p.problem)) for p in rapo_mini.Run(settings).eval_problems)
    limit = lengths[len(lengths) // 2]
    capsys.readouterr()
    run = rapo_mini.Run(replace(settings, max_prompt_tokens=limit))
    assert {len(encode(p.problem)) for p in run.eval_problems} == {n for n in lengths if n <= limit}
    assert "evaluation: " in capsys.readouterr().out


def lines_of(out):
    return (out / "metrics.jsonl").read_text().splitlines()


def wait_for(condition, process, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended too soon"
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.05)


def test_a_run_gives_up_after_steps_without_a_finite_gradient(tmp_path, capsys, monkeypatch):
    def broken(policy, *_rest, **_options):
        return {
            "loss": float("nan"),
            "kl": 0.0,
            "entropy": 0.0,
            "parity_mean": 0.0,
            "parity_max": 0.0,
        }

    monkeypatch.setattr(step, "backward", broken)
    assert rapo_mini.main(Settings(**SMALL, out=str(tmp_path), steps=9)) == 1
    said = capsys.readouterr().out
    assert "--lr" in said and "--resume" not in said, "a resumed run keeps its --lr"
    assert len(metrics_of(tmp_path)) == rapo_mini.GIVE_UP_AFTER
    assert (tmp_path / "summary.json").exists(), "nothing is lost: what there is, is reported"


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"model": "no/such-model", "data": "puzzles"}, "--model"),
        ({"data": "missing.jsonl"}, "missing.jsonl"),
        ({"eval_data": "missing.jsonl"}, "--eval-data"),
        ({"adapter": "no/such/adapter"}, "--adapter"),
        ({"resume": "no/such/run"}, "--resume"),
        ({"phi_min": -1.0}, "--phi-min -1.0"),
        ({"max_new_tokens": 100_000}, "--max-new-tokens 100000"),
        ({"eval_problems": 10_000_000}, "--eval-problems"),
        ({"data": "gsm8k"}, "--data-dir"),
        ({"data": "aime24"}, "aime24 has no train problems"),
        ({"data": "no-such-set"}, "--data"),
        ({"max_prompt_tokens": 3}, "--max-prompt-tokens 3"),
        ({"dry_run": True, "gpu_memory": 3.0}, "--max-new-tokens"),
        ({"dry_run": True, "model": "no/such-model"}, "--model"),
        ({"gpu_memory": -8.0}, "--gpu-memory -8.0"),
        ({"sample_rows": -1}, "--sample-rows -1"),
        ({"prompt_template": "hello"}, "--prompt-template"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_status_two(tmp_path, capsys, wrong, names):
    assert rapo_mini.main(Settings(**({"out": str(tmp_path / "x"), "steps": 1} | wrong))) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert any(line.startswith("rapo_mini: ") and names in line for line in error), error
    assert not (tmp_path / "x" / "metrics.jsonl").exists()


def test_a_folder_that_holds_a_run_is_not_overwritten(finished, capsys):
    out, _ = finished
    before = (out / "metrics.jsonl").read_bytes()
    assert rapo_mini.main(Settings(**SMALL, steps=1, out=str(out))) == 2
    assert "--resume" in capsys.readouterr().err
    assert (out / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("flag", [["--arm", "ppo"], ["--steps", "many"], ["--alhpa", "1"]])
def test_the_command_line_names_what_it_does_not_know(flag):
    done = warm.run(ROOT / "rapo_mini.py", *flag)
    assert done.returncode == 2 and flag[0] in done.stderr + done.stdout


def test_help_needs_no_gpu_no_network_and_no_bitsandbytes(tmp_path):
    """Every room imports where bitsandbytes, matplotlib and datasets are not there at all."""
    for name in ("bitsandbytes", "matplotlib", "datasets"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')")
    rooms = sorted(p.stem for p in ROOT.glob("*.py"))
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "CUDA_VISIBLE_DEVICES": "",
    }
    code = f"import {', '.join(rooms)}"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    done = subprocess.run(
        command("--help"), env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "--phi-min" in done.stdout
