"""What is bit-equal in two runs that differ in one thing only: the table of docs/reliability.md.

    python benchmarks/determinism.py

Every run has the same seed. A row compares one with the first: is the adapter the same to the last bit,
in how many steps was the same sampled (a token may lie on the edge between two others), and how far is
the loss of the first step.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import rapo_mini
from settings import Settings

STEPS = 12
PLAIN = {"steps": STEPS, "prompts": 4, "group_size": 8, "threads": 1, "show_every": 0, "seed": 0}
PLAIN |= {"eval_problems": 0, "beta": 0.02}
CHANGES = {
    "nothing": {},
    "stopped after 5 steps and resumed": {"steps": 5},
    "`--threads 2`": {"threads": 2},
    "`--micro-batch 8`": {"micro_batch": 8},
    "`--sample-rows 4`": {"sample_rows": 4},
    "`--chunk-tokens 64`": {"chunk_tokens": 64},
    "`--checkpoint-layers`": {"checkpoint_layers": True},
    "`--fixed-decode`": {"fixed_decode": True},
    "`--show-every 1`": {"show_every": 1},
    "`--trace`": {"trace": "trace"},
}
SAMPLED = ("reward", "completion_tokens", "reasons", "ended")  # what sampling alone decides


def run(out: Path, changes: dict) -> tuple[list[dict], bytes]:
    """The metrics and the adapter's bytes."""
    if "trace" in changes:
        changes = {"trace": str(out / "trace")}
    assert rapo_mini.main(Settings(**PLAIN | {"out": str(out)} | changes)) == 0
    if changes.get("steps", STEPS) < STEPS:
        assert rapo_mini.main(Settings(resume=str(out), steps=STEPS)) == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return rows, (out / "adapter" / "adapter_model.safetensors").read_bytes()


def main() -> None:
    """Print what is bit-equal in two runs that differ in one thing only."""
    lines = [
        "| what differs | adapter bit-equal | same completions | loss of step 0 |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        first, adapter = run(Path(folder) / "first", {})
        for number, (name, changes) in enumerate(CHANGES.items()):
            rows, other = run(Path(folder) / str(number), changes)
            same = [all(a[k] == b[k] for k in SAMPLED) for a, b in zip(first, rows, strict=True)]
            until = f"all {STEPS} steps" if all(same) else f"{same.index(False)} of {STEPS} steps"
            gap = abs(rows[0]["loss"] - first[0]["loss"])
            bits = "yes" if other == adapter else "no"
            lines.append(
                f"| {name} | {bits} | {until} | {'equal' if not gap else f'{gap:.0e} apart'} |"
            )
    print("\n".join(lines))


if __name__ == "__main__":
    tyro.cli(main)
