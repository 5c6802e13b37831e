"""pass@k of a base model and of what training made of it, with honest intervals.

pass@k is the probability that at least one of k completions is right: the share of problems that the
model can solve when it may try k times. RL usually raises pass@1; whether it raises pass@64 tells
whether the model learned to solve problems, or only to solve the same ones more often.

    python pass_at_k.py --adapter runs/my-run              # base against adapter, on held-out puzzles
    python pass_at_k.py --adapter runs/my-run --data aime24 --n 256 --k 1,2,4,...,256

The splits follow the paper: Full is all problems, Hard those that the base never solved in n samples,
Easy the rest. Hard is chosen by one set of base samples and scored on fresh ones [ours]: scored on the
samples that chose it, the base would have 0 there by definition.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from machine.chat import with_prompt_template
from machine.devices import keep_to_the_card
from machine.loading import adapter_in, find_model, load_tokenizer
from machine.shapes import context_of
from policy import Policy, base_weights, decode, load_policy, sampling_weights
from problems import (
    EXAMPLES,
    Judge,
    Problem,
    check_context,
    check_sources,
    load_problems,
    of_an_evaluation,
    reading_of,
)
from settings import Settings, resolve
from step import prompts_of, sample_groups
from watch.command_line import guarded
from watch.evaluation_options import Evaluation, parse, read_ks
from watch.evaluations import Log, graded, log_header, log_name, rows_of_a_batch
from watch.files import as_json, write_whole
from watch.known_counts import facts_of, keep_counts, known_counts
from watch.lock import held
from watch.run_folder import evaluations_of, run_of, trained_on_a_part
from watch.tables import BARS, SPLITS, full_table, short_table
from watch.terminal import bar_width, tell


def pass_at_k(samples: int, correct: np.ndarray, k: int) -> np.ndarray:
    """The unbiased estimate of pass@k for each problem: 1 - C(n-c, k) / C(n, k).

    samples: n; correct: (N,) how many of the n were right; k <= n -> (N,).
    Source: Chen et al. 2021 (arXiv 2107.03374), eq. 1.

    >>> pass_at_k(4, np.array([0, 1, 2, 4]), 2)
    array([0.        , 0.5       , 0.83333333, 1.        ])
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k = {k} must lie between 1 and the number of samples, {samples} (--k)")
    misses = np.asarray(samples - correct, dtype=float)  # (N,) n - c
    drawn = np.arange(k)[:, None]  # (k, 1): none of the k draws without replacement is right
    return 1 - np.prod(np.maximum(misses - drawn, 0) / (samples - drawn), axis=0)


class Estimate(NamedTuple):
    """A mean over problems with its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def signed(self) -> str:
        """As a difference, with its sign."""
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def bootstrap(values: np.ndarray, resamples: int = 2000, seed: int = 0) -> Estimate:
    """The mean of (N,) values and its 95% percentile-bootstrap interval over the N problems."""
    if len(values) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))


def powers_of_two(samples: int) -> list[int]:
    """1, 2, 4, ... up to n.

    >>> powers_of_two(10)
    [1, 2, 4, 8]
    """
    return [2**i for i in range(samples.bit_length())]


# ---------------------------------------------------------------- sample and grade


def count_correct(
    policy: Policy,
    problems: Sequence[Problem],
    settings: Settings,
    *,
    samples: int,
    seed: int,
    adapter_on: bool = True,
    top_p: float = 1.0,
    rows: int = 512,
    label: str = "",
    log: Log | None = None,
    judge: Judge | None = None,
) -> np.ndarray:
    """How many of `samples` completions of each problem are right: (N,) integers.

    settings: how to sample, with top_p beside it; adapter_on: the trained policy, or the base under it.
    rows: completions of one batch, graded and logged together. label: the draw's name on the screen and
    in the log. judge: None as the settings say; right is a reward of at least settings.right_at.
    """
    judge = judge or Judge(settings)
    generator = torch.Generator().manual_seed(seed)
    correct = np.zeros(len(problems), dtype=int)
    group, sample_rows = min(samples, rows), settings.sample_rows
    weights = sampling_weights if adapter_on else base_weights
    with (
        weights(policy) as model,
        tqdm(
            total=len(problems) * samples,
            desc=BARS.get(label, label),
            leave=False,
            ncols=bar_width(),
            bar_format="{desc} |{bar}| {n_fmt}/{total_fmt} {elapsed}<{remaining}",
        ) as bar,
    ):
        for first in range(0, len(problems), max(1, rows // group)):
            batch = problems[first : first + max(1, rows // group)]
            prompts = prompts_of(policy, batch, settings)
            for sampled in range(0, samples, group):
                each = min(group, samples - sampled)
                known = log and log.counts.get((label, first, sampled))
                if known:  # its noise is drawn all the same: the next batch gets its own
                    torch.rand(settings.max_new_tokens, len(batch) * each, generator=generator)
                    correct[first : first + len(batch)] += known
                    bar.update(len(batch) * each)
                    continue
                completions, sample_rows = sample_groups(
                    policy,
                    model,
                    prompts,
                    settings,
                    group_size=each,
                    rows_at_once=sample_rows or len(batch) * each,
                    generator=generator,
                    top_p=top_p,
                )
                texts = decode(policy, completions.tokens, completions.mask)
                lines = graded(batch, texts, judge, settings.right_at)
                correct[first : first + len(batch)] += [line["correct"] for line in lines]
                if log:
                    place = {"draw": label, "first": first, "sample": sampled, "of": len(batch)}
                    log.add([{**place, **x, "problem": first + x["problem"]} for x in lines])
                bar.update(len(batch) * each)
    return correct


def compare_with_base(
    policy: Policy,
    problems: list[Problem],
    settings: Settings,
    *,
    samples: int,
    ks: list[int] | None = None,
    **options,
) -> Comparison:
    """Sample base (twice) and trained policy on the same problems; options as in `count_correct`.

    Raises ValueError for a k above the number of samples, before anything is sampled.
    """
    ks = ks or powers_of_two(samples)
    pass_at_k(samples, np.zeros(0), max(ks))  # refuse a k above n before sampling
    counts = {}
    for i, (name, count) in enumerate(DRAWS.items()):
        seed = settings.seed * 1_000_003 + i
        counts[name] = count(
            policy, problems, settings, samples=samples, seed=seed, label=name, **options
        )
    return Comparison(problems, samples, sorted(ks), **counts)


def count_base(
    policy: Policy,
    problems: Sequence[Problem],
    settings: Settings,
    *,
    samples: int,
    seed: int,
    label: str,
    rows: int = 512,
    top_p: float = 1.0,
    **options,
) -> np.ndarray:
    """`count_correct` of the base, or what is known of it (`watch/known_counts.py`): (N,) integers."""
    same = {"samples": samples, "seed": seed, "rows": rows, "top_p": top_p}
    facts = facts_of(policy, problems, settings, **same)
    known = known_counts(facts) if facts and not settings.sample_base else None
    if known is not None:
        tell(f"{BARS[label]}: known from an earlier time, not sampled again (--sample-base)")
        return known
    counts = count_correct(
        policy, problems, settings, adapter_on=False, label=label, **same, **options
    )
    if facts:
        keep_counts(facts, counts)
    return counts


DRAWS = {"chosen_by": count_base, "base": count_base, "trained": count_correct}


# ---------------------------------------------------------------- the comparison


@dataclass(frozen=True)
class Comparison:
    """Right answers out of n for each problem: (N,) each."""

    problems: list[Problem]
    samples: int  # n, for each of the three
    ks: list[int]  # the k of pass@k, ascending
    chosen_by: np.ndarray  # the base, first draw: says which problems are Hard
    base: np.ndarray  # the base, fresh draw
    trained: np.ndarray

    def splits(self) -> dict[str, np.ndarray]:
        """Which problems belong to each split: boolean (N,).

        hard: chosen by one draw of the base, scored on another [ours]. hard_paper: what the base solves
        in none of the very samples that score it; its pass@k there is 0 by construction [paper].
        """
        hard = self.chosen_by == 0
        return {
            "full": np.ones_like(hard),
            "easy": ~hard,
            "hard": hard,
            "hard_paper": self.base == 0,
        }

    def estimates(self, k: int) -> dict[str, dict[str, Estimate]]:
        """split -> base, trained, and their paired difference, each with its interval."""
        base = pass_at_k(self.samples, self.base, k)
        trained = pass_at_k(self.samples, self.trained, k)
        return {
            split: {
                "base": bootstrap(base[chosen]),
                "trained": bootstrap(trained[chosen]),
                "difference": bootstrap((trained - base)[chosen]),
            }
            for split, chosen in self.splits().items()
        }

    def by_kind(self, k: int) -> dict[str, tuple[int, float, float]]:
        """kind -> number of problems, base pass@k, trained pass@k; kinds in order of base pass@1."""
        rows = {}
        for kind in dict.fromkeys(p.kind for p in self.problems):
            chosen = np.array([p.kind == kind for p in self.problems])
            values = [
                float(pass_at_k(self.samples, correct[chosen], k).mean())
                for correct in (self.base, self.trained)
            ]
            rows[kind or "-"] = (int(chosen.sum()), *values)
        return dict(sorted(rows.items(), key=lambda row: -row[1][1]))

    def as_json(self) -> dict:
        """For summary.json: every estimate, and the counts that they were made from."""
        before, after = self.base > 0, self.trained > 0  # in as many samples each
        return {
            "samples": self.samples,
            "problems": len(self.problems),
            "split_sizes": {name: int(chosen.sum()) for name, chosen in self.splits().items()},
            "pass_at_k": {
                str(k): {
                    split: {name: estimate._asdict() for name, estimate in row.items()}
                    for split, row in self.estimates(k).items()
                }
                for k in self.ks
            },
            "newly_solved": int((after & ~before).sum()),
            "no_longer_solved": int((before & ~after).sum()),
            "correct": {
                name: getattr(self, name).tolist() for name in ("chosen_by", "base", "trained")
            },
        }

    def table(self, splits: Sequence[str] = tuple(SPLITS)) -> str:
        """The comparison as text: each split by every k, then each kind of problem."""
        return full_table(self, splits)

    def summary(self) -> str:
        """The comparison in short: a few k, and a sentence on what the numbers mean."""
        return short_table(self)


# ---------------------------------------------------------------- the command


def evaluate(asked: Evaluation) -> Comparison:
    """Sample what is not yet in the log. Raises ValueError, naming the flag, for bad input."""
    same = ("model", "quant", "adapter", "data", "data_dir", "temperature", "max_new_tokens")
    same += ("threads", "prompt_template", "seed", "problem_column", "answer_column", "sample_base")
    same += ("fixed_decode", "max_prompt_tokens")
    given = {name: getattr(asked, name) for name in same} | {"adapter": adapter_in(asked.adapter)}
    given |= reward_of(asked)
    settings, sentence = resolve(Settings(**given))
    count = asked.problems
    for name, value in (("problems", 1 if count is None else count), ("n", asked.n)):
        if value < 1:
            raise ValueError(f"--{name} {value} must be at least 1")
    if count is None and asked.data == "puzzles":
        count = 192
    if asked.out:
        check_place(Path(asked.out))
    check_sources(settings, asked.data)
    find_model(settings.model)
    tokenizer = load_tokenizer(settings.model)
    settings, prompt = with_prompt_template(
        settings, asked.prompt_template, tokenizer, EXAMPLES.get(settings.data)
    )
    tell(prompt)
    judge = Judge(settings)
    side = "held-out" if trained_on_a_part(settings.adapter, asked.data) else "both"
    where = "--data, --problems", asked.data_dir, side, reading_of(settings)
    problems = load_problems(asked.data, "test", count, asked.seed, *where)
    judge.try_on(problems)
    problems, lengths = of_an_evaluation(problems, settings, tokenizer)
    if not problems:
        raise ValueError(
            f"--max-prompt-tokens {settings.max_prompt_tokens} leaves no problem: raise it"
        )
    ks = read_ks(asked.k)
    pass_at_k(
        asked.n, np.zeros(0), max(ks, default=1)
    )  # refuse a k above n before anything is loaded
    if not 0 < asked.top_p <= 1:
        raise ValueError(f"--top-p {asked.top_p} must be above 0 and at most 1")
    of_them = ", those that its run held out of the file" if side == "held-out" else ""
    tell(f"{sentence}; adapter: {settings.adapter}; {len(problems)} problems{of_them}")
    tell(
        f"cost: {len(problems)} problems x {asked.n} samples x 3 draws (the base twice, the adapter) = "
        f"{3 * len(problems) * asked.n:,} completions of at most {settings.max_new_tokens} tokens, at "
        f"temperature {settings.temperature:g} and top-p {asked.top_p:g}"
    )
    if settings.threads:
        torch.set_num_threads(settings.threads)
    keep_to_the_card()
    policy = load_policy(settings.model, quant=settings.quant, adapter=settings.adapter)
    rows = rows_of_a_batch(settings.model)
    check_context(max(lengths), settings.max_new_tokens, context_of(policy.model.config))
    name = log_name(asked.data, asked.n, asked.seed) + ".jsonl"
    path = Path(asked.log) if asked.log else evaluations_of(settings.adapter) / name
    with held(path):
        header = log_header(settings, problems, asked.n, rows, judge) | {"top_p": asked.top_p}
        log = Log(path, header)
        tell(
            f"every completion with its verdict: {log.path}; {len(log.counts)} batches are there already"
        )
        return compare_with_base(
            policy,
            problems,
            settings,
            samples=asked.n,
            ks=ks,
            top_p=asked.top_p,
            rows=rows,
            log=log,
            judge=judge,
        )


def reward_of(asked: Evaluation) -> dict:
    """The settings that say what is right: as asked, or those of the run that wrote the adapter."""
    names = ("reward", "reward_seconds", "right_at")
    given = {name: getattr(asked, name) for name in names if getattr(asked, name) not in (None, ())}
    run = run_of(adapter_in(asked.adapter))
    if run and run.reward and not asked.reward:
        tell(f"reward: {' + '.join(run.reward)}, that of the run (--reward)")
        return {name: getattr(run, name) for name in names} | given
    return given


def check_place(out: Path) -> None:
    """Raise ValueError if --out cannot be written: now, and not after hours of sampling."""
    if out.is_dir() or not out.absolute().parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise ValueError(f"--out {out} is no file in a folder that is there and can be written to")


def main(asked: Evaluation) -> int:
    """Print the table; the exit status (1: a file could not be written, 2: bad input, 130: stopped)."""
    return guarded("pass_at_k", work, asked)


def work(asked: Evaluation) -> int:
    """What `main` does while errors of files, the screen and signals are looked after."""
    try:
        comparison = evaluate(asked)
    except ValueError as error:
        print(f"pass_at_k: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nwhat was sampled is in the log; the same command goes on", file=sys.stderr)
        raise
    try:
        if asked.out:
            write_whole(Path(asked.out), as_json(comparison.as_json(), indent=1) + "\n")
    finally:
        print(comparison.table() if asked.table == "full" else comparison.summary())
    return 0


def command() -> int:
    """`main` on this program's command line; 2 for flags that cannot be."""
    try:
        return main(parse())
    except ValueError as error:
        print(f"pass_at_k: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(command())
