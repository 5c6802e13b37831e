"""Every arm over the same grid of KL weights: which default does each arm deserve?

    python benchmarks/kl_weights.py --out runs/grid                                      # choose
    python benchmarks/kl_weights.py --out runs/seeds --best --seeds 0 1 2 --split test   # test

Each cell is one run of rapo_mini.py on the bundled base, on one CPU thread; as many run side by side
as there are cores. A cell that has its summary.json is not run again, one that was killed is resumed.
The rule: an arm's weight is the one with the highest pass@1 + pass@64 on the validation puzzles.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from settings import ARM_DEFAULTS  # noqa: E402


@dataclass(frozen=True)
class Options:
    """Run arms x KL weights x seeds, and print one line for each."""

    out: Path
    """Folder for the runs; finished ones in it are kept."""
    arms: tuple[str, ...] = tuple(ARM_DEFAULTS)
    """Which arms."""
    weights: tuple[float, ...] = (0.03, 0.1, 0.3)
    """KL weights (alpha) of every arm that has a KL."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of every cell."""
    best: bool = False
    """Run each arm at its default weight only."""
    split: Literal["validation", "test"] = "validation"
    """Puzzles to measure pass@k on."""
    steps: int = 200
    """Training steps of a run."""
    problems: int = 192
    """Puzzles to measure pass@k on."""
    extra: tuple[str, ...] = ()
    """More flags for every run, as --extra=--phi-min --extra=0.6."""
    jobs: int = os.cpu_count() or 1
    """Runs side by side, one thread each."""


def cells(options: Options) -> list[tuple[str, float, int]]:
    """(arm, alpha, seed) of every run; all arms of one seed before the next seed."""
    found = []
    for seed in options.seeds:
        for arm in options.arms:
            default = ARM_DEFAULTS[arm]["alpha"]
            weights = (default,) if options.best or arm == "no-kl" else options.weights
            found += [(arm, weight, seed) for weight in weights]
    return found


def folder(options: Options, arm: str, alpha: float, seed: int) -> Path:
    return options.out / f"{arm}-{alpha:g}-seed{seed}"


def run_cell(options: Options, arm: str, alpha: float, seed: int) -> None:
    """One run of the command; its screen goes to screen.txt beside its folder."""
    out = folder(options, arm, alpha, seed)
    if (out / "summary.json").exists():
        return
    if (out / "config.json").exists():
        what = ["--resume", out, "--steps", options.steps]
    else:
        what = [
            "--arm",
            arm,
            "--alpha",
            alpha,
            "--seed",
            seed,
            "--steps",
            options.steps,
            "--out",
            out,
        ]
        what += ["--threads", 1, "--eval-split", options.split, "--eval-problems", options.problems]
        what += ["--show-every", 0, *options.extra]
    with Path(f"{out}.screen.txt").open("a") as screen:
        subprocess.run(
            [sys.executable, ROOT / "rapo_mini.py", *map(str, what)],
            stdout=screen,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=True,
        )


def main(options: Options) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    todo = cells(options)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(
            tqdm(pool.map(lambda cell: run_cell(options, *cell), todo), total=len(todo), unit="run")
        )
    print(
        "| arm | alpha | seed | pass@1 | pass@16 | pass@64 | newly solved | no longer | entropy |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for arm, alpha, seed in todo:
        summary = json.loads((folder(options, arm, alpha, seed) / "summary.json").read_text())
        scores = summary["evaluation"]["pass_at_k"]
        for name in ("base", "trained"):
            means = " | ".join(f"{scores[k]['full'][name]['mean']:.3f}" for k in ("1", "16", "64"))
            if name == "trained":
                won, lost = (
                    summary["evaluation"][key] for key in ("newly_solved", "no_longer_solved")
                )
                entropy = summary["last_step"]["entropy"]
                print(f"| {arm} | {alpha:g} | {seed} | {means} | {won} | {lost} | {entropy:.3f} |")
            elif arm == todo[0][0] and alpha == todo[0][1]:
                print(f"| base | | {seed} | {means} | | | |")


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
