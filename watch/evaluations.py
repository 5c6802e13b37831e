"""The log of an evaluation: every completion with its verdict, so that it can be killed at any moment.

Each batch is appended as soon as it is graded, and the next start takes what is there and goes on, with
the very completions that it would have sampled anyway.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from problems import Problem
from settings import Settings
from verifier import verify
from watch.run_folder import write_whole


def log_header(settings: Settings, problems: Sequence[Problem], n: int, rows: int) -> dict:
    """What decides the completions of an evaluation: two with the same header are the same."""
    weights = Path(settings.adapter) / "adapter_model.safetensors"
    names = ("seed", "data", "model", "quant", "temperature", "max_new_tokens", "prompt_template")
    return {
        "n": n,
        **{name: getattr(settings, name) for name in names},
        "problems": zlib.crc32(repr(problems).encode()),
        "adapter": zlib.crc32(weights.read_bytes()) if weights.exists() else settings.adapter,
        "rows": rows,
    }


class Log:
    """A JSONL file: a header that says which evaluation it is, then one line a problem and batch.

    Each line holds draw, first and sample (which batch), of (how many lines the batch has), problem,
    gold, correct, and the completions with their verdicts.
    """

    def __init__(self, path: Path, header: dict):
        """A new log, or what is there of the same evaluation, cut to whole batches.

        Raises ValueError, naming what differs and the flag, if the file holds another one.
        """
        self.path, self.counts = path, {}
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        lines = text.split("\n")[:-1]  # a last line without its end was cut off
        rows = [json.loads(line) for line in lines]
        if rows and rows[0] != header:
            name = next(n for n in header if rows[0].get(n) != header[n])
            raise ValueError(
                f"{path} holds an evaluation with {name} {rows[0].get(name)!r}, not {header[name]!r}: "
                "remove it, or give another file (--log)"
            )
        batches: dict[tuple, list[int]] = {}
        for number, row in enumerate(rows[1:], start=1):
            batches.setdefault((row["draw"], row["first"], row["sample"]), []).append(number)
        graded = {k: v for k, v in batches.items() if len(v) == rows[v[0]]["of"]}
        kept = [0] + [number for numbers in graded.values() for number in numbers]
        self.counts = {k: [rows[number]["correct"] for number in v] for k, v in graded.items()}
        kept_lines = [lines[number] for number in kept] if rows else [json.dumps(header)]
        write_whole(path, "".join(line + "\n" for line in kept_lines))

    def add(self, rows: list[dict]) -> None:
        """Append the lines of one batch."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def graded(problems: Sequence[Problem], texts: list[str]) -> list[dict]:
    """The completions of each problem with their verdicts; texts: the same number for each, in order."""
    each, lines = len(texts) // len(problems), []
    for number, problem in enumerate(problems):
        completions = []
        for text in texts[number * each : (number + 1) * each]:
            verdict = verify(text, problem.answer)
            named = {"reward": verdict.reward, "reason": verdict.reason, "answer": verdict.answer}
            completions.append({**named, "text": text})
        right = sum(c["reward"] > 0 for c in completions)
        lines.append(
            {
                "problem": number,
                "gold": problem.answer,
                "correct": right,
                "completions": completions,
            }
        )
    return lines
