"""The log of an evaluation: every completion with its verdict, so that it can be killed at any moment.

Each batch is appended as soon as it is graded, and the next start takes what is there and goes on, with
the very completions that it would have sampled anyway.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from problems import Judge, Problem
from settings import BUNDLED_BASE, Settings, is_bundled
from watch.files import naming, write_whole
from watch.run_folder import evaluations_of


class OtherLog(ValueError):
    """A file that is not the log of this evaluation."""


def rows_of_a_batch(model: str) -> int:
    """Completions that are sampled, graded and logged together."""
    return 512 if is_bundled(model) else 64


def log_name(data: str, n: int, seed: int) -> str:
    return f"{Path(data).stem.replace(':', '-')}-n{n}-seed{seed}"


def log_header(
    settings: Settings, problems: Sequence[Problem], n: int, rows: int, judge: Judge
) -> dict:
    """What decides the completions of an evaluation and their verdicts: the same header, the same log."""
    weights = Path(settings.adapter) / "adapter_model.safetensors"
    names = ("seed", "data", "model", "quant", "temperature", "max_new_tokens", "prompt_template")
    header = {
        "n": n,
        **{name: getattr(settings, name) for name in names},
        "problems": zlib.crc32(repr(problems).encode()),
        "adapter": zlib.crc32(weights.read_bytes()) if weights.exists() else settings.adapter,
        "rows": rows,
    }
    if is_bundled(settings.model):
        header["model"] = BUNDLED_BASE.name  # wherever the checkout lies
    if settings.reward:
        header |= {"reward": judge.rewards.sha256(), "right_at": settings.right_at}
    return header


def evaluation_log(
    settings: Settings, problems: list[Problem], out: Path, step: int, judge: Judge
) -> Log:
    """The log of a run's own evaluation after so many steps, in its folder."""
    n = settings.eval_samples
    name = f"{log_name(settings.eval_data, n, settings.seed)}-step{step}.jsonl"
    its_own = replace(settings, adapter=str(out / "adapter"), data=settings.eval_data)
    header = log_header(its_own, problems, n, rows_of_a_batch(settings.model), judge)
    return Log(evaluations_of(out / "adapter") / name, header)


class Log:
    """A JSONL file: a header that says which evaluation it is, then one line a problem and batch.

    Each line holds draw, first and sample (which batch), of (how many lines the batch has), problem,
    gold, correct, the completions with their verdicts, and a checksum of all this.
    """

    def __init__(self, path: Path, header: dict):
        """A new log, or what is there of the same evaluation: its whole batches, the rest is dropped.

        Raises OtherLog, naming what differs and the flag, if the file holds anything else.
        """
        self.path, self.counts = path, {}
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        *lines, torn = text.split("\n")  # a last line without its end was cut off
        if not lines and not json.dumps(header).startswith(torn):
            raise OtherLog(f"{path} is no log of an evaluation: give another file (--log)")
        rows = [row_of(line) for line in lines]
        if rows and rows[0] != header:
            raise OtherLog(other(path, rows[0], header))
        signed = any(row and "crc" in row for row in rows[1:])  # logs of old have no checksums
        batches: dict[tuple, list[int]] = {}
        for number, row in enumerate(rows[1:], start=1):
            if row and is_whole(row, signed):
                batches.setdefault((row["draw"], row["first"], row["sample"]), []).append(number)
        graded = {k: v for k, v in batches.items() if len(v) == rows[v[0]]["of"]}
        kept = [0] + [number for numbers in graded.values() for number in numbers]
        self.counts = {k: [rows[number]["correct"] for number in v] for k, v in graded.items()}
        kept_lines = [lines[number] for number in kept] if rows else [json.dumps(header)]
        if (whole := "".join(line + "\n" for line in kept_lines)) != text:
            write_whole(path, whole)

    def add(self, rows: list[dict]) -> None:
        """Append the lines of one batch, on disk before this returns."""
        with naming(self.path), self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(as_line({**row, "crc": checksum(row)}) + "\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())


def as_line(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False)


def checksum(row: dict) -> int:
    return zlib.crc32(as_line(row).encode())


def row_of(line: str) -> dict | None:
    """A line's object, or None for one that is torn or damaged."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def is_whole(row: dict, signed: bool) -> bool:
    """Has the line all that a batch is put together from, and its checksum where the log has them?"""
    if not {"draw", "first", "sample", "of", "correct"} <= row.keys():
        return False
    crc = row.get("crc")
    return not signed or crc == checksum({k: v for k, v in row.items() if k != "crc"})


def other(path: Path, found: dict | None, header: dict) -> str:
    """The sentence for a file that holds another evaluation, or none."""
    if found is None or not header.keys() & found.keys():
        return (
            f"{path} is no log of an evaluation, its first line is none: give another file (--log)"
        )
    name = next((n for n in header if found.get(n) != header[n]), None) or next(
        n for n in found if n not in header
    )
    return (
        f"{path} holds an evaluation with {name} {found.get(name)!r}, not {header.get(name)!r}: "
        "remove it, or give another file (--log)"
    )


def graded(
    problems: Sequence[Problem], texts: list[str], judge: Judge, right_at: float
) -> list[dict]:
    """The completions of each problem with their verdicts; texts: the same number for each, in order.

    A completion is right from a reward of right_at on.
    """
    verdicts, _ = judge(problems, texts)
    each, lines = len(texts) // len(problems), []
    for number, problem in enumerate(problems):
        here = slice(number * each, (number + 1) * each)
        completions = [
            {"reward": v.reward, "reason": v.reason, "answer": v.answer, "text": text}
            for v, text in zip(verdicts[here], texts[here], strict=True)
        ]
        right = sum(c["reward"] >= right_at for c in completions)
        lines.append(
            {
                "problem": number,
                "gold": problem.answer,
                "correct": right,
                "completions": completions,
            }
        )
    return lines
