"""Execute the notebooks and save their outputs: what a reader sees is what the code last did.

    python notebooks/run.py                    all of them, fast setting, outputs saved in the files
    python notebooks/run.py 03_kl 04_rapo_loss     some of them
    python notebooks/run.py --full --out full      the full setting, written elsewhere

The tests execute the same notebooks in the same setting and hold their outputs against the saved ones.
FAST is one variable in each notebook's cell of parameters; no code differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError

HERE = Path(__file__).resolve().parent
CELL_SECONDS = 1800  # one cell may take so long, at most
METADATA = {  # all that is kept: the rest depends on who ran it
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def set_fast(notebook: nbformat.NotebookNode, fast: bool) -> None:
    """Write the value of FAST into the cell that is tagged `parameters`."""
    cell = next(c for c in notebook.cells if "parameters" in tags(c))
    first, *others = cell.source.split("\n")
    name, _, comment = first.partition("#")
    if name.split("=")[0].strip() != "FAST":
        raise ValueError(f"the cell of parameters begins with {first!r}, and FAST = ... is needed")
    cell.source = "\n".join([f"FAST = {fast}  # {comment.strip()}", *others])


def execute(path: Path, fast: bool = True) -> nbformat.NotebookNode:
    """A notebook, run top to bottom in its own folder by a new kernel. Raises CellControlSignal."""
    notebook = read(path)
    set_fast(notebook, fast)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(HERE)}},
        record_timing=False,
        coalesce_streams=True,  # a progress bar leaves its last state
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({"tags": tags(cell)} if tags(cell) else {})
    return notebook


def main() -> int:
    parser = argparse.ArgumentParser(description="Execute notebooks and save their outputs.")
    parser.add_argument("names", nargs="*", help="such as 03_kl; none: all")
    parser.add_argument("--full", action="store_true", help="FAST = False; needs --out")
    parser.add_argument(
        "--out", type=Path, help="folder to write to; none: the notebooks themselves"
    )
    args = parser.parse_args()
    out = (args.out or HERE).resolve()
    if args.full and out == HERE:
        parser.error("--full needs --out: the saved outputs are those of the fast setting")
    if out.exists() and not out.is_dir():
        parser.error(f"--out {out} is a file, and a folder is needed")
    known = {path.stem: path for path in sorted(HERE.glob("*.ipynb"))}
    if unknown := [name for name in args.names if Path(name).stem not in known]:
        parser.error(f"no notebook is called {unknown[0]!r}; there are {', '.join(known)}")
    paths = [known[Path(name).stem] for name in args.names] or list(known.values())
    out.mkdir(parents=True, exist_ok=True)
    failed, began = 0, time.perf_counter()
    for path in paths:
        start = time.perf_counter()
        try:
            notebook = execute(path, fast=not args.full)
        except (CellControlSignal, DeadKernelError) as error:  # a cell raises, hangs, or ends all
            print(f"{path.name}: {error}", file=sys.stderr)
            failed += 1
            continue
        nbformat.write(notebook, out / path.name)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(f"all: {time.perf_counter() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
