"""python -m compare: run the comparison, print its tables, draw its figures."""

from __future__ import annotations

import sys
from concurrent.futures.process import BrokenProcessPool

import tyro

from compare.cells import GaveUp, Options, completed, load_results, puzzle_sets, run_all
from compare.figures import draw_figures
from compare.plan import BASE
from compare.results import Results
from compare.tables import all_tables
from watch.command_line import guarded
from watch.files import write_whole
from watch.lock import locked
from watch.run_folder import refuse_used


def main(asked: Options) -> int:
    """The exit status: 0 finished, 1 a run was killed or gave up, 2 bad input, 130 stopped by Ctrl-C."""
    return guarded("compare", work, asked)


def work(asked: Options) -> int:
    """What `main` does while errors of files, the screen and signals are looked after."""
    try:
        options = completed(asked)
        if not (options.out / "compare.json").exists():
            refuse_used(options.out, ours=("cells",))
        options.out.mkdir(parents=True, exist_ok=True)
        with locked(options.out):
            return compare(options)
    except ValueError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nthe same command goes on (--out {options.out})", file=sys.stderr)
        raise


def compare(options: Options) -> int:
    """Run what is missing, print and write the tables, draw the figures; the exit status."""
    results = load_results(options)
    try:
        if not options.draw_only:
            run_all(options, results)
    except BrokenProcessPool:
        print(
            "compare: a run was killed, perhaps for lack of memory: the same command goes on; "
            "--jobs 1 needs less memory",
            file=sys.stderr,
        )
        return 1
    except GaveUp as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    if BASE.name not in results["cells"]:
        raise ValueError(f"{options.out} holds no finished comparison (--draw-only, --out)")
    found = Results(results, puzzle_sets(options))
    tables = all_tables(found)
    write_whole(options.out / "tables.md", tables + "\n")
    print(tables)
    for figure in draw_figures(found, options.out):
        print(f"figure: {figure}")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=Options.__doc__)))
