"""One's own data: every format gives the same problems; columns are guessed, faults are named."""

import csv
import json
import re

import pytest
from datasets import Dataset, DatasetDict
from faults.runs import run, sentence

import problems as door
from problems import Problem, both_sides, load_problems, training_problems
from settings import Settings, resolve
from worlds import tables
from worlds.files import Reading, read_own

ROWS = [
    {"question": f"What is {n}+1?", "gold": str(n + 1), "level": f"L{n % 3}"} for n in range(40)
]


def as_csv(path, rows, delimiter=","):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def as_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_folder(path, rows):
    path.mkdir()
    as_jsonl(path / "all.jsonl", rows)


WRITERS = {
    "mine.jsonl": as_jsonl,
    "mine.ndjson": as_jsonl,
    "mine.txt": as_jsonl,
    "mine.json": lambda path, rows: path.write_text(json.dumps(rows, indent=1)),
    "mine.csv": as_csv,
    "excel.csv": lambda path, rows: as_csv(path, rows, ";"),
    "mine.tsv": lambda path, rows: as_csv(path, rows, "\t"),
    "mine.parquet": lambda path, rows: Dataset.from_list(rows).to_parquet(path),
    "folder": as_folder,
    "saved": lambda path, rows: Dataset.from_list(rows).save_to_disk(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_problems(tmp_path, capsys, name):
    WRITERS[name](tmp_path / name, ROWS)
    found = read_own(str(tmp_path / name), "--data")
    assert found == [(r["question"], r["gold"], "", r) for r in ROWS]
    said = " ".join(capsys.readouterr().out.split())
    assert "the problem is in question, the answer in gold" in said and "--problem-column" in said


@pytest.mark.parametrize("name", ["folder", "saved"])
def test_a_source_with_a_test_of_its_own_is_not_split(tmp_path, capsys, name):
    train, test = ROWS[:30], ROWS[30:]
    if name == "folder":
        (tmp_path / name / "data").mkdir(parents=True)
        as_jsonl(tmp_path / name / "data" / "train-00000-of-00001.jsonl", train)
        as_csv(tmp_path / name / "data" / "validation.csv", test)
    else:
        both = {"train": Dataset.from_list(train), "test": Dataset.from_list(test)}
        DatasetDict(both).save_to_disk(tmp_path / name)
    settings, _ = resolve(Settings(data=str(tmp_path / name)))
    training, measured = both_sides(settings)
    assert {p.problem for p in training} == {r["question"] for r in train}
    assert {p.problem for p in measured} == {r["question"] for r in test}
    assert "split by a hash" not in capsys.readouterr().out


def test_a_set_of_the_hub_is_read_and_what_the_verifier_cannot_read_is_left_out_and_said(
    tmp_path, capsys, monkeypatch
):
    rows = [{"question": f"{n}?", "answer": f"so it is\n#### {n}"} for n in range(9)]
    rows[3]["answer"] = rows[7]["answer"] = "((("
    asked = []

    def load_dataset(name, config, split):
        asked.append((name, config, split))
        return DatasetDict({"train": Dataset.from_list(rows)})

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    found = load_problems("openai/gsm8k:main:train", "train", None, 0, "--data")
    assert asked == [("openai/gsm8k", "main", "train")]
    assert {p.problem: p.answer for p in found} == {
        f"{n}?": f"{n}" for n in range(9) if n not in (3, 7)
    }
    said = " ".join(capsys.readouterr().out.split())
    assert "row 3: gold answer '((('" in said and "2 rows in all: 3, 7; left out, 7 others" in said


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ("openai/gsm8k", ("openai/gsm8k", None, None)),
        ("openai/gsm8k:socratic", ("openai/gsm8k", "socratic", None)),
        ("openai/gsm8k:test", ("openai/gsm8k", None, "test")),
        ("a/b.v1:all:train[:10%]", ("a/b.v1", "all", "train[:10%]")),
        ("a/b.csv", None),
        ("/a/b", None),
        ("a/b/c", None),
    ],
)
def test_the_names_of_the_hub(data, named):
    assert tables.hub_name(data) == named


def test_a_folder_hides_a_name_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    as_folder(tmp_path / "owner" / "name", ROWS)
    assert len(load_problems("owner/name", "train", None, 0, "--data")) == len(ROWS)


def test_columns_by_name_and_into_an_object_and_a_conversation(tmp_path):
    message = [{"role": "system", "content": "Think."}, {"role": "user", "content": "1+1?"}]
    row = {"prompt": message, "reward_model": {"ground_truth": "2"}, "other": "3"}
    as_jsonl(tmp_path / "verl.jsonl", [row])
    assert read_own(str(tmp_path / "verl.jsonl"), "--data")[0][:2] == ("1+1?", "2")
    reading = Reading(answer="other")
    assert read_own(str(tmp_path / "verl.jsonl"), "--data", reading=reading)[0][1] == "3"


@pytest.mark.parametrize("name", ["problem_column", "answer_column"])
def test_a_column_is_named_for_data_of_ones_own_only(tmp_path, name):
    column = {name: "question" if name == "problem_column" else "gold"}
    says = f"--{name.replace('_', '-')} '.*' names a column of one's own data, and puzzles is read"
    with pytest.raises(ValueError, match=says):
        both_sides(resolve(Settings(**column))[0])
    as_jsonl(tmp_path / "a.jsonl", ROWS)
    training, _ = both_sides(resolve(Settings(data=str(tmp_path / "a.jsonl"), **column))[0])
    assert len(training) < len(ROWS)
    own, _ = both_sides(
        resolve(Settings(data=str(tmp_path / "a.jsonl"), eval_data="sums", **column))[0]
    )
    assert len(own) == len(ROWS)


def test_copies_of_public_sets_are_for_public_sets_only():
    with pytest.raises(
        ValueError, match=r"--data-dir 'copies' holds .* and puzzles is none of them"
    ):
        both_sides(resolve(Settings(data_dir="copies"))[0])


def test_the_other_columns_travel_and_are_part_of_what_a_run_began_with(tmp_path):
    as_jsonl(tmp_path / "a.jsonl", [{"problem": "1?", "answer": "1", "level": 3}])
    (found,) = load_problems(str(tmp_path / "a.jsonl"), "train", None, 0, "--data")
    assert found == Problem("1?", "1", "", {"level": 3}) and "'level': 3" in repr([found])
    assert hash(found) == hash(Problem("1?", "1"))


def test_own_rewards_need_no_gold_that_the_verifier_reads_nor_any(tmp_path):
    as_jsonl(tmp_path / "a.jsonl", [{"problem": "Sort: c a b", "target": ["a", "b", "c"]}])
    as_jsonl(tmp_path / "b.jsonl", [{"problem": "Write a poem."}])
    (tmp_path / "mine.py").write_text("def f(completion, problem): return 1.0\n")
    own = {"reward": (f"{tmp_path}/mine.py:f",), "eval_problems": 0}
    for name, answer in (("a", "['a', 'b', 'c']"), ("b", "")):
        settings, _ = resolve(Settings(data=str(tmp_path / f"{name}.jsonl"), **own))
        assert training_problems(settings)[0].answer == answer
    with pytest.raises(ValueError, match="the answer must be a text"):
        load_problems(str(tmp_path / "a.jsonl"), "train", None, 0, "--data")


BAD = {
    "an empty name": (None, None, {}, "'' is neither puzzles, sums, a set known here"),
    "no such file": ("gone.csv", None, {}, "could not be read"),
    "an empty folder": ("void/", None, {}, "holds no file that ends in"),
    "no parquet": ("a.parquet", b"PAR1", {}, "is no Parquet file"),
    "a torn array": ("a.json", b'[{"problem": ', {}, "no JSON array"),
    "a row that is too long": (
        "a.csv",
        b"problem,answer\n1,2\n1,2,3\n",
        {},
        "line 3: has another number",
    ),
    "a row that is too short": ("a.csv", b"problem,answer\n1\n", {}, "line 2: has another number"),
    "columns that none can guess": (
        "a.csv",
        b"foo,bar\n1,2\n",
        {},
        "columns foo, bar.*--problem-column",
    ),
    "no answer": (
        "a.csv",
        b"question,level\n1,2\n",
        {},
        "columns question, level.*--answer-column",
    ),
    "no such column": ("a.csv", b"q,a\n1,2\n", {"problem_column": "x"}, "no column x; it has q, a"),
    "bad golds": (
        "a.csv",
        b"problem,answer\n1,2\n2,(((\n3,((\n",
        {},
        "line 3: gold .*: 3, 4; 1 others",
    ),
    "an object in an array": ("a.json", b"[1, 2]", {}, "item 1: needs a JSON object"),
    "a backslash once": (
        "a.jsonl",
        rb'{"problem": "1?", "answer": "\sqrt{2}"}',
        {},
        r"line 1: needs .* Invalid \\escape .in JSON a backslash is written twice",
    ),
    "a LaTeX command that JSON has eaten": (
        "a.jsonl",
        rb'{"problem": "1?", "answer": "\frac{1}{2}"}',
        {},
        r"line 1: the answer holds .*\\frac.* write the backslash twice",
    ),
    "a column named twice": ("a.csv", b"problem,problem,answer\n1?,2?,2\n", {}, "twice"),
    "not UTF-8": ("a.csv", "problem,answer\né,2\n".encode("latin-1"), {}, "line 2: is not UTF-8"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_data_is_one_sentence_and_exit_code_2(tmp_path, capsys, what):
    name, content, flags, names = BAD[what]
    if name and name.endswith("/"):
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    assert run(tmp_path / "run", data=str(tmp_path / name) if name else "", **flags) == 2
    said = sentence(capsys)
    assert re.search(names, said) and "--" in said, said
    assert not (tmp_path / "run").exists()


def test_a_set_that_the_hub_does_not_give_is_one_sentence(tmp_path, capsys):
    assert run(tmp_path / "run", data="owner/no-such-name:main") == 2  # HF_HUB_OFFLINE is set
    said = sentence(capsys)
    assert (
        "owner/no-such-name:main could not be read" in said
        and "[:split]" in said
        and "--data" in said
    )


def test_pass_at_k_reads_what_a_run_reads(tmp_path, capsys):
    import pass_at_k
    from pass_at_k import Evaluation

    WRITERS["mine.csv"](tmp_path / "mine.csv", ROWS)
    assert run(tmp_path / "run", data=str(tmp_path / "mine.csv")) == 0
    asked = Evaluation(
        str(tmp_path / "run"), data=str(tmp_path / "mine.csv"), n=2, max_new_tokens=4
    )
    assert pass_at_k.main(asked) == 0
    assert door.files.has_test(str(tmp_path / "mine.csv"), "--data") is False


def test_a_dry_run_reads_what_lies_at_hand_and_asks_no_network(tmp_path, capsys):
    gone = str(tmp_path / "gone.csv")
    for wrong in ({"data": gone}, {"data": "nonsense"}, {"reward": (f"{tmp_path}/gone.py:f",)}):
        assert run(tmp_path / "run", dry_run=True, **wrong) == 2
        assert "gone" in sentence(capsys) or "nonsense" in wrong.values()
    assert run(tmp_path / "run", dry_run=True, data="owner/name", eval_data="gsm8k") == 0
