"""The student edition: the course's notebooks without solutions and outputs, from the same source.

    python notebooks/student.py --out student            a folder inside the repository, to hand out
    python notebooks/student.py --out student 03_kl 04_rapo_loss     some of them

Exercises, checks and all text stay as they are, so `grade.py` grades these as it grades the others. The
folder has to lie inside a copy of the repository: the first cell looks for it in the folders above. What
this cannot hide is the repository itself, whose own notebooks hold the solutions: hand out a copy without
them (`notebooks/*.ipynb`), or ask for the why as well.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
SOLUTION = re.compile(r"<details><summary>Solution</summary>.*?</details>\n?", re.S)
BADGE = re.compile(r"\[!\[Open In Colab\]\(\S+\)\]\(\S+\)\n*")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def student_edition(notebook: nbformat.NotebookNode, up: str) -> nbformat.NotebookNode:
    """The notebook without solutions, outputs and its badge; a cell that held nothing else is gone.

    The badge would open the notebook of the repository, with its solutions.

    up: the way from the new folder to `notebooks/`, put before links to what is not copied.
    """
    kept = []
    for cell in notebook.cells:
        cell.source = BADGE.sub("", SOLUTION.sub("", cell.source)).strip("\n")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        elif not cell.source.strip():
            continue
        else:
            cell.source = LINK.sub(lambda match: moved(match, up), cell.source)
        kept.append(cell)
    notebook.cells = kept
    return notebook


def moved(match: re.Match, up: str) -> str:
    """A link to a neighbouring notebook stays; any other one goes through `notebooks/`."""
    return match[0] if match[1].endswith(".ipynb") else f"]({up}/{match[1]}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the notebooks without their solutions.")
    parser.add_argument("names", nargs="*", help="such as 03_kl; none: all")
    parser.add_argument("--out", type=Path, required=True, help="a folder inside the repository")
    args = parser.parse_args()
    known = {path.stem: path for path in sorted(HERE.glob("*.ipynb"))}
    out = args.out.resolve()
    if unknown := [name for name in args.names if Path(name).stem not in known]:
        parser.error(f"no notebook is called {unknown[0]!r}; there are {', '.join(known)}")
    if out == HERE or HERE.parent not in out.parents:
        parser.error(f"--out {args.out}: a folder of its own inside {HERE.parent} is needed")
    if out.exists() and not out.is_dir():
        parser.error(f"--out {args.out} is a file, and a folder is needed")
    out.mkdir(parents=True, exist_ok=True)
    up = "/".join([".."] * len(out.relative_to(HERE.parent).parts) + ["notebooks"])
    names = [Path(name).stem for name in args.names] or list(known)
    for name in names:
        notebook = nbformat.read(known[name], as_version=4)
        nbformat.write(student_edition(notebook, up), out / f"{name}.ipynb")
    print(f"{len(names)} notebooks without solutions: {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
