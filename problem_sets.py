"""Problems by name: the bundled puzzles, the public sets through `datasets`, or a JSONL file.

    --data puzzles | simplerl-8k | gsm8k | math500 | aime24 | aime25 | path.jsonl

simplerl-8k is what the paper trains on, aime24 and aime25 what it reports. A public set is read from
the Hugging Face hub, or from a copy of it under --data-dir, by the very same call; nothing of it is kept
in this repository.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from problems import Problem, puzzles
from verifier import check_gold

TRAIN_PUZZLES = 1600  # bundled puzzles to train on: 200 steps of 8 prompts see each one once


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


def load_problems(
    data: str, split: str, count: int | None, seed: int, flag: str, data_dir: str | None = None
) -> list[Problem]:
    """At most `count` problems (None: all) of the puzzles, of a public set, or of a JSONL file.

    split: "train", or what `puzzles` knows; a public set has train and test, and everything but
    "train" is its test; a file is one split. Sets and files are taken in an order shuffled by the seed.
    Raises ValueError, naming the set or file and the flag.
    """
    if data == "puzzles":
        try:
            return puzzles(split, count, seed)
        except ValueError as error:
            raise ValueError(f"{error} ({flag})") from error
    if data in PUBLIC_SETS:
        found = read_public(data, "train" if split == "train" else "test", flag, data_dir)
    elif Path(data).suffix or Path(data).exists():
        found = read_jsonl(Path(data), flag)
    else:
        raise ValueError(
            f"{data!r} is neither puzzles, nor a set known here ({', '.join(PUBLIC_SETS)}), nor a "
            f"JSONL file ({flag})"
        )
    random.Random(seed).shuffle(found)
    return found[:count]


def training_problems(data: str, seed: int, data_dir: str | None = None) -> list[Problem]:
    """What --data trains on: of the bundled puzzles TRAIN_PUZZLES, of anything else all there are."""
    count = TRAIN_PUZZLES if data == "puzzles" else None
    return load_problems(data, "train", count, seed, "--data", data_dir)


def problems_that_fit(
    problems: list[Problem],
    lengths: list[int],
    *,
    max_prompt_tokens: int,
    max_new_tokens: int,
    context: int,
    also: int = 0,
) -> list[Problem]:
    """The training problems with prompts of at most max_prompt_tokens (0: all); says what it leaves out.

    lengths: tokens of each problem's prompt; also: of the longest prompt of other problems; context: the
    model's, in tokens. Raises ValueError if no problem is left, or if a prompt and its completion may not
    fit into the context.
    """
    limit = max_prompt_tokens or max(lengths)
    kept = [p for p, length in zip(problems, lengths, strict=True) if length <= limit]
    if len(kept) < len(problems):
        print(
            f"data: {len(problems) - len(kept)} of {len(problems)} problems left out, their "
            f"prompts are longer than --max-prompt-tokens {limit}"
        )
    if not kept:
        raise ValueError(
            f"no problem has a prompt of at most --max-prompt-tokens {limit}; the shortest has "
            f"{min(lengths)} tokens"
        )
    longest = max(min(max(lengths), limit), also)
    if longest + max_new_tokens > context:
        raise ValueError(
            f"--max-new-tokens {max_new_tokens} after a prompt of {longest} tokens "
            f"is more than the model's context of {context}: lower it, or leave long prompts out of "
            "the training with --max-prompt-tokens"
        )
    return kept


# ---------------------------------------------------------------- public sets


def read_public(name: str, split: str, flag: str, data_dir: str | None = None) -> list[Problem]:
    """All problems of a public set, from the hub or from data_dir/<name>, a copy of its repository.

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
    for row in rows:
        answer = gold_answer(row[known.answer])
        try:
            check_gold(answer)
        except ValueError as error:
            unreadable.append(str(error))
            continue
        found.append(Problem(str(row[known.problem]), answer, str(row.get(known.kind) or "")))
    if unreadable:
        print(f"{name}: {len(unreadable)} of {len(rows)} problems left out: {unreadable[0]}, ...")
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


# ---------------------------------------------------------------- files


def read_jsonl(path: Path, flag: str) -> list[Problem]:
    """Problems from a file of one JSON object a line, with "problem" and "answer" (and "kind").

    Raises ValueError naming the file, the line and the flag.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # JSON may hold other line separators
    except OSError as error:
        raise ValueError(f"{path} could not be read: {error.strerror} ({flag})") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found.append(Problem(str(row["problem"]), str(row["answer"]), str(row.get("kind", ""))))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} line {number}: needs a JSON object with the keys problem and answer, "
                f"got {line[:60]!r} ({flag})"
            ) from error
        try:
            check_gold(found[-1].answer)
        except ValueError as error:
            raise ValueError(f"{path} line {number}: {error} ({flag})") from error
    if not found:
        raise ValueError(f"{path} holds no problem ({flag})")
    return found
