"""Grade a folder of notebooks that students handed in: every exercise's check, headless.

    python notebooks/grade.py submissions/                 a table: students down, exercises across
    python notebooks/grade.py submissions/ --why           and the sentence of each check that fails
    python notebooks/grade.py submissions/ --points        and each one's points
    python notebooks/grade.py submissions/ --csv marks.csv

A submission is a notebook of the course with some cells filled in, under any file name. Only its exercise
cells are run, those that begin with `# Exercise 03.1`, on top of the imports of OUR copy of the notebook.
Where a notebook builds on earlier answers, the cells above an exercise that begin with `# From exercise
04.1` are run with it. The checks are ours too, so a changed check cell changes nothing. Each submission
runs in a process of its own with a limit on time and memory, and what it prints is dropped; if an
exercise ends that process, the next ones run in a new one. That is no sandbox: students' code runs with
your rights and could change the checks from inside, so use a machine or a container that you can throw
away.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE.parent / "tests")]

from checks import POINTS, exercises_of, judge, load  # noqa: E402
from course import NAMES  # noqa: E402

SECONDS = 120  # for one submission
GIB = 4  # of memory, on Linux
LONGEST = 300  # characters of a sentence
MARK = re.compile(r"\s*# Exercise (\d\d[a-z]?\.\d)\b")
BROUGHT = re.compile(r"\s*# From exercise \d\d[a-z]?\.\d\b")


def cells_of(path: Path) -> list[dict]:
    """The code cells of a notebook, as JSON has them. Raises ValueError if it is none."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8-sig"))["cells"]
        return [
            {"source": "".join(c["source"]), "tags": c.get("metadata", {}).get("tags", [])}
            for c in cells
            if c["cell_type"] == "code"
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is not a notebook: {what}") from error


def exercise_cells(path: Path) -> dict[str, str]:
    """{number: source} of the cells that begin with `# Exercise 03.1`; the last one counts.

    Cells above it that begin with `# From exercise 04.1` are part of it.
    """
    found, brought = {}, []
    for cell in cells_of(path):
        if BROUGHT.match(cell["source"]):
            brought.append(cell["source"])
        if mark := MARK.match(cell["source"]):
            found[mark[1]] = "\n\n".join([*brought, cell["source"]])
    return found


def notebook_of(number: str) -> str:
    """The notebook of an exercise, as in NAMES.

    >>> notebook_of("04b.1")
    '04b'
    """
    return number.split(".")[0]


def asked(found: Collection[str]) -> list[str]:
    """All exercises of the notebooks that these exercises are of: a deleted cell counts as missing."""
    notebooks = sorted({notebook_of(number) for number in found} & set(NAMES))
    return [number for notebook in notebooks for number in exercises_of(notebook)]


def setup(notebook: str) -> dict:
    """The names that an exercise may use: those of the cells tagged `setup` of our own notebook."""
    namespace: dict = {"__name__": "submission"}
    for cell in cells_of(HERE / f"{NAMES[notebook]}.ipynb"):
        if "setup" in cell["tags"]:
            exec(cell["source"], namespace)
    return namespace


def grade_cells(cells: dict[str, str], keep: Path | None = None) -> dict[str, tuple[bool, str]]:
    """{number: (passed, sentence)} for exercise cells.

    keep: a JSON file that holds what is graded so far, should a cell never come back.
    """
    namespaces: dict[str, dict] = {}
    results: dict[str, tuple[bool, str]] = {}
    for number, source in sorted(cells.items()):
        with contextlib.redirect_stdout(Nowhere()):
            notebook = notebook_of(number)
            if notebook not in namespaces:
                namespaces[notebook] = setup(notebook)
            results[number] = grade_cell(number, source, namespaces[notebook])
        if keep:
            part = keep.with_suffix(".part")
            part.write_text(json.dumps(results))
            os.replace(part, keep)
    return results


class Nowhere(io.TextIOBase):
    """Takes what a cell prints, however much, and drops it."""

    def write(self, text: str) -> int:
        return len(text)


def grade_cell(number: str, source: str, namespace: dict) -> tuple[bool, str]:
    """Run one exercise's cell and judge what it defines."""
    name = load(number).name
    namespace.pop(name, None)
    source = re.sub(r"^[%!]", "# ", source, flags=re.M)  # %timeit and !ls are Jupyter's own
    try:
        exec(compile(source, f"<exercise {number}>", "exec"), namespace)
        if name not in namespace:
            return False, f"the cell does not define {name}"
        passed, sentence = judge(number, namespace[name])
    except BaseException as error:  # sys.exit() too: the next exercise is still to be graded
        passed, sentence = False, f"the cell stops with {type(error).__name__}: {error}"
    if not passed and " with NameError: " in sentence:
        sentence += "; all that it needs has to stand in the exercise's own cell"
    return passed, sentence


def grade_file(path: Path, seconds: int = SECONDS) -> dict[str, tuple[bool, str]]:
    """`grade_cells` in a process of its own; a new one for what is left, where an exercise ended it."""
    cells = exercise_cells(path)
    wanted = asked(cells)
    graded: dict[str, tuple[bool, str]] = {
        number: (False, f"no cell begins with `# Exercise {number}`")
        for number in wanted
        if number not in cells
    }
    while left := [number for number in wanted if number not in graded]:
        results, why = in_own_process({number: cells[number] for number in left}, seconds)
        graded |= results
        if stuck := [number for number in left if number not in graded]:
            graded[stuck[0]] = False, why
    return {number: graded[number] for number in wanted}


def in_own_process(cells: dict[str, str], seconds: int) -> tuple[dict, str]:
    """What a process graded before it ended, or was killed; and how it ended."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        given, result = Path(folder) / "cells.json", Path(folder) / "result.json"
        given.write_text(json.dumps(cells))
        process = subprocess.Popen(
            [sys.executable, __file__, "--one", str(given), "--result", str(result)],
            cwd=folder,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that what it started can be ended with it
        )
        try:
            why = f"ended the process (status {process.wait(seconds)})"
        except subprocess.TimeoutExpired:
            why = f"took longer than the {seconds} s that one notebook has (--seconds)"
        finally:
            end(process)
        try:
            found = json.loads(result.read_text())
            graded = {n: (bool(found[n][0]), readable(found[n][1])) for n in cells if n in found}
        except (OSError, ValueError, TypeError, LookupError):
            graded = {}
    return graded, why


def end(process: subprocess.Popen) -> None:
    """Kill a process and, where the system has groups of them, all that it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def limit_memory() -> None:
    """At most GIB for this process, where the system can: else a cell could take the whole machine's."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (GIB * 2**30, GIB * 2**30))


def readable(sentence: str) -> str:
    """One line that can be printed, of at most LONGEST characters.

    >>> readable("wrong:\\n  \\ud800")
    'wrong: ?'
    """
    line = " ".join(sentence.encode("utf-8", "replace").decode().split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def points_of(results: dict[str, tuple[bool, str]]) -> str:
    """How many points, of how many.

    >>> points_of({"03.4": (True, ""), "03.5": (False, "")})
    '3 of 5 points'
    """
    got = sum(POINTS[number] for number, (passed, _) in results.items() if passed)
    return f"{got} of {sum(POINTS[number] for number in results)} points"


def table(graded: dict[str, dict[str, tuple[bool, str]]], points: bool = False) -> str:
    """Submissions down, exercises across; a count at the end of each line, and points if asked for."""
    numbers = sorted({number for results in graded.values() for number in results})
    width = max(map(len, ["submission", *graded]))
    lines = [f"{'submission':<{width}}  {'  '.join(numbers)}  right"]
    for name, results in graded.items():
        marks = [
            "  -  " if n not in results else "  ✓  " if results[n][0] else "  ✗  " for n in numbers
        ]
        right = sum(passed for passed, _ in results.values())
        count = f"{right} of {len(results)}" + (f"  {points_of(results)}" if points else "")
        lines.append(f"{name:<{width}}  {' '.join(marks)}  {count}")
    return "\n".join(lines)


def grade_folder(folder: Path, seconds: int) -> dict[str, dict[str, tuple[bool, str]]]:
    graded = {}
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        name = readable(str(path.relative_to(folder)))
        try:
            graded[name] = grade_file(path, seconds)
        except ValueError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if not graded[name]:
            print(f"left out: {name} holds no exercise of the course", file=sys.stderr)
            del graded[name]
    return graded


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the exercises' checks over a folder.")
    parser.add_argument("folder", type=Path, nargs="?", help="folder with notebooks, at any depth")
    parser.add_argument("--why", action="store_true", help="also the sentences of what fails")
    parser.add_argument("--points", action="store_true", help="also the points of each submission")
    parser.add_argument(
        "--csv", type=Path, help="write a line an exercise: submission, passed, why"
    )
    parser.add_argument(
        "--seconds",
        type=int,
        default=SECONDS,
        help=f"for each notebook, default {SECONDS}; again after an exercise that took them all",
    )
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        limit_memory()
        grade_cells(json.loads(args.one.read_text()), args.result)
        return 0
    if args.folder is None or not args.folder.is_dir():
        what = f"{args.folder} is no folder" if args.folder else "no folder is named"
        parser.error(f"{what}: give the one with the notebooks handed in")
    if args.seconds < 1:
        parser.error(f"--seconds {args.seconds}: at least 1 is needed, the default is {SECONDS}")
    if args.csv and not args.csv.resolve().parent.is_dir():
        parser.error(f"--csv {args.csv}: there is no folder {args.csv.resolve().parent}")
    graded = grade_folder(args.folder, args.seconds)
    if not graded:
        print(f"no notebook of the course lies in {args.folder}", file=sys.stderr)
        return 2
    print(table(graded, args.points))
    if args.why:
        for name, results in graded.items():
            for number, (passed, sentence) in results.items():
                if not passed:
                    print(f"{name} {number}: {sentence}")
    if args.csv:
        with args.csv.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("submission", "exercise", "passed", "points", "sentence"))
            for name, results in graded.items():
                rows.writerows(
                    (name, n, int(p), POINTS[n] if p else 0, sentence)
                    for n, (p, sentence) in results.items()
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
