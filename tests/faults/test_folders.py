"""A run's folder: only new or its own, one process, and what does not belong is found before a cut."""

import json
import shutil
import subprocess
import sys
import threading

import pytest
import torch
from safetensors.torch import load_file

import pass_at_k
import rapo_mini
from faults.runs import (
    ROOT,
    STEPS,
    TINY,
    everything_in,
    metrics_of,
    result_of,
    resume,
    run,
    sentence,
)
from pass_at_k import Evaluation
from settings import Settings
from watch.lock import holder, locked


@pytest.fixture
def finished(undisturbed, tmp_path):
    """A copy of the undisturbed run, to be spoilt."""
    return shutil.copytree(undisturbed[1], tmp_path / "copy")


def test_the_tiny_run_learns_something(undisturbed):
    """Otherwise all that follows would be bit-equal for the wrong reason."""
    tensors = load_file(undisturbed[1] / "adapter" / "adapter_model.safetensors")
    assert all(bool(t.any()) for n, t in tensors.items() if "lora_B" in n)


# ---------------------------------------------------------------- 1: evaluations


def test_resuming_keeps_the_evaluations(finished, undisturbed):
    asked = {"n": 2, "problems": 2, "max_new_tokens": 6, "threads": 1}
    assert pass_at_k.main(Evaluation(adapter=str(finished), **asked)) == 0
    assert pass_at_k.main(Evaluation(adapter=str(finished / "adapter"), **asked)) == 0
    logs = {k: v for k, v in everything_in(finished).items() if "evaluations" in k}
    assert len(logs) == 2 and not any(name.startswith("adapter") for name in logs)
    (finished / "adapter" / "notes.txt").write_text("mine")
    assert resume(finished) == 0
    assert logs.items() <= everything_in(finished).items()
    assert (finished / "adapter" / "notes.txt").read_text() == "mine"
    assert result_of(finished) == undisturbed[0]


# ---------------------------------------------------------------- 2: a folder that is not ours


@pytest.mark.parametrize(
    "name", ["adapter/notes.txt", "metrics.jsonl", "summary.json", "state.pt", "thesis.tex"]
)
def test_a_run_begins_in_no_folder_with_other_things_in_it(tmp_path, capsys, name):
    (tmp_path / "mine" / name).parent.mkdir(parents=True)
    (tmp_path / "mine" / name).write_text("{}\n")
    before = everything_in(tmp_path)
    assert run(tmp_path / "mine") == 2
    assert "--out" in sentence(capsys) and everything_in(tmp_path) == before


def test_the_folder_of_the_adapter_it_starts_from_is_not_its_own(finished, tmp_path, capsys):
    adapter = shutil.copytree(finished / "adapter", tmp_path / "x" / "adapter")
    before = everything_in(tmp_path / "x")
    assert run(tmp_path / "x", adapter=str(adapter)) == 2
    assert "--out" in sentence(capsys) and everything_in(tmp_path / "x") == before


def test_a_folder_with_only_the_rests_of_a_killed_start_is_as_good_as_new(tmp_path):
    (tmp_path / "run").mkdir()
    for name in (".lock", "config.json.41-00000000.part"):
        (tmp_path / "run" / name).write_text("{")
    assert run(tmp_path / "run") == 0
    assert not list((tmp_path / "run").glob("*.part"))


# ---------------------------------------------------------------- 3: two processes


def test_the_second_process_is_told_who_holds_the_run(finished, capsys):
    before = everything_in(finished)
    code = "import sys, time; from pathlib import Path; from watch.lock import locked\n"
    code += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(finished)], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        other.stdout.readline()
        assert resume(finished) == 2
        told = sentence(capsys)
        assert f"process {other.pid} on " in told and " since 20" in told
        assert everything_in(finished) == before
    finally:
        other.kill()
        other.wait()
    assert resume(finished) == 0, "a crash releases the lock"


def test_a_run_that_trains_cannot_be_resumed_beside_itself(tmp_path, capsys):
    live = rapo_mini.start(Settings(**TINY, out=str(tmp_path / "run")))
    assert resume(tmp_path / "run") == 2
    assert "in use" in sentence(capsys)
    assert rapo_mini.train(live) is rapo_mini.Ending.DONE
    live.owner.release()
    assert len(metrics_of(tmp_path / "run")) == STEPS


def test_two_evaluations_do_not_write_one_log(finished, tmp_path, capsys):
    from watch.lock import held

    with held(tmp_path / "log.jsonl"):
        asked = Evaluation(str(finished), n=2, problems=2, log=str(tmp_path / "log.jsonl"))
        assert pass_at_k.main(asked) == 2
    assert "in use" in sentence(capsys, "pass_at_k")


def test_of_threads_that_lock_a_folder_one_gets_it(tmp_path):
    got, ready = [], threading.Barrier(8)

    def try_it():
        ready.wait()
        try:
            with locked(tmp_path):
                got.append(1)
                ready.wait()
        except ValueError:
            ready.wait()

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert got == [1]


# ---------------------------------------------------------------- 4: state that does not belong


def spoil_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "-"}))


def flip(path, share):
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 1
    path.write_bytes(data)


SPOILT = {
    "no state beside metrics": lambda f, _: (f / "state.pt").unlink(),
    "half a state": lambda f, _: (f / "state.pt").write_bytes((f / "state.pt").read_bytes()[:5000]),
    "an empty state": lambda f, _: (f / "state.pt").write_bytes(b""),
    "a bit of the weights flipped": lambda f, _: flip(f / "state.pt", 0.5),
    "another run's state": lambda f, other: shutil.copy(other / "state.pt", f),
    "another run's metrics": lambda f, other: shutil.copy(other / "metrics.jsonl", f),
    "another run's config": lambda f, other: shutil.copy(other / "config.json", f),
    "no metrics": lambda f, _: (f / "metrics.jsonl").unlink(),
    "metrics shorter than the state": lambda f, _: (f / "metrics.jsonl").write_bytes(
        b"".join((f / "metrics.jsonl").read_bytes().splitlines(keepends=True)[:2])
    ),
    "a bit of the metrics flipped": lambda f, _: flip(f / "metrics.jsonl", 0.3),
    "config edited": lambda f, _: spoil_config(f, lr=0.5),
    "config incomplete": lambda f, _: spoil_config(f, lr="-"),
    "another rank": lambda f, _: spoil_state(f),
}


def spoil_state(folder):
    """A whole state of this run whose matrices are of another rank."""
    from watch.run_state import save_state

    state = torch.load(folder / "state.pt", weights_only=True)
    state["adapter"] = {n: v[:2] if "lora_A" in n else v for n, v in state["adapter"].items()}
    save_state(folder, {k: v for k, v in state.items() if k not in ("sha256", "metrics")})


@pytest.mark.parametrize("how", SPOILT)
def test_what_does_not_belong_is_named_and_nothing_is_changed(
    finished, undisturbed, tmp_path_factory, capsys, how
):
    other = other_run(tmp_path_factory)
    SPOILT[how](finished, other)
    before = everything_in(finished)
    assert resume(finished, steps=STEPS + 1) == 2
    assert str(finished) in sentence(capsys)
    assert everything_in(finished) == before


def other_run(factory, made=[]):  # noqa: B006 one for all
    if not made:
        made.append(factory.mktemp("other") / "run")
        assert run(made[0], seed=5) == 0
    return made[0]


# ---------------------------------------------------------------- 5: inputs, and folders that moved


def problems_file(path, first=0):
    rows = [{"problem": f"What comes next: {n}, 5, 8?", "answer": n} for n in range(first, 40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_problems_that_changed_are_noticed(tmp_path, capsys):
    data = problems_file(tmp_path / "mine.jsonl")
    assert run(tmp_path / "run", data=str(data)) == 0
    before = everything_in(tmp_path / "run")
    problems_file(data, first=1)
    assert resume(tmp_path / "run", steps=9) == 2
    assert "--data" in sentence(capsys) and everything_in(tmp_path / "run") == before


def test_weights_that_changed_are_noticed(small_base, tmp_path, capsys):
    from safetensors.torch import save_file

    base = shutil.copytree(small_base, tmp_path / "base")
    given = {"model": str(base), "data": "puzzles", "prompt_template": "plain"}
    assert run(tmp_path / "run", **given) == 0
    before = everything_in(tmp_path / "run")
    tensors = load_file(base / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * 2
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    assert resume(tmp_path / "run", steps=9) == 2
    assert "--model" in sentence(capsys) and everything_in(tmp_path / "run") == before


def test_an_adapter_that_changed_is_noticed(finished, tmp_path, capsys):
    first = tmp_path / "first"
    assert run(first, adapter=str(finished), seed=1) == 0, "the run's folder will do"
    shutil.copy(first / "adapter" / "adapter_model.safetensors", finished / "adapter")
    assert resume(first, steps=9) == 2
    assert "--adapter" in sentence(capsys)


def test_a_run_goes_on_where_it_was_moved_to(tmp_path, monkeypatch):
    """From another folder, with a relative path to its data, moved together with it."""
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    problems_file(tmp_path / "a" / "mine.jsonl")
    assert run("run", data="mine.jsonl", trace="run/trace") == 0
    monkeypatch.chdir(tmp_path)
    assert resume("a/run", steps=STEPS + 1) == 0
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert resume("b/run", steps=STEPS + 2) == 0
    assert len(metrics_of("b/run")) == STEPS + 2 and not (tmp_path / "a").exists()
    config = json.loads((tmp_path / "b" / "run" / "config.json").read_text())
    assert config["model"] == "tiny_base", "by name, wherever the checkout lies"


# ---------------------------------------------------------------- 16: three seeds in one second


def test_three_seeds_started_in_one_second_run_in_three_folders(tmp_path, monkeypatch):
    import settings

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings.time, "strftime", lambda *_: "20261124-120000")
    for seed in range(3):
        assert rapo_mini.main(Settings(**(TINY | {"steps": 1}), seed=seed)) == 0
    names = sorted(p.name for p in (tmp_path / "runs").iterdir())
    stem = "20261124-120000-rapo"
    assert names == [stem, f"{stem}-2", f"{stem}-3"]


# ---------------------------------------------------------------- 15: folders that cannot be


def test_an_out_that_cannot_be_is_a_sentence(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert run(out) == 2
        assert "--out" in sentence(capsys)


def test_pass_at_k_says_before_sampling_that_out_cannot_be_written(finished, tmp_path, capsys):
    asked = Evaluation(str(finished), n=2, problems=2, out=str(tmp_path / "no" / "dir" / "x.json"))
    assert pass_at_k.main(asked) == 2
    assert "--out" in sentence(capsys, "pass_at_k")


def test_a_holder_that_is_about_to_sign_is_waited_for(tmp_path):
    """Between locking and signing the file is empty: the second process must not miss the name."""
    lock = tmp_path / ".lock"
    lock.write_text("")
    signed = '{"pid": 41, "host": "here", "since": "2026-01-01 10:00:00"}\n'
    later = threading.Timer(0.2, lock.write_text, [signed])
    later.start()
    assert holder(lock) == "process 41 on here since 2026-01-01 10:00:00"
    later.join()
    assert holder(tmp_path / "none", patience=0.05) == "another process"
