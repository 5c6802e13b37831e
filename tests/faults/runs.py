"""What the fault tests share: a tiny run, what it leaves on disk, and how two of them are compared."""

import json
import subprocess
import sys
from pathlib import Path

import rapo_mini
from settings import Settings
from watch.files import write_whole

ROOT = Path(rapo_mini.__file__).parent
STEPS = 4
TINY = {"steps": STEPS, "prompts": 1, "group_size": 2, "max_new_tokens": 6, "threads": 1}
TINY |= {"show_every": 0, "eval_problems": 0, "beta": 0.1}  # so that each step moves the adapter
MEASURED = TINY | {"eval_problems": 3, "eval_samples": 2}
CLOCK = ("seconds_sample", "seconds_verify", "seconds_learn", "tokens_per_second")


def run(out, **changes) -> int:
    """A tiny run in this process: its exit status."""
    return rapo_mini.main(Settings(**(TINY | {"out": str(out)} | changes)))


def resume(out, **changes) -> int:
    return rapo_mini.main(Settings(resume=str(out), **({"steps": STEPS} | changes)))


def without_picture(monkeypatch) -> None:
    """curves.png of the runs to come holds a word."""
    monkeypatch.setattr(rapo_mini, "draw_run", lambda *given: write_whole(Path(given[2]), "drawn"))


def metrics_of(out) -> list[dict]:
    """metrics.jsonl without what a clock wrote."""
    rows = [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in rows]


def result_of(out) -> tuple:
    """What must be bit-equal in two runs: metrics, adapter, counts of right answers."""
    adapter = (Path(out) / "adapter" / "adapter_model.safetensors").read_bytes()
    evaluation = json.loads((Path(out) / "summary.json").read_text())["evaluation"]
    return metrics_of(out), adapter, evaluation


def everything_in(folder) -> dict[str, bytes]:
    """Every file below a folder with its bytes; whose lock it was is no content."""
    files = [p for p in Path(folder).rglob("*") if p.is_file() and ".lock" not in p.name]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def sentence(capsys, program="rapo_mini") -> str:
    """The one line on stderr that begins with the program's name; a traceback is no sentence."""
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith(f"{program}: ")]
    assert len(lines) == 1 and "Traceback" not in error, error
    return lines[0]


def process(*args, script="rapo_mini.py", **options) -> subprocess.Popen:
    """The command itself, as a process."""
    command = [sys.executable, str(ROOT / script), *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def flags(settings: dict) -> list:
    return [x for k, v in settings.items() for x in ("--" + k.replace("_", "-"), v)]
