"""A real language model on two cores, an evening long: base, GRPO, and RAPO with and without its support.

    python benchmarks/evening.py                            # SmolLM2-135M-Instruct on the sums, two seeds
    python benchmarks/evening.py --table-only               # the table of what there is so far

Each row is a run of `rapo_mini.py` in a folder of its own and with that model's defaults. Stopped at any
moment, the same command goes on: a finished run is not done again, a begun one is resumed. The base
stands in each run's own evaluation; its row is the mean of them. A number is the weight of the KL; as
published RAPO has the paper's estimator, φ and weight (0.001). Without the support (`--plausible 0`) the
reference is flattened over the whole vocabulary, as the paper's Eq. 9 says. A second table has the PAIRS,
problem by problem.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from compare.results import crossed_bootstrap  # noqa: E402
from machine.gguf import SMOLLM2  # noqa: E402
from pass_at_k import Estimate, pass_at_k  # noqa: E402
from watch.run_folder import read_metrics  # noqa: E402

EXACT = ("--arm", "rapo", "--kl-form", "exact", "--phi", "linear", "--phi-min", "0.7")
PUBLISHED = ("--arm", "rapo", "--kl-form", "sampled", "--phi", "inverse", "--alpha", "0.001")
SUPPORT = ("--plausible", "0.01")
NO_SUPPORT = ("--plausible", "0")
RUNS = {  # what differs from the defaults
    "no-kl": ("--arm", "no-kl"),
    "grpo": ("--arm", "grpo"),
    "rapo exact 0.2": (*EXACT, "--alpha", "0.2", *SUPPORT),
    "rapo exact 0.2, no support": (*EXACT, "--alpha", "0.2", *NO_SUPPORT),
    "rapo exact 0.03": (*EXACT, "--alpha", "0.03", *SUPPORT),
    "rapo as published": (*PUBLISHED, *NO_SUPPORT),
    "rapo as published, support": (*PUBLISHED, *SUPPORT),
}
PAIRS = (
    ("grpo", "base"),
    ("rapo exact 0.2", "base"),
    ("rapo exact 0.2", "grpo"),
    ("rapo exact 0.2", "rapo exact 0.2, no support"),
    ("rapo exact 0.2", "rapo as published"),
    ("rapo exact 0.03", "rapo exact 0.2"),
    ("rapo as published, support", "rapo exact 0.2"),
    ("rapo as published, support", "rapo exact 0.03"),
    ("rapo as published, support", "rapo as published"),
    ("rapo exact 0.03", "no-kl"),
    ("rapo as published, support", "no-kl"),
)
LAST = 10  # steps at the end that the entropy is averaged over


@dataclass(frozen=True)
class Options:
    """Train a small real model with each arm, and print pass@k beside its base."""

    out: Path = Path("runs/evening")
    """Folder of the runs."""
    model: str = SMOLLM2
    """Folder, GGUF file or Hugging Face id."""
    seeds: tuple[int, ...] = (0, 1)
    """Each run once a seed."""
    steps: int = 60
    """Training steps of a run."""
    prompts: int = 4
    """Prompts per step."""
    group_size: int = 8
    """Completions per prompt."""
    eval_problems: int = 63
    """Problems of pass@k."""
    eval_samples: int = 16
    """Completions per problem."""
    threads: int = 0
    """CPU threads; 0: PyTorch's choice."""
    table_only: bool = False
    """Run nothing."""


def folder_of_run(options: Options, name: str, seed: int) -> Path:
    return options.out / f"{name.replace(', ', '-').replace(' ', '-')}-seed{seed}"


def command_of(options: Options, name: str, seed: int) -> list[str]:
    """The command of a run, or the one that goes on with it."""
    out = folder_of_run(options, name, seed)
    program = [sys.executable, str(ROOT / "rapo_mini.py")]
    if (out / "config.json").exists():
        return [*program, "--resume", str(out)]
    same = ("model", "steps", "prompts", "group_size", "eval_problems", "eval_samples", "threads")
    flags = [w for n in same for w in (f"--{n.replace('_', '-')}", str(getattr(options, n)))]
    return [*program, *flags, *RUNS[name], "--seed", str(seed), "--out", str(out)]


def run_all(options: Options) -> None:
    """Every run that has no summary yet, seed by seed; after one that is refused comes the next."""
    for seed in options.seeds:
        for name in RUNS:
            if not (folder_of_run(options, name, seed) / "summary.json").exists():
                done = subprocess.run(command_of(options, name, seed))
                if done.returncode == 130:
                    raise KeyboardInterrupt


def row_of(options: Options, name: str, seed: int) -> tuple[str, dict] | None:
    """A run's line of the table, and its evaluation; None while it has none."""
    out = folder_of_run(options, name, seed)
    if not (out / "summary.json").exists():
        return None
    summary, metrics = json.loads((out / "summary.json").read_text()), read_metrics(out)
    found = summary["evaluation"]["pass_at_k"]
    few, many = (found[k]["full"] for k in (min(found, key=int), max(found, key=int)))
    entropy = np.mean([m["entropy"] for m in metrics[-LAST:]])
    target, tail = (
        f"{np.mean([m[key] for m in metrics]):.3f}" if key in metrics[0] else "-"
        for key in ("target_kl", "target_tail")
    )
    cells = [
        name,
        str(seed),
        *(str(Estimate(**x["trained"])) for x in (few, many)),
        str(Estimate(**many["difference"])),
    ]
    minutes = sum(summary["seconds"].values()) / 60
    cells += [target, tail, f"{entropy:.2f}", str(summary["steps_done"]), f"{minutes:.0f}"]
    return f"| {' | '.join(cells)} |", {"few": few["base"]["mean"], "many": many["base"]["mean"]}


def table(options: Options) -> str:
    """What there is so far, in Markdown; 95% intervals over problems."""
    rows = [row_of(options, name, seed) for seed in options.seeds for name in RUNS]
    there = [row for row in rows if row]
    if not there:
        return f"no run in {options.out} is finished yet"
    few, many = (np.mean([base[key] for _, base in there]) for key in ("few", "many"))
    return "\n".join(
        [
            f"| run | seed | pass@1 | pass@{options.eval_samples} | minus its base's "
            "| target, nats a token | outside the nucleus | entropy at the end | steps | minutes |",
            "|---|---|---|---|---|---|---|---|---|---|",
            f"| base | - | {few:.3f} | {many:.3f} | - | - | - | - | - | - |",
            *(line for line, _ in there),
        ]
    )


def solved(options: Options, name: str, seed: int, k: int) -> np.ndarray | None:
    """pass@k of each problem (N,) after a run, or of the base beside the first one; None: not yet."""
    arm, draw = (next(iter(RUNS)), "base") if name == "base" else (name, "trained")
    summary = folder_of_run(options, arm, seed) / "summary.json"
    if not summary.exists():
        return None
    found = json.loads(summary.read_text())["evaluation"]
    return pass_at_k(found["samples"], np.array(found["correct"][draw]), k)


def differences(options: Options) -> str:
    """The PAIRS in Markdown, paired by problem and seed; 95% intervals over both."""
    ks = (1, options.eval_samples)
    lines = ["| difference | seeds | " + " | ".join(f"pass@{k}" for k in ks) + " |"]
    lines.append("|---" * (2 + len(ks)) + "|")
    for one, other in PAIRS:
        gaps = [gaps_of(options, one, other, k) for k in ks]
        shown = " | ".join(crossed_bootstrap(gap).signed() if len(gap) else "-" for gap in gaps)
        lines.append(f"| {one} - {other} | {len(gaps[0])} | {shown} |")
    return "\n".join(lines)


def gaps_of(options: Options, one: str, other: str, k: int) -> np.ndarray:
    """The difference in pass@k of each problem, (S, N), for the S seeds that have both."""
    both = [[solved(options, name, seed, k) for name in (one, other)] for seed in options.seeds]
    return np.array([a - b for a, b in both if a is not None and b is not None])


def main(options: Options) -> int:
    """Run what is missing, print the tables; 130 when stopped."""
    status = 0
    try:
        if not options.table_only:
            run_all(options)
    except KeyboardInterrupt:
        status = 130
    print(f"{table(options)}\n\n{differences(options)}")
    return status


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=Options.__doc__)))
