"""One recorded step, number by number: trace.json, and a page to open in a browser.

    python rapo_mini.py --steps 3 --trace out      writes out/trace.json and out/trace.html

This room knows records only (`recorder.py` makes them), no model and no tensor. The page is
one file with everything in it, put together from `page/`: it opens from disk and asks no network for
anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from objective import ARMS
from watch.files import as_json, write_whole

PARTS = Path(__file__).resolve().parent / "page"
SCRIPTS = ("numbers", "words", "step", "group", "token", "page")  # in the order of the page
FORMAT = (
    2  # of a record; 1 had nothing of the policy after the update. docs/trace.md lists the fields
)


# ---------------------------------------------------------------- the files of a trace


class Trace:
    """The records in a folder: trace.json and trace.html, whole after each one, killed or not."""

    def __init__(self, folder: Path):
        self.folder, self.lines = folder, []  # lines: one record each, as JSON

    def check_free(self) -> None:
        """Raise ValueError if the folder already holds a trace or cannot be made; makes nothing yet."""
        if any((self.folder / name).exists() for name in ("trace.json", "trace.html")):
            raise ValueError(f"{self.folder} already holds a trace: give another folder to --trace")
        path = self.folder.absolute()
        there = next(p for p in (path, *path.parents) if p.exists())
        if not (there.is_dir() and os.access(there, os.W_OK)):
            raise ValueError(f"--trace {self.folder} cannot be written to: {there} is in the way")

    def go_on(self, step: int) -> None:
        """Take up the trace of a resumed run that has done `step` steps; later records are dropped."""
        if (self.folder / "trace.json").exists():
            kept = [record for record in read_trace(self.folder) if record["step"] < step]
            self.lines = [compact(record) for record in kept]
            self.write()

    def add_step(self, records: list[dict], metrics: dict) -> None:
        """The records of a step, one an update; metrics: the step's, which the last one gets."""
        records[-1]["metrics"] = metrics
        for record in records:
            self.add({"step": metrics["step"], **record})

    def add(self, record: dict) -> None:
        self.lines.append(compact({"format": FORMAT, **record}))
        self.write()

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "trace.json", "[\n" + ",\n".join(self.lines) + "\n]\n")
        write_whole(self.folder / "trace.html", page(self.lines))


def read_trace(folder: Path) -> list[dict]:
    """The records in folder/trace.json. Raises ValueError if there are none to be read."""
    path = folder / "trace.json"
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(records, list) and all("completions" in r for r in records)):
            raise ValueError("no list of traced steps")
    except OSError as error:
        raise ValueError(f"{folder} holds no trace: {path} cannot be read (--trace)") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a trace: {error}") from error
    formats = {record.get("format", 1) for record in records} - {FORMAT}
    if formats:
        raise ValueError(
            f"{path} was written in format {formats.pop()} and this program reads {FORMAT}: record "
            f"the step anew with --trace DIR; {folder / 'trace.html'} still opens as it is"
        )
    return records


def compact(record: dict) -> str:
    return as_json(record, separators=(",", ":"))


def page(lines: list[str], beside: Sequence[str] = ()) -> str:
    """The page with these records in it, each a JSON text. A "<" in them cannot end their element.

    beside: of another run the records of the same updates, one for each of `lines`.
    """
    arms = {
        name: arm.symbols | {"reweighted": arm.reweighted, "advantage": arm.advantage.__name__}
        for name, arm in ARMS.items()
    }
    data = [f'<script type="application/json" id="arms">{json.dumps(arms)}</script>']
    for kind, texts in (("record", lines), ("beside", beside)):
        for text in texts:
            safe = text.replace("<", "\\u003c")
            data.append(f'<script type="application/json" class="{kind}">{safe}</script>')
    filling = {
        "style": (PARTS / "page.css").read_text(encoding="utf-8"),
        "records": "\n".join(data),
        "script": "\n".join((PARTS / f"{s}.js").read_text(encoding="utf-8") for s in SCRIPTS),
    }
    pieces = (PARTS / "page.html").read_text(encoding="utf-8").split("@@")
    return "".join(filling[p] if i % 2 else p for i, p in enumerate(pieces))
