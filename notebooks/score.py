"""Score the open task of notebook 08: exact pass@1 and pass@64 of three runs, on puzzles by a seed.

    python notebooks/score.py runs/mine-0 runs/mine-1 runs/mine-2
    python notebooks/score.py runs/mine-0 runs/mine-1 runs/mine-2 --puzzles 4711      a teacher's own

The score is the mean pass@64 of the runs, if their mean pass@1 is at least twice the base's, else 0. Both
are computed from probabilities (`watch/forks.py`), nothing is sampled. A run counts if it has at most 200
steps of at most 8 x 16 completions on the bundled base and its training puzzles, and a seed of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from policy import load_policy  # noqa: E402
from problems import Problem, puzzles  # noqa: E402
from settings import BUNDLED_BASE, Settings, resolve  # noqa: E402
from watch.forks import at_forks, by_tier  # noqa: E402
from watch.run_folder import adapter_in, load_config, read_metrics  # noqa: E402

STEPS, COMPLETIONS, RUNS, K = 200, 8 * 16, 3, 64
TIMES = 2.0  # what pass@1 has to be of the base's


class Score(NamedTuple):
    """What one policy has on the puzzles."""

    one: float  # pass@1
    many: float  # pass@K
    tiers: dict[str, float]  # pass@K by tier


def allowed(folders: list[Path]) -> str:
    """Why these runs are no entry, in one sentence; "" if they are one."""
    if len(folders) != RUNS:
        return f"{len(folders)} folders are given, and an entry is {RUNS} runs"
    seeds = []
    for folder in folders:
        try:
            run = load_config(folder)
        except ValueError as error:
            return f"{folder} is no run: {error}"
        steps = len(read_metrics(folder))
        if Path(run.model).name != BUNDLED_BASE.name or run.data != "puzzles" or run.adapter:
            return f"{folder} was not trained from the bundled base on its puzzles alone"
        if steps > STEPS or run.prompts * run.group_size > COMPLETIONS or run.updates > 1:
            return (
                f"{folder} has {steps} steps of {run.prompts} x {run.group_size} completions and "
                f"{run.updates} updates; at most {STEPS} of {COMPLETIONS} and 1 are allowed"
            )
        seeds.append(run.seed)
    if len(set(seeds)) < RUNS:
        return f"the seeds are {', '.join(map(str, seeds))}; {RUNS} different ones are needed"
    return ""


def score(problems: list[Problem], adapter: Path | None = None) -> Score:
    """Exact pass@1 and pass@K of an adapter, or of the base."""
    settings, _ = resolve(Settings(model=str(BUNDLED_BASE)))
    policy = load_policy(str(BUNDLED_BASE), adapter=adapter)
    found = at_forks(policy, problems, settings, adapter_on=adapter is not None)
    one, many = found.pass_at_k(1), found.pass_at_k(K)
    return Score(float(one.mean()), float(many.mean()), by_tier(problems, many))


def verdict(base: Score, entries: list[Score]) -> tuple[float, str]:
    """The score, and the sentence for it.

    >>> some = [Score(0.3, 0.8, {}), Score(0.5, 0.9, {})]
    >>> verdict(Score(0.25, 0.6, {}), some)[1]
    'score 0: pass@1 is 0.400, and twice that of the base is 0.500'
    """
    one, many = (float(np.mean([getattr(e, name) for e in entries])) for name in ("one", "many"))
    if one < TIMES * base.one:
        return (
            0.0,
            f"score 0: pass@1 is {one:.3f}, and twice that of the base is {TIMES * base.one:.3f}",
        )
    return (
        many,
        f"score {many:.4f}: pass@{K}, with pass@1 {one:.3f} ({one / base.one:.1f} times the base's)",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Score an entry of the course's open task.")
    parser.add_argument("runs", type=Path, nargs="+", help="the folders of three runs")
    parser.add_argument(
        "--puzzles", type=int, default=1, help="seed of the test puzzles, default 1"
    )
    parser.add_argument("--count", type=int, default=256, help="how many of them, default 256")
    args = parser.parse_args()
    if args.count < 1:
        parser.error(f"--count {args.count}: at least 1 is needed")
    if why := allowed(args.runs):
        parser.error(why)
    problems = puzzles("test", args.count, args.puzzles)
    lines = {"base": score(problems)}
    lines |= {folder.name: score(problems, Path(adapter_in(folder))) for folder in args.runs}
    width = max(map(len, lines))
    tiers = list(lines["base"].tiers)
    print(f"{'':<{width}}  pass@1  pass@{K}   by tier: {', '.join(tiers)}")
    for name, found in lines.items():
        by_tier_shown = "  ".join(f"{found.tiers[tier]:.3f}" for tier in tiers)
        print(f"{name:<{width}}  {found.one:6.3f}  {found.many:7.3f}   {by_tier_shown}")
    base, *entries = lines.values()
    print(verdict(base, entries)[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
