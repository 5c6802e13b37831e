"""The cells of a comparison: what runs one, and what runs them all and goes on where it was stopped.

A cell is one training run of `rapo_mini.py`, the right answers of its adapter on sets of puzzles, and its
exact probabilities there (`watch/forks.py`). What makes the comparison fair: the rules that choose each
contender's weight (`plan.py`); all cells are scored on the same puzzles, so that differences are paired;
Hard is what the base missed in one set of samples, and everyone, the base too, is scored on others;
intervals count problems and seeds (`results.py`).

    Full        test puzzles as they come
    Hard        of a larger pool of test puzzles, those that the base missed; sampled more often, and only
                for contenders at their chosen weights
    validation  chooses the KL weights, from exact probabilities, and nothing else

Finished cells stand in OUT/compare.json and are never run again; runs in progress in OUT/cells, where
a killed comparison finds them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

import rapo_mini
from compare.plan import BASE, Cell, cells_so_far, quick_cells, scored_on_hard
from pass_at_k import count_correct
from policy import Policy, load_policy
from problems import Problem, puzzles
from settings import BUNDLED_BASE, Settings, flag, resolve
from watch.files import write_whole
from watch.forks import at_forks
from watch.run_folder import read_metrics, save_adapter

PROTOCOL = (
    "steps",
    "problems",
    "pool",
    "samples",
    "hard_samples",
)  # options that all cells of a comparison share
LAST = 20  # steps at the end of a run that its entropy and reward are averaged over
VALIDATION = 256  # puzzles
FULL_SEED, POOL_SEED = 0, 1  # of the puzzles, the same for all cells
FIRST_SEED, SECOND_SEED, CELL_SEED = 10, 20, 100  # of the base's two sets of samples, of the cells'


@dataclass(frozen=True)
class Options:
    """Compare the arms on the bundled base: pass@k with intervals, a figure, a JSON file."""

    out: Path | None = None
    """Folder of compare.json, the tables, the figures and the runs. None: runs/compare[-quick]."""
    quick: bool = False
    """Only the base, GRPO and RAPO at their default weights, one seed."""
    stages: tuple[Literal["primary", "others", "tried"], ...] = ("primary", "others", "tried")
    """RAPO, GRPO and no KL; all other contenders; what else was tried with RAPO."""
    steps: int = 200
    """Training steps of a run."""
    problems: int | None = None
    """Test puzzles. None: 128, with --quick 96."""
    pool: int | None = None
    """Test puzzles that Hard is chosen from. None: 200."""
    samples: int | None = None
    """Completions per test puzzle (n of pass@k). None: 256, with --quick 64."""
    hard_samples: int | None = None
    """Completions per puzzle of Hard. None: 1024, with --quick 64."""
    jobs: int = os.cpu_count() or 1
    """Cells side by side, one thread each."""
    draw_only: bool = False
    """Run nothing: tables and figures from what OUT/compare.json holds."""


# ---------------------------------------------------------------- the puzzles, and what the base missed


def puzzle_sets(options: Options) -> dict[str, list[Problem]]:
    """{"test": Full, "pool": what Hard is chosen from, "validation"}; no puzzle is in two of them."""
    full = puzzles("test", options.problems, FULL_SEED)
    pool = [p for p in puzzles("test", options.pool, POOL_SEED) if p not in full]
    validation = puzzles("validation", VALIDATION, FULL_SEED)
    return {"test": full, "pool": pool, "validation": validation}


def missed_by_base(problems: list[Problem], options: Options) -> list[int]:
    """Which problems the base solves in none of options.samples completions: their indices, in order.

    Sampled in rounds that double, each only for the problems that are still unsolved: the same answer as
    sampling all of them in full, in a fraction of the time.
    """
    base = load_policy(str(BUNDLED_BASE))
    missed, drawn, each = list(range(len(problems))), 0, min(16, options.samples)
    while drawn < options.samples and missed:
        some = [problems[i] for i in missed]
        correct = right_answers(base, some, FIRST_SEED + drawn, each, adapter_on=False)
        missed = [i for i, count in zip(missed, correct, strict=True) if count == 0]
        drawn, each = drawn + each, min(drawn + each, options.samples - drawn - each)
    return missed


# ---------------------------------------------------------------- one cell, in a process of its own


def run_cell(
    cell: Cell, folder: Path, options: Options, missed: list[int], known: dict, hard: bool
) -> dict:
    """Train, then count right answers: the cell's entry in compare.json, `known` if there is one already.

    missed: indices of the pool that make Hard; hard: is it sampled too? What the run prints goes to
    FOLDER.screen.txt.
    """
    torch.set_num_threads(1)
    sets = puzzle_sets(options)
    sets["hard"] = [sets["pool"][i] for i in missed]
    asked = {"test": options.samples} | ({"hard": options.hard_samples} if hard else {})
    with (
        Path(f"{folder}.screen.txt").open("a") as screen,
        contextlib.redirect_stdout(screen),
        contextlib.redirect_stderr(screen),
    ):
        if cell == BASE:
            policy, seed, result = load_policy(str(BUNDLED_BASE)), SECOND_SEED, {"seconds": {}}
        else:
            run = trained(cell, folder, options)
            policy, seed, result = run.policy, CELL_SEED + cell.seed, history(run, folder)
        began = time.perf_counter()
        counts = {
            name: right_answers(policy, sets[name], seed, samples, cell != BASE)
            for name, samples in asked.items()
            if name not in known
        }
        if known:  # Hard is all that was missing
            return known | counts
        result["seconds"]["evaluate"] = round(time.perf_counter() - began, 1)
        names = ("validation", "test", "hard")
        result["exact"] = {name: exact(policy, sets[name], cell != BASE) for name in names}
    return {"cell": asdict(cell), **result, **counts}


def history(run: rapo_mini.Run, folder: Path) -> dict:
    """What a run's log says of it: its last steps, its seconds, and what it found and forgot."""
    metrics = read_metrics(folder)
    watched = [m for m in metrics if "rule_chosen" in m]
    return {
        "last": {
            name: float(np.mean([m[name] for m in metrics[-LAST:]]))
            for name in ("reward", "entropy", "kl", "completion_tokens")
        },
        "seconds": {name: round(s, 1) for name, s in run.seconds.items()},
        "forks": {
            name: {tier: [rounded(m[name][tier]) for m in watched] for tier in watched[0][name]}
            for name in ("rule_chosen", "rule_carried_out")
        },
    }


def exact(policy: Policy, problems: list[Problem], adapter_on: bool) -> dict[str, list[float]]:
    """`watch.forks.at_forks` of each problem, with four digits."""
    settings, _ = resolve(Settings(model=str(BUNDLED_BASE)))
    found = at_forks(policy, problems, settings, adapter_on)._asdict()
    return {name: [rounded(p) for p in values] for name, values in found.items()}


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


class GaveUp(RuntimeError):
    """A cell's run ended before its last step."""


def trained(cell: Cell, folder: Path, options: Options) -> rapo_mini.Run:
    """The cell's finished run; one that was killed goes on where it was."""
    if (folder / "config.json").exists():
        given = Settings(resume=str(folder), steps=cell.steps or options.steps)
    else:
        given = Settings(
            model=str(BUNDLED_BASE),
            eval_problems=0,
            threads=1,
            show_every=0,
            out=str(folder),
            **(asdict(cell) | {"steps": cell.steps or options.steps}),
        )
    run = rapo_mini.start(given)
    ending = rapo_mini.train(run)
    if ending is not rapo_mini.Ending.DONE:
        raise GaveUp(f"{cell.name}: {ending.value}; its screen is {folder}.screen.txt")
    save_adapter(run.policy.model, folder)
    return run


def right_answers(
    policy: Policy, problems: list[Problem], seed: int, samples: int, adapter_on: bool
) -> list[int]:
    """Right answers to each problem, out of `samples` completions; all cells are sampled alike."""
    settings, _ = resolve(Settings(model=str(BUNDLED_BASE)))
    return count_correct(
        policy, problems, settings, samples=samples, seed=seed, adapter_on=adapter_on
    ).tolist()


# ---------------------------------------------------------------- all cells


def load_results(options: Options) -> dict:
    """What OUT/compare.json holds: {"protocol", "missed", "cells": {name: result}}; empty at first.

    missed: the indices of the pool that make Hard, from the base's first samples. Raises ValueError if it
    was made with another base, or with other numbers in PROTOCOL.
    """
    base = hashlib.sha256((BUNDLED_BASE / "model.safetensors").read_bytes()).hexdigest()
    protocol = {name: getattr(options, name) for name in PROTOCOL}
    path = options.out / "compare.json"
    if not path.exists():
        return {"protocol": protocol | {"base": base}, "missed": [], "cells": {}}
    try:
        found = json.loads(path.read_text())
        before = found["protocol"]
        made_on = before["base"]
        if not (isinstance(found["missed"], list) and isinstance(found["cells"], dict)):
            raise TypeError("missed or cells")
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not hold a comparison ({error}): another --out") from error
    if made_on != base:
        raise ValueError(f"{path} was made on another bundled base ({made_on[:8]}): another --out")
    for name, value in protocol.items():
        if before.get(name) != value:
            raise ValueError(
                f"{flag(name)} {value}, but {path} was made with {before.get(name)}: "
                f"{flag(name)} {before.get(name)}, or another --out"
            )
    return found


def run_all(options: Options, results: dict) -> None:
    """Run the cells that are not finished, options.jobs at a time; each is saved when it finishes."""
    cells = results["cells"]
    folder = options.out / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    if not results["missed"]:
        results["missed"] = missed_by_base(puzzle_sets(options)["pool"], options)
        save(results, options)
    running: dict[Future, Cell] = {}
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(options.jobs, spawn, initializer=end_with_the_parent) as pool,
        tqdm(unit="step", smoothing=0.05) as bar,
        workers_stop_too(pool),
    ):
        while True:
            wanted = quick_cells() if options.quick else cells_so_far(options.stages, cells)
            hard = {cell.name for cell in wanted} if options.quick else scored_on_hard(cells)
            waiting = [
                c for c in wanted if unfinished(c, cells, hard) and c not in running.values()
            ]
            for cell in waiting[: options.jobs - len(running)]:
                future = pool.submit(
                    run_cell,
                    cell,
                    folder / cell.name,
                    options,
                    results["missed"],
                    cells.get(cell.name, {}),
                    cell.name in hard,
                )
                running[future] = cell
            if not running:
                return
            ready, _ = wait(running, timeout=2, return_when=FIRST_COMPLETED)
            for future in ready:
                cell = running.pop(future)
                cells[cell.name] = future.result()
                save(results, options)
            show_progress(bar, options, wanted, cells, running.values())


def unfinished(cell: Cell, cells: dict[str, dict], hard: Collection[str]) -> bool:
    """Has this cell not been run, or not been scored on Hard, for which it was chosen later?"""
    return cell.name not in cells or (cell.name in hard and "hard" not in cells[cell.name])


def end_with_the_parent() -> None:
    """In a worker: end when the comparison is killed, and do not train on for nobody."""
    parent = multiprocessing.parent_process().sentinel

    def wait_for_its_end() -> None:
        multiprocessing.connection.wait([parent])
        os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()


@contextlib.contextmanager
def workers_stop_too(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Stopped in the block, or a cell failed there: workers end at once, with all that waits for them.

    Their cells go on from their last saved states when the comparison does. A gentler signal could catch
    a worker with a lock of the pool in hand, and the pool would hang.
    """
    try:
        yield
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.kill()
        pool.shutdown(cancel_futures=True)
        raise


def save(results: dict, options: Options) -> None:
    """Write OUT/compare.json."""
    write_whole(options.out / "compare.json", json.dumps(results) + "\n")


def show_progress(
    bar: tqdm, options: Options, wanted: list[Cell], cells: dict, running: Iterable[Cell]
) -> None:
    """The bar: training steps of all cells, and which cells are running."""
    under_way = {}
    for cell in running:
        log = options.out / "cells" / cell.name / "metrics.jsonl"
        under_way[cell.name] = log.read_bytes().count(b"\n") if log.exists() else 0
    trained_cells = [cell for cell in wanted if cell != BASE]
    finished = sum(cell.name in cells for cell in trained_cells)
    bar.total = len(trained_cells) * options.steps
    fresh = sum(steps for name, steps in under_way.items() if name not in cells)
    bar.update(finished * options.steps + fresh - bar.n)
    bar.set_postfix_str(
        f"{finished}/{len(trained_cells)} runs finished; now "
        + ", ".join(
            f"{name} {'samples' if steps in (0, options.steps) else f'step {steps}'}"
            for name, steps in under_way.items()
        )
    )


def completed(options: Options) -> Options:
    """The options with every None decided. Raises ValueError for a number that makes no sense."""
    small = {"out": Path("runs/compare-quick"), "problems": 96, "samples": 64, "hard_samples": 64}
    full = {"out": Path("runs/compare"), "problems": 128, "samples": 256, "hard_samples": 1024}
    small["pool"] = full["pool"] = 200
    chosen = small if options.quick else full
    given = {name: getattr(options, name) for name in chosen if getattr(options, name) is not None}
    options = replace(options, **{**chosen, **given})
    for name in (*PROTOCOL, "jobs"):
        if getattr(options, name) < 1:
            raise ValueError(f"{flag(name)} {getattr(options, name)} must be at least 1")
    return options
