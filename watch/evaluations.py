"""Sample and grade: how many of n completions of each problem are right, every completion kept.

With a log, an evaluation can be killed at any moment: each batch is appended with its verdicts as soon as
it is graded, and the next start takes what is there and goes on, with the very completions that it would
have sampled anyway.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from machine.limit import sample_within_memory
from policy import Policy, decode, encode_prompts, reference_weights, sampling_weights
from problems import Problem, render_prompt
from settings import Settings
from verifier import verify


def log_header(settings: Settings, problems: list[Problem], n: int, rows: int) -> dict:
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
        whole = {k: v for k, v in batches.items() if len(v) == rows[v[0]]["of"]}
        kept = [0] + [number for numbers in whole.values() for number in numbers]
        self.counts = {k: [rows[number]["correct"] for number in v] for k, v in whole.items()}
        part = path.with_name(path.name + ".part")
        kept_lines = [lines[number] for number in kept] if rows else [json.dumps(header)]
        part.write_text("".join(line + "\n" for line in kept_lines), encoding="utf-8")
        os.replace(part, path)

    def add(self, rows: list[dict]) -> None:
        """Append the lines of one batch."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def count_correct(
    policy: Policy,
    problems: Sequence[Problem],
    *,
    samples: int,
    adapter_on: bool,
    template: str,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    rows: int = 512,
    sample_rows: int = 0,
    fixed: bool = False,
    label: str = "",
    log: Log | None = None,
) -> np.ndarray:
    """How many of `samples` completions of each problem are right: (N,) integers.

    adapter_on: the trained policy, or the base under it. rows: completions of one batch, graded and
    logged together; sample_rows and fixed: as for `sampler.sample`. label: the draw's name in the log.
    """
    generator = torch.Generator().manual_seed(seed)
    correct = np.zeros(len(problems), dtype=int)
    group = min(samples, rows)
    weights = sampling_weights if adapter_on else reference_weights
    with (
        weights(policy) as model,
        tqdm(total=len(problems) * samples, desc=label, leave=False) as bar,
    ):
        for first in range(0, len(problems), max(1, rows // group)):
            some = problems[first : first + max(1, rows // group)]
            prompts = encode_prompts(policy, [render_prompt(template, p) for p in some])
            for done in range(0, samples, group):
                each = min(group, samples - done)
                bar.update(len(some) * each)
                known = log and log.counts.get((label, first, done))
                if known:
                    torch.rand(max_new_tokens, len(some) * each, generator=generator)  # its noise
                    correct[first : first + len(some)] += known
                    continue
                completions, sample_rows = sample_within_memory(
                    model,
                    *prompts,
                    group_size=each,
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    end_ids=policy.end_ids,
                    pad_id=policy.pad_id,
                    generator=generator,
                    rows_at_once=sample_rows or len(some) * each,
                    fixed=fixed,
                )
                texts = decode(policy, completions.tokens, completions.mask)
                lines = graded(some, texts)
                correct[first : first + len(some)] += [line["correct"] for line in lines]
                if log:
                    batch = {"draw": label, "first": first, "sample": done, "of": len(some)}
                    log.add(
                        [{**batch, **line, "problem": first + line["problem"]} for line in lines]
                    )
    return correct


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
