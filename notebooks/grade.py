"""Grade a folder of notebooks that students handed in: every exercise's check, headless.

    python notebooks/grade.py submissions/                 a table: students down, exercises across
    python notebooks/grade.py submissions/ --why           and the sentence of each check that fails
    python notebooks/grade.py submissions/ --csv marks.csv

A submission is a notebook of the course with some cells filled in, under any file name. Only its exercise
cells are run, those that begin with `# Exercise 03.1`, on top of the imports of OUR copy of the notebook;
the checks are ours too, so a changed check cell changes nothing. Each submission runs in a process of its
own with a time limit. That is no sandbox: students' code runs with your rights, so use a machine or a
container that you can throw away.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE.parent / "tests")]

from checks import all_exercises, judge, load  # noqa: E402
from course import NAMES  # noqa: E402

SECONDS = 120  # for one submission
MARK = re.compile(r"\s*# Exercise (\d\d\.\d)\b")


def cells_of(path: Path) -> list[dict]:
    """The code cells of a notebook, as JSON has them. Raises ValueError if it is none."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [
            {"source": "".join(c["source"]), "tags": c.get("metadata", {}).get("tags", [])}
            for c in cells
            if c["cell_type"] == "code"
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a notebook: {error}") from error


def exercise_cells(path: Path) -> dict[str, str]:
    """{number: source} of the cells that begin with `# Exercise 03.1`; the last one counts."""
    found = {}
    for cell in cells_of(path):
        if mark := MARK.match(cell["source"]):
            found[mark[1]] = cell["source"]
    return found


def setup(number: str) -> dict:
    """The names that an exercise may use: those of the cells tagged `setup` of our own notebook."""
    namespace: dict = {"__name__": "submission"}
    for cell in cells_of(HERE / f"{NAMES[number.split('.')[0]]}.ipynb"):
        if "setup" in cell["tags"]:
            exec(cell["source"], namespace)
    return namespace


def grade_cells(cells: dict[str, str], keep: Path | None = None) -> dict[str, tuple[bool, str]]:
    """{number: (passed, sentence)} for the exercise cells of one notebook.

    keep: a JSON file that holds what is graded so far, should a cell never come back.
    """
    known = all_exercises()
    cells = {number: source for number, source in cells.items() if number in known}
    if not cells:
        return {}
    with contextlib.redirect_stdout(io.StringIO()):
        namespace = setup(next(iter(cells)))
    results: dict[str, tuple[bool, str]] = {}
    for number, source in sorted(cells.items()):
        results[number] = grade_cell(number, source, namespace)
        if keep:
            part = keep.with_suffix(".part")
            part.write_text(json.dumps(results))
            os.replace(part, keep)
    return results


def grade_cell(number: str, source: str, namespace: dict) -> tuple[bool, str]:
    """Run one exercise's cell and judge what it defines."""
    name = load(number).name
    namespace.pop(name, None)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(compile(source, f"<exercise {number}>", "exec"), namespace)
        except Exception as error:
            hint = ""
            if isinstance(error, NameError):
                hint = "; all that it needs has to stand in the exercise's own cell"
            return False, f"the cell stops with {type(error).__name__}: {error}{hint}"
        if name not in namespace:
            return False, f"the cell does not define {name}"
        return tuple(judge(number, namespace[name]))


def grade_file(path: Path, seconds: int = SECONDS) -> dict[str, tuple[bool, str]]:
    """`grade_cells` in a process of its own, killed when its time is over."""
    numbers = [number for number in exercise_cells(path) if number in all_exercises()]
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, __file__, "--one", str(path.resolve()), "--result", str(result)]
        why = f"took longer than the {seconds} s that one notebook has (--seconds)"
        try:
            environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
            done = subprocess.run(
                command,
                timeout=seconds,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
            )
            why = f"ended the process (status {done.returncode})"
        except subprocess.TimeoutExpired:
            pass
        graded = json.loads(result.read_text()) if result.exists() else {}
    return {number: tuple(graded.get(number, (False, why))) for number in numbers}


def table(graded: dict[str, dict[str, tuple[bool, str]]]) -> str:
    """Submissions down, exercises across; a count at the end of each line."""
    numbers = sorted({number for results in graded.values() for number in results})
    width = max(map(len, ["submission", *graded]))
    lines = [f"{'submission':<{width}}  {'  '.join(numbers)}  right"]
    for name, results in graded.items():
        marks = [
            "  -  " if n not in results else "  ✓  " if results[n][0] else "  ✗  " for n in numbers
        ]
        right = sum(passed for passed, _ in results.values())
        lines.append(f"{name:<{width}}  {' '.join(marks)}  {right} of {len(results)}")
    return "\n".join(lines)


def grade_folder(folder: Path, seconds: int) -> dict[str, dict[str, tuple[bool, str]]]:
    graded = {}
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        name = str(path.relative_to(folder))
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
    parser.add_argument(
        "--csv", type=Path, help="write a line an exercise: submission, passed, why"
    )
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each notebook")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        grade_cells(exercise_cells(args.one), args.result)
        return 0
    if args.folder is None or not args.folder.is_dir():
        parser.error(f"{args.folder} is no folder: give the one with the notebooks handed in")
    graded = grade_folder(args.folder, args.seconds)
    if not graded:
        print(f"no notebook of the course lies in {args.folder}", file=sys.stderr)
        return 2
    print(table(graded))
    if args.why:
        for name, results in graded.items():
            for number, (passed, sentence) in results.items():
                if not passed:
                    print(f"{name} {number}: {sentence}")
    if args.csv:
        with args.csv.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("submission", "exercise", "passed", "sentence"))
            for name, results in graded.items():
                rows.writerows((name, n, int(p), sentence) for n, (p, sentence) in results.items())
    return 0


if __name__ == "__main__":
    sys.exit(main())
