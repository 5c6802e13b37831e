"""kill -9 and the signals, at any moment of a merge: the whole folder is there, or none."""

import os
import random
import signal
import time

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer
from warm import Program

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.name == "nt", reason="signals of POSIX"),
]


def merging(run, out, folder):
    """The command as a process that has begun its work."""
    process = Program("-m", "use", "merge", run, out, cwd=folder)
    while "merging" not in process.printed():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    return process


@pytest.fixture(scope="module")
def seconds(finished_run, tmp_path_factory):
    """How long a merge takes when nothing happens to it."""
    folder = tmp_path_factory.mktemp("whole")
    process, began = merging(finished_run, folder / "out", folder), time.monotonic()
    assert process.wait() == 0, process.communicate()
    return time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("seed", range(2))
def test_a_merge_that_is_stopped_leaves_all_or_nothing(
    finished_run, tmp_path, seconds, number, seed
):
    out = tmp_path / "out"
    process = merging(finished_run, out, tmp_path)
    time.sleep(random.Random(f"{seed}-{number}").uniform(0.0, 1.0) * seconds)
    process.send_signal(number)
    error = process.communicate(timeout=120)[1]
    assert "Traceback" not in error, error
    if out.exists():
        loads(out)
        return
    if number != signal.SIGKILL:
        assert not list(tmp_path.glob("out*")), "only what is killed leaves something half written"
    again = merging(finished_run, out, tmp_path)
    assert again.wait() == 0, again.communicate()
    loads(out)
    assert not list(tmp_path.glob("out.*")), "and the next merge removes that"


def loads(folder) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("What comes next: 2, 5, 8, 11?\n", return_tensors="pt").input_ids
    assert model(input_ids=ids).logits.isfinite().all()
