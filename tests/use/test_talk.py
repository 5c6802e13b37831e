"""python -m use talk: what is shown, what is typed, what is refused."""

import io
import json
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from warm import Program

from policy import load_policy
from settings import BUNDLED_BASE
from step import rollout
from use import talk as room
from use.__main__ import main
from use.talk import Talk

ROOT = BUNDLED_BASE.parent
PUZZLE = "What comes next: 2, 5, 8, 11?"


def talked(capsys, *given, **options) -> str:
    """What is printed by a talk that ends well."""
    assert main(Talk(*map(str, given), **options)) == 0
    return capsys.readouterr().out


def test_both_sides_stand_beside_each_other_with_their_verdicts(finished_run, capsys):
    shown = talked(capsys, finished_run, PUZZLE, n=3, gold="14")
    assert shown.count("-> ") == 6 and "base: " in shown and "trained: " in shown
    assert all(len(line) <= 80 and line == line.rstrip() for line in shown.splitlines()[1:])
    rights = shown.count("-> right")
    counted = sum(int(word) for word in shown.split("3 right")[:-1] for word in [word.split()[-2]])
    assert rights == counted
    assert "-> " not in talked(capsys, finished_run, PUZZLE, n=3)


def test_the_trained_side_is_what_a_rollout_samples(finished_run):
    """The run's template, its temperature, its sampler, the adapter on; the base with it off."""
    trained = room.find(str(finished_run))
    policy, settings = load_policy(str(BUNDLED_BASE), adapter=finished_run), trained.settings
    rolled = rollout(policy, [room.Problem(PUZZLE, "14")], settings, 0)
    base, ours = room.both_sides(policy, PUZZLE, settings, settings.group_size)
    assert ours.texts == rolled.texts and base.texts != ours.texts


def test_a_prompt_goes_through_the_runs_template(finished_run, tmp_path, monkeypatch, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    asked = []
    encode = room.prompts_of
    monkeypatch.setattr(
        room, "prompts_of", lambda p, rows, s: asked.append((rows, s)) or encode(p, rows, s)
    )
    talked(capsys, run, PUZZLE, n=1, prompt_template="{problem}\n", temperature=0.5)
    (((problem,), settings),) = asked
    assert (problem.problem, settings.prompt_template) == (PUZZLE, "{problem}\n")
    assert settings.temperature == 0.5 and settings.max_new_tokens == 72


def test_escape_sequences_of_a_model_are_shown_and_not_obeyed(finished_run, monkeypatch, capsys):
    evil = "\x1b[2J\x1b]0;title\x07 so\rit is \\boxed{14}\nnext [red]line[/red]"
    monkeypatch.setattr(room, "decode", lambda *given: [evil] * 2)
    shown = talked(capsys, finished_run, PUZZLE, n=2, gold="14")
    assert not set(shown) & set("\x1b\x07\r") and "␛[2J" in shown and "[red]line[/red]" in shown


def test_lines_are_piped_in_one_after_the_other(finished_run, monkeypatch, capsys):
    lines = [PUZZLE, "", "/gold 14", "/gold }{", "/dance", "of llamas 3", "/help", "/quit", "never"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    assert main(Talk(str(finished_run), n=2)) == 0
    out, err = capsys.readouterr()
    assert out.count("> ") >= 4 and "never" not in out
    assert "llamas" in out.split("no token for: ")[1].splitlines()[0]
    assert out.count("\n   -> ") == 2, "a row of verdicts for each pair, for /gold alone"
    assert err.count("use: ") == 2 and "/dance is no command" in err and "gold" in err


def test_gold_before_anything_was_shown(finished_run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("/gold 14\n"))
    assert main(Talk(str(finished_run))) == 0
    assert "ask for something first" in capsys.readouterr().err


def test_an_empty_line_of_a_person_samples_again(finished_run, monkeypatch, capsys):
    typed = iter([PUZZLE, "", ""])

    def input_of(_prompt):
        for line in typed:
            return line
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", input_of)
    monkeypatch.setattr(room.Talker, "see_history", lambda self: None)
    shown = talked(capsys, finished_run, n=4, temperature=1.5)
    first, *others = shown.split("trained\n")[1:]
    assert len(others) == 2 and len({first, *others}) == 3, "each time with other noise"


def test_an_adapter_alone_is_talked_to_with_the_programs_own_settings(
    finished_run, tmp_path, capsys, monkeypatch
):
    adapter = shutil.copytree(finished_run / "adapter", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)  # where no tiny_base lies
    shown = talked(capsys, adapter, PUZZLE, n=2)
    assert shown.splitlines()[1:] == talked(capsys, finished_run, PUZZLE, n=2).splitlines()[1:]


def test_a_run_of_scale_has_more_settings_and_is_talked_to_all_the_same(
    finished_run, tmp_path, capsys
):
    run = shutil.copytree(finished_run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config = {k: v for k, v in config.items() if k != "run"} | {"vllm": "off"}
    (run / "config.json").write_text(json.dumps(config))
    assert "trained" in talked(capsys, run, PUZZLE, n=1)


# ---------------------------------------------------------------- the run's own reward

OWN = r"""
def length(completion, problem):
    return (len(completion) / 1000, "by length \x1b[2J") if problem["prompt"].endswith("?\n") else 9.0

def by_column(completions, level, **columns):
    return [1.0] * len(completions)
"""


def rewarded(run, folder, *reward, **changed) -> str:
    """A copy of the run that says of itself that these functions rewarded it."""
    (folder / "mine.py").write_text(OWN)
    copy = shutil.copytree(run, folder / "rewarded")
    config = json.loads((copy / "config.json").read_text())
    config = {k: v for k, v in config.items() if k != "run"} | changed
    config["reward"] = [text.format(folder / "mine.py") for text in reward]
    (copy / "config.json").write_text(json.dumps(config))
    return str(copy)


def test_the_runs_own_reward_judges_and_needs_no_gold(finished_run, tmp_path, capsys):
    run = rewarded(finished_run, tmp_path, "{}:length", right_at=0.04)
    asked = Talk(run, PUZZLE, n=3)
    shown = talked(capsys, run, PUZZLE, n=3)
    said = " ".join(shown.split())
    assert "mine.py:length, that of the run" in said and "\x1b" not in shown
    trained = room.find(run)
    base, ours = room.both_sides(room.load(trained), PUZZLE, trained.settings, asked.n)
    lengths = [len(text) / 1000 for side in (base, ours) for text in side.texts]
    for worth in lengths:
        assert f"-> {worth:g} by length" in said
    for name, worths in (("base", lengths[:3]), ("trained", lengths[3:])):
        right = sum(worth >= 0.04 for worth in worths)
        assert f"{name}: reward {sum(worths) / 3:.2f}, {right} of 3 right" in said
    assert talked(capsys, run, PUZZLE, n=3, gold="no number").count("by length") == 6


def test_a_reward_with_the_verifier_in_it_waits_for_the_gold(finished_run, tmp_path, capsys):
    run = rewarded(finished_run, tmp_path, "verify", "{}:length=0.5")
    shown = talked(capsys, run, PUZZLE, n=2)
    assert "-> " not in shown and "once there is a right answer" in " ".join(shown.split())
    shown = talked(capsys, run, PUZZLE, n=2, gold="14")
    assert shown.count("-> ") == 4 and "once there is" not in shown
    shown = talked(capsys, run, PUZZLE, n=2, gold="14", reward=("verify",))
    assert shown.count("-> ") == 4 and "reward" not in shown.split("temperature 1")[1]
    assert main(Talk(run, PUZZLE, gold="}{")) == 2 and "--gold" in sentence(capsys)


def test_a_reward_of_the_run_that_is_gone_costs_the_verdicts_and_not_the_talk(
    finished_run, tmp_path, capsys
):
    run = rewarded(finished_run, tmp_path, "{}:length", right_at=9.0)
    (tmp_path / "mine.py").unlink()
    said = " ".join(talked(capsys, run, PUZZLE, n=2).split())
    assert "No such file" in said and "no verdicts by the run's own reward" in said
    assert "-> " not in said and "trained" in said
    assert talked(capsys, run, PUZZLE, n=2, gold="14").count("-> ") == 4, "the verifier judges"
    given = f"{tmp_path / 'mine.py'}:length"
    assert main(Talk(run, PUZZLE, reward=(given,))) == 2 and "No such file" in sentence(capsys)
    assert talked(capsys, run, PUZZLE, n=2, gold="14", reward=("verify",)).count("-> ") == 4


def test_a_reward_that_has_changed_since_is_said(finished_run, tmp_path, capsys, monkeypatch):
    run = rewarded(finished_run, tmp_path, "{}:length")
    monkeypatch.setattr(room, "inputs_of_run", lambda folder: {"reward": "another"})
    said = " ".join(talked(capsys, run, PUZZLE, n=1).split())
    assert "which has changed since the run began" in said


def test_a_function_that_needs_what_a_talk_has_not_is_said_once(finished_run, tmp_path, capsys):
    shown = talked(capsys, rewarded(finished_run, tmp_path, "{}:by_column"), PUZZLE, n=2)
    assert shown.count("missing 1 required positional argument") == 1, shown
    assert shown.count("reward error") == 4


# ---------------------------------------------------------------- a terminal


def in_a_terminal(run, typed: list[bytes], tmp_path):
    """The command in a terminal of its own: (exit status, what it showed)."""
    import pty

    leader, follower = pty.openpty()
    words = ("-m", "use", "talk", run, "--n", 1)
    process = Program(*words, cwd=tmp_path, terminal=os.ttyname(follower))
    shown = until(leader, b"> ")
    os.close(follower)  # from here on the program alone holds it
    for line in typed:
        time.sleep(0.3)  # until the line is really being read: a Ctrl-C before that may be missed
        os.write(leader, line)
        shown += until(leader, b"> " if line is not typed[-1] else None)
    return process.wait(timeout=60), shown.decode()


def until(terminal: int, sign: bytes | None) -> bytes:
    """What a terminal shows up to a line that is the prompt, or to its end."""
    shown, began = b"", time.monotonic()
    while time.monotonic() - began < 120:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            more = os.read(terminal, 4096)
        except OSError:
            return shown
        shown += more
        if not more or (sign and shown.endswith(b"\n" + sign)):
            return shown
    raise AssertionError(shown)


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
@pytest.mark.parametrize(("last", "status"), [(b"\x04", 0), (b"\x03", 130)])
def test_ctrl_d_and_ctrl_c_end_it_cleanly_and_history_comes_back(
    finished_run, tmp_path, monkeypatch, last, status
):
    monkeypatch.setenv("TERM", "dumb")
    run = shutil.copytree(finished_run, tmp_path / "run")
    (run / "talk_history").write_text(PUZZLE + "\n")
    up = b"\x1b[A"
    found, shown = in_a_terminal(run, [up + b"\n", last], tmp_path)
    assert found == status and "Traceback" not in shown, shown
    assert PUZZLE in shown and "trained" in shown
    assert (run / "talk_history").read_text().count(PUZZLE) >= 1


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_term_ends_it_while_it_samples(finished_run, monkeypatch, capsys):
    monkeypatch.setattr(room, "both_sides", lambda *given: os.kill(os.getpid(), signal.SIGTERM))
    assert main(Talk(str(finished_run), PUZZLE)) == 130
    assert "stopped" in capsys.readouterr().err


# ---------------------------------------------------------------- what is refused


def changed(run: Path, tmp_path, **files) -> str:
    """A copy of the run with some files changed: None removes one."""
    copy = shutil.copytree(run, tmp_path / "copy")
    for name, change in files.items():
        path = copy / name.replace("__", "/")
        if change is None:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            path.write_bytes(change(path.read_bytes()))
    return str(copy)


CONFIG, WEIGHTS = "adapter__adapter_config.json", "adapter__adapter_model.safetensors"
FOLDERS = {  # what is wrong with RUN -> how it is made, and a word of the sentence
    "not there": (lambda run, tmp: "runs/nowhere", "is not there"),
    "a file": (lambda run, tmp: str(run / "metrics.jsonl"), "is a file"),
    "nothing in it": (lambda run, tmp: str(run / "evaluations"), "neither a run nor an adapter"),
    "no adapter yet": (lambda run, tmp: changed(run, tmp, adapter=None), "--resume"),
    "a damaged config": (
        lambda run, tmp: changed(run, tmp, **{"config.json": lambda text: text[:90]}),
        "not the settings of a run",
    ),
    "a changed config": (
        lambda run, tmp: changed(
            run, tmp, **{"config.json": lambda b: b.replace(b'"steps": 3', b'"steps": 4')}
        ),
        "checksum",
    ),
    "a damaged adapter config": (
        lambda run, tmp: changed(run, tmp, **{CONFIG: lambda text: text[:90]}),
        "no adapter's config",
    ),
    "torn weights": (
        lambda run, tmp: changed(run, tmp, **{WEIGHTS: lambda data: data[: len(data) // 2]}),
        "does not fit",
    ),
}


@pytest.mark.parametrize("wrong", FOLDERS)
def test_a_folder_that_is_no_trained_run_is_a_sentence(finished_run, tmp_path, capsys, wrong):
    made, word = FOLDERS[wrong]
    assert main(Talk(made(finished_run, tmp_path), PUZZLE)) == 2
    assert word in sentence(capsys)


def test_a_base_that_is_another_one_is_a_sentence(finished_run, small_base, capsys):
    assert main(Talk(str(finished_run), PUZZLE, model=str(small_base))) == 2
    assert "another hash" in sentence(capsys)


BAD = {
    "n": 0,
    "gold": "}{",
    "temperature": 0.0,
    "max_new_tokens": 0,
    "prompt_template": "no place for it",
    "reward": ("mine.py",),
    "model": "not/here/at/all",
    "threads": -1,
    "seed": 10**15,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_flag_is_a_sentence_that_names_it(finished_run, capsys, name):
    assert main(Talk(str(finished_run), PUZZLE, **{name: BAD[name]})) == 2
    assert f"--{name.replace('_', '-')}" in sentence(capsys)


@pytest.mark.parametrize("prompt", ["", "  ", "\udcff", "1, " * 100])
def test_a_bad_prompt_is_a_sentence(finished_run, capsys, prompt):
    assert main(Talk(str(finished_run), prompt)) == 2
    assert "PROMPT" in sentence(capsys)


def sentence(capsys) -> str:
    """The one line on stderr; a traceback is no sentence."""
    error = capsys.readouterr().err
    assert error.startswith("use: ") and error.count("\n") == 1 and "Traceback" not in error, error
    return error
