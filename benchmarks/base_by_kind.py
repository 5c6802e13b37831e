"""What the bundled base knows: pass@k of each kind of puzzle, and how well it carries out a named rule.

python benchmarks/base_by_kind.py          # the table of tiny_base/README.md
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pass_at_k import count_correct, pass_at_k  # noqa: E402
from policy import load_policy  # noqa: E402
from problems import Problem, puzzles  # noqa: E402
from settings import BUNDLED_BASE, Settings, resolve  # noqa: E402
from tiny_base.pretrain import RIGHT_RULE  # noqa: E402
from worlds.puzzles import RULES, draw_puzzle, question  # noqa: E402


@dataclass(frozen=True)
class Options:
    """pass@k of the bundled base by kind of puzzle, on validation puzzles."""

    problems: int = 300
    """Puzzles of all kinds."""
    n: int = 128
    """Completions of each."""
    named: int = 40
    """Puzzles of each kind whose question names the rule, 4 completions each."""
    seed: int = 5
    """Of the puzzles and of the sampling."""
    threads: int = 2
    """CPU threads."""


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    policy = load_policy(str(BUNDLED_BASE))
    settings, _ = resolve(Settings(model=str(BUNDLED_BASE)))
    same = {"settings": settings, "adapter_on": False, "seed": options.seed}

    asked = puzzles("validation", options.problems, options.seed)
    correct = count_correct(policy, asked, samples=options.n, label="asked", **same)
    rng = random.Random(options.seed)
    for kind, rule in RULES.items():
        named = []
        for _ in range(options.named):
            terms = draw_puzzle(rng, kind, "validation")
            named.append(
                Problem(question(terms, hint=kind), rule.attempt(terms)[1].reduced(), kind)
            )
        carried_out = count_correct(policy, named, samples=4, label=kind, **same).mean() / 4
        counts = correct[np.array([p.kind == kind for p in asked])]
        scores = " | ".join(f"{pass_at_k(options.n, counts, k).mean():.3f}" for k in (1, 16, 64))
        print(f"| {kind} | {rule.tier} | {RIGHT_RULE[kind]} | {scores} | {carried_out:.2f} |")
    scores = " | ".join(f"{pass_at_k(options.n, correct, k).mean():.3f}" for k in (1, 16, 64))
    print(f"| all {options.problems} puzzles | | | {scores} | |")


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
