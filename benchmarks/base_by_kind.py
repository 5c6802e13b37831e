"""What the bundled base knows: pass@k of each kind, p(right rule), and how it carries out a named rule.

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
from watch.forks import AtForks, at_forks  # noqa: E402
from worlds.puzzles import RULES, draw_puzzle, question  # noqa: E402


@dataclass(frozen=True)
class Options:
    """What the bundled base knows of each kind of puzzle, on test puzzles."""

    problems: int = 128
    """Puzzles of all kinds."""
    n: int = 1024
    """Completions of each."""
    named: int = 40
    """Puzzles of each kind whose question names the rule, 4 completions each."""
    seed: int = 0
    """Of the puzzles and of the sampling."""
    threads: int = 2
    """CPU threads."""


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    policy = load_policy(str(BUNDLED_BASE))
    settings, _ = resolve(Settings(model=str(BUNDLED_BASE)))
    same = {"settings": settings, "adapter_on": False, "seed": options.seed}
    ks = [k for k in (1, 64, 256, 1024) if k <= options.n]

    asked = puzzles("test", options.problems, options.seed)
    correct = count_correct(policy, asked, samples=options.n, label="asked", **same)
    exact = at_forks(policy, asked, settings, adapter_on=False)
    print(
        f"| rule | tier | in the texts | p(rule) | named | {' | '.join(f'pass@{k}' for k in ks)} |"
    )
    print("|---" * (5 + len(ks)) + "|")
    for kind, rule in RULES.items():
        named = as_named(kind, options)
        carried_out = count_correct(policy, named, samples=4, label=kind, **same).mean() / 4
        of_kind = np.array([p.kind == kind for p in asked])
        chosen = exact.chosen[of_kind].mean()
        scores = " | ".join(shares(correct[of_kind], options.n, ks))
        print(
            f"| {kind} | {rule.tier} | {RIGHT_RULE[kind]} | {chosen:.1e} | {carried_out:.2f} | {scores} |"
        )
    for tier in dict.fromkeys(rule.tier for rule in RULES.values()):
        of_tier = np.array([RULES[p.kind].tier == tier for p in asked])
        scores = " | ".join(shares(correct[of_tier], options.n, ks))
        print(f"| **{tier}** | | | {exact.chosen[of_tier].mean():.1e} | | {scores} |")
    print(f"| **all {len(asked)}** | | | | | {' | '.join(shares(correct, options.n, ks))} |")
    print(f"| from exact probabilities | | | | | {' | '.join(predicted(exact, ks))} |")


def as_named(kind: str, options: Options) -> list[Problem]:
    """Puzzles of a kind whose question names their rule, as some of the base's texts did."""
    rng, rule, found = random.Random(options.seed), RULES[kind], []
    for _ in range(options.named):
        terms = draw_puzzle(rng, kind, "test")
        asked = question(terms, f"What comes next by {kind}")
        found.append(Problem(asked, rule.attempt(terms)[1].reduced(), kind))
    return found


def shares(correct: np.ndarray, n: int, ks: list[int]) -> list[str]:
    return [f"{pass_at_k(n, correct, k).mean():.3f}" for k in ks]


def predicted(exact: AtForks, ks: list[int]) -> list[str]:
    return [f"{exact.pass_at_k(k).mean():.3f}" for k in ks]


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
