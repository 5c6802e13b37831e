"""A disk that fails at each operation, and each file of a run damaged: bit-equal or a sentence."""

import random
import shutil

import pytest
from warm import Program

import rapo_mini
from faults.conftest import quicken
from faults.disk import Crash, Disk
from faults.runs import (
    MEASURED,
    ROOT,
    STEPS,
    everything_in,
    metrics_of,
    result_of,
    resume,
    run,
    sentence,
)
from settings import Settings

FAULTS = ("crash", "full", "read-only")


@pytest.fixture(scope="module")
def operations(tmp_path_factory):
    """What an undisturbed run does on the disk, in order."""
    out = tmp_path_factory.mktemp("count") / "run"
    with pytest.MonkeyPatch.context() as patch, Disk(out) as disk:
        quicken(patch)
        assert run(out, **MEASURED) == 0
    return disk.done


def fail_and_go_on(out, number, how, wanted, capsys):
    """A run whose disk fails at one operation, then the same run with a disk that works."""
    try:
        with Disk(out, number, how):
            status = run(out, **MEASURED)
    except Crash:
        assert how == "crash"
    else:
        assert status in (1, 2) and how != "crash"
        assert str(out) in sentence(capsys)
    status = resume(out) if (out / "config.json").exists() else run(out, **MEASURED)
    assert status == 0, capsys.readouterr().err
    assert result_of(out) == wanted
    assert not list(out.rglob("*.part")), "what was half written is gone"


def test_the_layer_sees_the_whole_life_of_a_run(operations):
    assert {"open", "write", "replace", "fsync", "mkdir", "save_pretrained"} <= set(operations)
    assert len(operations) > 30


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_disk_that_fails(operations, undisturbed, tmp_path, capsys, how, share):
    number = int(share * len(operations))
    fail_and_go_on(tmp_path / "run", number, how, undisturbed[0], capsys)


@pytest.mark.faults
@pytest.mark.parametrize("how", FAULTS)
def test_a_disk_that_fails_at_each_operation(operations, undisturbed, tmp_path, capsys, how):
    for number in range(FAULTS.index(how), len(operations), len(FAULTS)):  # each one a third
        if how != "crash" and number == len(operations) - 1:
            continue  # the name of the last file is made to last: it is there, and nothing follows
        fail_and_go_on(tmp_path / f"run{number}", number, how, undisturbed[0], capsys)


@pytest.mark.parametrize("how", FAULTS)
def test_a_disk_that_fails_while_a_run_is_taken_up(undisturbed, tmp_path, capsys, how):
    """At the operations of a resume: nothing of what was there may be lost by them."""
    for number in range(0, 24, 3):
        out = shutil.copytree(undisturbed[1], tmp_path / f"run{number}")
        try:
            with Disk(out, number, how):
                assert resume(out) in (0, 1, 2)
        except Crash:
            pass
        capsys.readouterr()
        assert resume(out) == 0 and result_of(out) == undisturbed[0]


# ---------------------------------------------------------------- files of a run, damaged

DERIVED = ("adapter/", "summary.json", "curves.png", "evaluations/", ".lock")


def damaged(data: bytes, how: str, dice: random.Random) -> bytes | None:
    """None: the file is gone."""
    if how == "removed":
        return None
    if how == "truncated":
        return data[: dice.randrange(len(data))]
    place = dice.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]


def spoil_and_resume(out, name, content, wanted, capsys):
    """After it: a run that goes on bit-equal, or a sentence and everything on disk as before."""
    if content is None:
        (out / name).unlink()
    else:
        (out / name).write_bytes(content)
    before = everything_in(out)
    status = resume(out)
    assert status in (0, 2), name
    if status == 0:
        assert result_of(out) == wanted, name
        return
    sentence(capsys)
    after = everything_in(out)
    if name.startswith(
        "evaluations/"
    ):  # found once training is over, after the adapter was written
        return
    assert after == before, name


@pytest.mark.parametrize("how", ["removed", "truncated", "flipped"])
def test_each_file_of_a_run_damaged(undisturbed, tmp_path, capsys, how):
    dice = random.Random(how)
    for name in everything_in(undisturbed[1]):
        out = shutil.copytree(undisturbed[1], tmp_path / name.replace("/", "-"))
        content = damaged((out / name).read_bytes(), how, dice)
        spoil_and_resume(out, name, content, undisturbed[0], capsys)


@pytest.mark.faults
@pytest.mark.parametrize("name", ["state.pt", "metrics.jsonl", "config.json"])
def test_bits_flipped_and_tails_lost_all_over_a_file(undisturbed, tmp_path, capsys, name):
    dice = random.Random(name)
    for number in range(16):
        out = shutil.copytree(undisturbed[1], tmp_path / str(number))
        how = ("flipped", "truncated")[number % 2]
        content = damaged((out / name).read_bytes(), how, dice)
        spoil_and_resume(out, name, content, undisturbed[0], capsys)


def test_files_of_two_runs_swapped(undisturbed, tmp_path, capsys):
    other = tmp_path / "other"
    assert run(other, **MEASURED, seed=7) == 0
    for name in everything_in(undisturbed[1]):
        out = shutil.copytree(undisturbed[1], tmp_path / name.replace("/", "-"))
        there = next((other / name).parent.glob((other / name).name.replace("seed0", "seed7")))
        spoil_and_resume(out, name, there.read_bytes(), undisturbed[0], capsys)


@pytest.mark.usefixtures("all_watched")
@pytest.mark.faults
def test_three_processes_on_one_folder(tmp_path):
    """One goes on with the run, two are told who has it; the run is the undisturbed one's."""
    given = MEASURED | {"steps": 30}
    assert run(tmp_path / "whole", **given) == 0
    assert run(tmp_path / "run", **given | {"steps": STEPS}) == 0
    again = (ROOT / "rapo_mini.py", "--resume", tmp_path / "run", "--steps", 30)
    three = [Program(*again) for _ in range(3)]
    ends = [(p.communicate(timeout=200)[1], p.returncode) for p in three]
    refused = [error for error, status in ends if status == 2]
    assert len(refused) == 2 and all("in use by process" in error for error in refused), ends
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "whole")
    assert rapo_mini.main(Settings(resume=str(tmp_path / "run"), steps=30)) == 0
