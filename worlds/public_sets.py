"""The public sets of problems, read through `datasets`.

simplerl-8k is what the paper trains on, aime24 and aime25 what it reports. A set is read from the Hugging
Face hub, or from a copy of it under --data-dir, by the very same call; nothing of it is kept in this
repository.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from verifier import check_gold
from worlds import Row
from worlds.files import some


@dataclass(frozen=True)
class PublicSet:
    """Where a public set lies on the hub, and which of its columns are the two that count."""

    hub_id: str
    files: dict[str, str]  # split -> file of the repository, or a pattern for it
    problem: str = "problem"  # column
    answer: str = "answer"  # column
    kind: str = ""  # column by which results are broken down, where there is one


# Ids, files and columns were looked up in November 2026, in these places:
#   simplerl-8k  the README of github.com/hkust-nlp/simpleRL-reason (files); readers of the set on GitHub
#                that name its columns and its 8,523 rows, two of them without a gold answer
#   gsm8k        the dataset's own files main/{train,test}-00000-of-00001.parquet, question and answer
#   math500      test.jsonl: problem, solution, answer, subject, level, unique_id (copies' dataset cards)
#   aime24       the dataset card: id, problem, solution, answer, url, year; split train, 30 rows
#   aime25       test.jsonl: problem, answer, id; split test, 30 rows
PUBLIC_SETS = {
    "simplerl-8k": PublicSet(
        "hkust-nlp/SimpleRL-Zoo-Data",
        {
            "train": "simplelr_qwen_level3to5/train.parquet",
            "test": "simplelr_qwen_level3to5/test.parquet",
        },
        problem="question",
        kind="subject",
    ),
    "gsm8k": PublicSet(
        "openai/gsm8k",
        {"train": "main/train-*.parquet", "test": "main/test-*.parquet"},
        problem="question",
    ),
    "math500": PublicSet("HuggingFaceH4/MATH-500", {"test": "test.jsonl"}, kind="subject"),
    "aime24": PublicSet("HuggingFaceH4/aime_2024", {"test": "data/train-*.parquet"}),
    "aime25": PublicSet("math-ai/aime25", {"test": "test.jsonl"}),
}


def read_public(name: str, split: str, flag: str, data_dir: str | None = None) -> list[Row]:
    """All rows of a public set, from the hub or from data_dir/<name>, a copy of its repository.

    A problem whose gold answer the verifier cannot read would be a reward of 0 for good: it is left
    out, and said.
    """
    known = PUBLIC_SETS[name]
    if split not in known.files:
        raise ValueError(
            f"{name} has no {split} problems: it is for measuring. Train on simplerl-8k, gsm8k, puzzles "
            f"or a file of your own ({flag})"
        )
    rows = read_rows(name, known.files[split], flag, data_dir)
    for column in (known.problem, known.answer):
        if column not in rows.column_names:
            raise ValueError(
                f"{name} needs the columns {known.problem} and {known.answer}; what was read has "
                f"{', '.join(rows.column_names)} ({flag}, --data-dir)"
            )
    found, unreadable = [], []
    for number, row in enumerate(rows):
        answer = gold_answer(row[known.answer])
        try:
            check_gold(answer)
        except ValueError as error:
            unreadable.append((number, str(error)))
            continue
        found.append((str(row[known.problem]), answer, str(row.get(known.kind) or "")))
    if unreadable:
        where = some([number for number, _ in unreadable])
        print(
            f"{name}: {len(unreadable)} of {len(rows)} problems left out (row {where}): "
            f"{unreadable[0][1]}"
        )
    if not found:
        raise ValueError(f"{name} holds no problem with a readable answer ({flag})")
    return found


def read_rows(name: str, files: str, flag: str, data_dir: str | None):
    """The rows of a public set as a `datasets.Dataset`; the one call that may need the network."""
    from datasets import load_dataset

    known = PUBLIC_SETS[name]
    source = known.hub_id if data_dir is None else str(Path(data_dir) / name)
    try:
        return load_dataset(source, data_files=files, split="train")
    except Exception as error:  # of many classes, those of an HTTP client among them
        folder = files.rsplit("/", 1)[0] + "/*" if "/" in files else files
        raise ValueError(
            f"{name} could not be read from {source} ({str(error).splitlines()[0]}). Fetch it once "
            f"where there is a network: hf download {known.hub_id} --repo-type dataset --include "
            f'"{folder}" --local-dir copies/{name}; then give --data-dir copies ({flag})'
        ) from error


def gold_answer(cell: object) -> str:
    """The gold answer in a cell: in GSM8K what stands behind ####, elsewhere all of it.

    >>> gold_answer("5 + 3 = 8\\n#### 1,008"), gold_answer(204), gold_answer(None)
    ('1,008', '204', '')
    """
    return "" if cell is None else str(cell).rsplit("####", 1)[-1].strip()
