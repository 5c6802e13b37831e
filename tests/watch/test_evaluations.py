"""watch/evaluations.py: counts belong to their problems, and a killed evaluation goes on undisturbed."""

import json
import time
from pathlib import Path

import pytest
from warm import Program, run

import pass_at_k
from pass_at_k import Evaluation, count_correct
from policy import load_policy
from problems import Problem, load_problems
from settings import BUNDLED_BASE, Settings, resolve
from verifier import verify
from watch.evaluations import Log
from worlds import rewards

HEADER = {"n": 6, "seed": 0}
SETTINGS = resolve(Settings(max_new_tokens=8))[0]
OPTIONS = {"settings": SETTINGS, "samples": 6, "seed": 0, "label": "trained"}
PROBLEMS = [Problem("1, 2", "5"), Problem("What comes next: 3, 4, 5, 6?", "7")] * 2


def test_counting_does_not_depend_on_how_many_rows_run_at_once(small_policy):
    """Each problem gets its own samples, also where a group is cut or problems share a batch."""
    problems = [Problem("1, 2", "5"), Problem("What comes next: 3, 4, 5, 6?", "7")] * 2
    for rows in (4, 12, 100):
        counted = count_correct(small_policy, problems, rows=rows, **OPTIONS)
        assert counted.shape == (4,) and (counted <= 6).all()


def test_right_answers_are_counted_for_the_right_problem(small_policy, monkeypatch):
    """The verifier is told each row's own gold: here it accepts one problem's rows only."""
    problems = [Problem(str(i), f"gold {i}") for i in range(5)]
    verdict = (
        type("V", (), {"reward": 1.0, "reason": "correct", "answer": "1"}),
        type("V", (), {"reward": 0.0, "reason": "wrong", "answer": "2"}),
    )
    monkeypatch.setattr(rewards, "verify", lambda _text, gold: verdict[gold != "gold 3"])
    counted = count_correct(
        small_policy,
        problems,
        SETTINGS,
        samples=3,
        adapter_on=False,
        seed=0,
        rows=7,
    )
    assert counted.tolist() == [0, 0, 0, 3, 0]


@pytest.fixture
def one_way(monkeypatch):
    """A verdict that depends on the text alone, so that counts differ from problem to problem."""
    right = type("V", (), {"reward": 1.0, "reason": "correct", "answer": "x"})
    wrong = type("V", (), {"reward": 0.0, "reason": "wrong", "answer": None})
    monkeypatch.setattr(
        rewards, "verify", lambda text, _gold: (wrong, right)[sum(map(ord, text)) % 2]
    )


@pytest.mark.parametrize("rows", [4, 6, 12, 100])
@pytest.mark.parametrize("cut", ["a line", "half a line", "all but the header", "nothing"])
def test_a_cut_log_gives_the_counts_of_an_undisturbed_one(
    small_policy, tmp_path, one_way, rows, cut
):
    plain = count_correct(small_policy, PROBLEMS, rows=rows, **OPTIONS)
    path = tmp_path / "deep" / "log.jsonl"
    first = count_correct(small_policy, PROBLEMS, rows=rows, log=Log(path, HEADER), **OPTIONS)
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    kept = {"a line": lines[:-1], "half a line": [*lines[:-1], lines[-1][:40]], "nothing": lines}
    path.write_text("".join(kept.get(cut, lines[:1])))
    log = Log(path, HEADER)
    sampled = []
    sample = pass_at_k.sample_groups

    def watched(*args, **options):
        sampled.append(1)
        return sample(*args, **options)

    pass_at_k.sample_groups = watched
    try:
        again = count_correct(small_policy, PROBLEMS, rows=rows, log=log, **OPTIONS)
    finally:
        pass_at_k.sample_groups = sample
    assert plain.tolist() == first.tolist() == again.tolist() and 0 < plain.sum() < 24
    assert path.read_text() == whole, "and the very completions"
    batches = {4: 8, 6: 4, 12: 2, 100: 1}[rows]
    expected = {"nothing": 0, "all but the header": batches}.get(cut, 1)
    assert len(sampled) == expected, "what is in the log is not sampled again"


def test_the_bar_moves_when_a_batch_is_done(small_policy, monkeypatch):
    bars, at = [], []

    def bar(**options):
        bars.append(tqdm(**options))
        return bars[-1]

    def watched(*args, **options):
        at.append(bars[-1].n)
        return sample(*args, **options)

    sample, tqdm = pass_at_k.sample_groups, pass_at_k.tqdm
    monkeypatch.setattr(pass_at_k, "tqdm", bar)
    monkeypatch.setattr(pass_at_k, "sample_groups", watched)
    count_correct(small_policy, PROBLEMS, rows=6, **OPTIONS)
    assert at == [0, 6, 12, 18] and bars[-1].n == 24


def test_every_completion_stands_in_the_log_with_its_verdict(small_policy, tmp_path):
    path = tmp_path / "log.jsonl"
    counted = count_correct(small_policy, PROBLEMS, rows=4, log=Log(path, HEADER), **OPTIONS)
    header, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert header == HEADER
    for number, problem in enumerate(PROBLEMS):
        mine = [line for line in lines if line["problem"] == number]
        completions = [c for line in mine for c in line["completions"]]
        assert len(completions) == 6 and {line["gold"] for line in mine} == {problem.answer}
        for completion in completions:
            verdict = verify(completion["text"], problem.answer)
            assert completion["reason"] == verdict.reason
            assert (completion["reward"], completion["answer"]) == (verdict.reward, verdict.answer)
        assert sum(c["reward"] for c in completions) == counted[number]


def test_a_completion_may_hold_any_character(tmp_path):
    """Line separators that are not the file's, and a file cut inside a character."""
    path = tmp_path / "log.jsonl"
    line = {
        "draw": "base",
        "first": 0,
        "sample": 0,
        "of": 1,
        "correct": 1,
        "text": "a\u2028b\x85c\r\n",
    }
    Log(path, HEADER).add([line])
    with path.open("ab") as file:
        file.write("é".encode()[:1])
    assert Log(path, HEADER).counts == {("base", 0, 0): [1]}


def test_the_log_of_another_evaluation_is_not_gone_on_with(tmp_path):
    path = tmp_path / "log.jsonl"
    Log(path, HEADER)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"n 6, not 7.*--log"):
        Log(path, HEADER | {"n": 7})
    assert path.read_bytes() == before


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    load_policy(str(BUNDLED_BASE)).model.save_pretrained(folder)
    return folder


def command(adapter, *more):
    script = Path(pass_at_k.__file__)
    flags = [
        "--adapter",
        adapter,
        "--n",
        16,
        "--k",
        "1,2,4,...,16",
        "--problems",
        32,
        "--threads",
        1,
    ]
    return [script, *flags, *more]


def table_of(screen):
    return [line for line in screen.splitlines() if "pass@" in line]


def test_an_evaluation_killed_in_the_middle_goes_on(adapter, tmp_path):
    """kill -9 while it samples, then the same command: the table of an undisturbed one."""
    log = tmp_path / "whole.jsonl"
    whole = run(*command(adapter, "--log", log))
    assert whole.returncode == 0 and "pass@16" in whole.stdout, whole.stderr
    cut = tmp_path / "cut.jsonl"
    process = Program(*command(adapter, "--log", cut))
    until = time.monotonic() + 120
    while not (cut.exists() and cut.read_text().count("\n") > 12):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert cut.stat().st_size < log.stat().st_size
    again = run(*command(adapter, "--log", cut))
    assert table_of(again.stdout) == table_of(whole.stdout) and len(table_of(whole.stdout)) > 10
    assert "batches are there already" in again.stdout and " 0 batches" not in again.stdout
    assert cut.read_text() == log.read_text()


def test_a_public_set_without_network_from_a_copy(adapter, tmp_path, monkeypatch, capsys):
    rows = [
        {"problem": f"What comes next: {i}, 3, 4, 5?", "answer": "6", "id": "1"} for i in (1, 2)
    ]
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "aime25").mkdir()
    (tmp_path / "aime25" / "test.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    asked = {"data": "aime25", "adapter": str(adapter), "n": 4, "k": ("1,...,4",), "threads": 1}
    assert pass_at_k.main(Evaluation(**asked, data_dir=str(tmp_path))) == 0
    assert "Full: 2 problems, 4 samples each" in capsys.readouterr().out
    beside = adapter.with_name(f"{adapter.name}-evaluations")
    assert (beside / "aime25-n4-seed0.jsonl").exists()
    assert load_problems("aime25", "test", None, 0, "", str(tmp_path))


def test_problems_with_long_prompts_are_left_out_as_in_training(adapter, tmp_path, capsys):
    data = tmp_path / "mine.jsonl"
    rows = [{"problem": "What comes next: " + "1, " * n, "answer": "1"} for n in (2, 3, 30)]
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    asked = {"data": str(data), "n": 1, "max_prompt_tokens": 40, "max_new_tokens": 4, "threads": 1}
    assert pass_at_k.main(Evaluation(str(adapter), **asked)) == 0
    out = capsys.readouterr().out
    assert "1 of 3 problems left out" in out and "Full: 2 problems" in out


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"k": ("1,99",)}, "--k"),
        ({"k": ("many",)}, "--k"),
        ({"n": 0}, "--n 0"),
        ({"problems": 0}, "--problems 0"),
        ({"max_prompt_tokens": 3}, "--max-prompt-tokens 3 leaves no problem"),
        ({"max_new_tokens": 100_000}, "--max-new-tokens 100000 after a prompt of"),
        ({"data": "aime99"}, "--data"),
        ({"answer_column": "gold"}, "--answer-column 'gold' names a column"),
        ({"data_dir": "copies"}, "--data-dir 'copies' holds copies of public sets"),
        ({"data": "aime24"}, "hf download HuggingFaceH4/aime_2024"),
        ({"adapter": "no/such/adapter"}, "--adapter"),
        ({"model": "no/such-model"}, "--model"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_status_two(adapter, capsys, wrong, names):
    asked = {"adapter": str(adapter), "n": 4, "problems": 2} | wrong
    assert pass_at_k.main(Evaluation(**asked)) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert any(line.startswith("pass_at_k: ") and names in line for line in error), error
