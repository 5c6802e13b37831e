"""worlds/: public sets through `datasets` from files of their schema, JSONL files, errors."""

import json

import pytest
from datasets import Dataset

from problems import load_problems
from worlds import public_sets as room

# Rows as the sets have them: the same columns, the same types, two rows each.
SIMPLERL = [
    {
        "question": f"What is ${i}+1$?",
        "answer": answer,
        "gt_answer": answer,
        "subject": "Algebra",
        "level": 3,
        "target": answer,
        "data_source": "simplelr_math",
        "prompt": [{"role": "user", "content": f"What is ${i}+1$?"}],
        "ability": "math",
        "reward_model": {"ground_truth": answer, "style": "rule"},
        "extra_info": {
            "answer": answer,
            "index": i,
            "question": f"What is ${i}+1$?",
            "split": "train",
        },
    }
    for i, answer in enumerate([r"\frac{1}{2}", "2", ""])  # the third has no gold answer
]
GSM8K = [
    {"question": "Tom has 5 pens and buys 3. How many?", "answer": "5 + 3 = <<5+3=8>>8\n#### 8"},
    {"question": "How many grams?", "answer": "It is 1,080.\n#### 1,080"},
]
MATH = [
    {
        "problem": f"Find $x_{i}$.",
        "solution": r"\boxed{p - q}",
        "answer": "p - q",
        "subject": "Precalculus",
        "level": 2,
        "unique_id": f"test/precalculus/{i}.json",
    }
    for i in range(2)
]
AIME24 = [
    {
        "id": 60 + i,
        "problem": f"P{i}",
        "solution": "...",
        "answer": "025",
        "url": "u",
        "year": "2024",
    }
    for i in range(2)
]
AIME25 = [{"problem": f"P{i}", "answer": "70", "id": str(i)} for i in range(2)]

FILES = [  # set, split, the file as it is called on the hub, its rows, the gold answers to be read
    (
        "simplerl-8k",
        "train",
        "simplelr_qwen_level3to5/train.parquet",
        SIMPLERL,
        {r"\frac{1}{2}", "2"},
    ),
    (
        "simplerl-8k",
        "test",
        "simplelr_qwen_level3to5/test.parquet",
        SIMPLERL,
        {r"\frac{1}{2}", "2"},
    ),
    ("gsm8k", "train", "main/train-00000-of-00001.parquet", GSM8K, {"8", "1,080"}),
    ("gsm8k", "test", "main/test-00000-of-00001.parquet", GSM8K, {"8", "1,080"}),
    ("math500", "test", "test.jsonl", MATH, {"p - q"}),
    ("aime24", "test", "data/train-00000-of-00001.parquet", AIME24, {"025"}),
    ("aime25", "test", "test.jsonl", AIME25, {"70"}),
]


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """A --data-dir with a copy of every set; `datasets` keeps its own cache beside it."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for name, _, file, rows, _ in FILES:
        path = tmp_path / "copies" / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write = Dataset.from_list(rows)
        write.to_parquet(path) if file.endswith("parquet") else write.to_json(path)
    return tmp_path / "copies"


def test_every_set_that_the_help_names_is_known():
    assert set(room.PUBLIC_SETS) == {name for name, *_ in FILES}


@pytest.mark.parametrize(("name", "split", "_file", "rows", "golds"), FILES)
def test_a_public_set_is_read_from_a_copy(copies, name, split, _file, rows, golds):
    found = load_problems(name, split, None, 0, "--data", str(copies))
    texts = {row.get("question") or row.get("problem") for row in rows if row["answer"]}
    assert {p.problem for p in found} == texts and {p.answer for p in found} == golds
    assert {p.kind for p in found} == {rows[0].get("subject", "")}
    for split_of_puzzles in ("validation", "easy", "hard"):  # everything but "train" is the test
        if split == "test":
            again = load_problems(name, split_of_puzzles, None, 0, "--data", str(copies))
            assert again == found


def test_a_gold_answer_that_cannot_be_read_is_named_and_left_out(copies, capsys):
    assert len(load_problems("simplerl-8k", "train", None, 0, "--data", str(copies))) == 2
    assert "1 of 3 problems left out (row 2): gold answer ''" in capsys.readouterr().out


def test_the_seed_and_the_count_choose(copies):
    def first(seed):
        return load_problems("gsm8k", "test", 1, seed, "--data", str(copies))

    assert len(first(0)) == 1 and first(0) == first(0)
    assert {first(seed)[0].answer for seed in range(10)} == {"8", "1,080"}


@pytest.mark.parametrize("name", list(room.PUBLIC_SETS))
def test_without_network_the_error_says_how_to_fetch_the_set(name):
    """HF_HUB_OFFLINE is set for the tests; the class of the error is another on a real cut line."""
    with pytest.raises(ValueError) as error:
        load_problems(name, "test", None, 0, "--eval-data")
    known = room.PUBLIC_SETS[name]
    command = f"hf download {known.hub_id} --repo-type dataset --include"
    for part in (name, command, f"--local-dir copies/{name}", "--data-dir copies", "--eval-data"):
        assert part in str(error.value), part


def test_a_set_without_its_columns_is_named(copies):
    Dataset.from_list([{"question": "1?", "answer": "2"}]).to_json(
        copies / "math500" / "test.jsonl"
    )
    with pytest.raises(
        ValueError, match=r"columns problem and answer.*question, answer.*--data-dir"
    ):
        load_problems("math500", "test", None, 0, "--data", str(copies))


def test_a_set_of_test_problems_is_not_trained_on():
    with pytest.raises(ValueError, match=r"aime24 has no train problems.*--data"):
        load_problems("aime24", "train", None, 0, "--data")


def test_a_name_that_nothing_has_is_named():
    with pytest.raises(ValueError, match=r"'gsm9k'.*gsm8k.*--data"):
        load_problems("gsm9k", "test", None, 0, "--data")


def test_a_jsonl_file_is_read(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [{"problem": f"p{i}", "answer": i, "level": 3} for i in range(5)]
    path.write_text("\n\n".join(json.dumps(row) for row in rows))
    found = load_problems(str(path), "train", 3, 0, "--data")
    assert len(found) == 3 and {p.problem for p in found} <= {f"p{i}" for i in range(5)}
    assert all(p.answer == p.problem[1:] for p in found)
    assert found == load_problems(str(path), "train", 3, 0, "--data")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (None, "could not be read"),
        ("", "holds no problem"),
        ('{"problem": "1", "answer": "2"}\n{"question": "1"}', "line 2"),
        ("[1, 2]", "line 1"),
        ("not json", "line 1"),
        ('{"problem": "1", "answer": "((("}', "line 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_flag(tmp_path, content, names):
    path = tmp_path / "mine.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=names) as error:
        load_problems(str(path), "train", 3, 0, "--eval-data")
    assert "--eval-data" in str(error.value) and str(path) in str(error.value)
