"""--report-to: the run in TensorBoard, Weights & Biases or Trackio, through their own clients.

They get what the run's folder has: the numbers of metrics.jsonl under their names there, the group that
the screen shows as a table, pass@k and curves.png at the end. The files stay the record, a tracker is a
window: one that fails says so once and is left alone, and no run ends for it.

    tensorboard --logdir runs          the event files lie in runs/<run>/tensorboard
    WANDB_MODE=offline                 wandb without network; `wandb sync runs/<run>/wandb/...` later
    trackio show --project rapo-mini   trackio keeps its own database, and needs no account
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from settings import Settings
from step import Rollout
from watch.recorder import traced_prompt
from watch.terminal import harmless, wrapped

PROJECT = "rapo-mini"
COLUMNS = ["step", "problem", "gold", "completion", "reward", "reason"]


class Client(Protocol):
    """What is asked of a tracker; each call may fail."""

    def numbers(self, step: int, values: dict[str, float]) -> None: ...
    def table(self, step: int, rows: list[list]) -> None: ...
    def picture(self, step: int, path: Path) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    """Event files in the run's folder. A resumed run goes on in them, from its step."""

    def __init__(self, settings: Settings, out: Path, _run: str, step: int):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(out / "tensorboard"), purge_step=step or None)
        rows = [[name, value] for name, value in asdict(settings).items()]
        self.writer.add_text("settings", markdown(["setting", "value"], rows), step)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def table(self, step: int, rows: list[list]) -> None:
        self.writer.add_text("samples", markdown(COLUMNS, rows), step)

    def picture(self, step: int, path: Path) -> None:
        from matplotlib.image import imread

        self.writer.add_image("curves", imread(path, format="png"), step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


class Wandb:
    """A run of Weights & Biases under the run's own id, so that a resumed one goes on in it."""

    def __init__(self, settings: Settings, out: Path, run: str, _step: int):
        import wandb

        self.wandb = wandb
        self.run = wandb.init(
            project=PROJECT,
            name=out.name,
            id=run,
            resume="allow",
            dir=str(out),
            config=asdict(settings),
            settings=wandb.Settings(console="off"),  # the screen is ours
        )

    def numbers(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def table(self, step: int, rows: list[list]) -> None:
        self.run.log({"samples": self.wandb.Table(columns=COLUMNS, data=rows)}, step=step)

    def picture(self, step: int, path: Path) -> None:
        self.run.log({"curves": self.wandb.Image(str(path))}, step=step)

    def close(self) -> None:
        self.run.finish()


class Trackio:
    """A run of Trackio, in the database that it keeps on this machine."""

    def __init__(self, settings: Settings, out: Path, _run: str, _step: int):
        import trackio

        self.trackio = trackio
        trackio.init(project=PROJECT, name=out.name, resume="allow", config=asdict(settings))

    def numbers(self, step: int, values: dict[str, float]) -> None:
        self.trackio.log(values, step=step)

    def table(self, step: int, rows: list[list]) -> None:
        import pandas

        frame = pandas.DataFrame(rows, columns=COLUMNS)
        self.trackio.log({"samples": self.trackio.Table(dataframe=frame)}, step=step)

    def picture(self, step: int, path: Path) -> None:
        self.trackio.log({"curves": self.trackio.Image(str(path))}, step=step)

    def close(self) -> None:
        self.trackio.finish()


CLIENTS: dict[str, Callable[..., Client]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "trackio": Trackio,
}


def check_installed(name: str) -> None:
    """Raise ValueError, saying what to install, for a tracker that is not here."""
    if name != "none" and find_spec(name) is None:
        raise ValueError(f"--report-to {name} needs the package {name}: pip install {name}")


class Reporter:
    """A run's tracker, or none; a failure of it is said once and is its last."""

    def __init__(self, settings: Settings, out: Path, run: str = "", step: int = 0):
        """run: the run's id; step: how many steps are done."""
        self.settings, self.out, self.client = settings, out, None
        if settings.report_to != "none":
            with self.surviving():
                self.client = CLIENTS[settings.report_to](settings, out, run, step)

    @contextlib.contextmanager
    def surviving(self):
        """Whatever a tracker raises in the block is shown, and it is asked nothing more."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self.client = None
            said = harmless(" ".join(str(error).split())[:300]) or type(error).__name__
            tqdm.write(
                wrapped(
                    f"--report-to {self.settings.report_to} failed, the run goes on without it and "
                    f"keeps its own record in {self.out}: {said}"
                )
            )

    def step(self, metrics: dict, rolled: Rollout) -> None:
        """A step's line of metrics.jsonl and, as often as on the screen, a group of completions."""
        every = self.settings.show_every
        with self.surviving():
            if self.client:
                step = metrics["step"]
                self.client.numbers(step, flat({k: v for k, v in metrics.items() if k != "step"}))
                if every and step % every == 0:
                    self.client.table(step, rows_of_group(rolled, step))

    def end(self, evaluation: dict | None, figure: Path, step: int) -> None:
        """pass@k as in summary.json, and the figure."""
        with self.surviving():
            if self.client:
                if evaluation:
                    self.client.numbers(step, flat(means(evaluation)))
                self.client.picture(step, figure)
        self.close()

    def close(self) -> None:
        """Let the client finish what it has to send."""
        with self.surviving():
            if self.client:
                self.client.close()
        self.client = None


def flat(values: dict, before: str = "") -> dict[str, float]:
    """Numbers by name, those of inner tables as outer/inner; what is no finite number is left out.

    >>> flat({"reward": 0.5, "skipped": False, "reasons": {"wrong": 3}, "loss": float("nan")})
    {'reward': 0.5, 'skipped': 0, 'reasons/wrong': 3}
    """
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{name}/")
        elif isinstance(value, (int, float)) and math.isfinite(value):
            found[before + name] = int(value) if isinstance(value, bool) else value
    return found


def means(evaluation: dict) -> dict:
    """pass@k/split/base, trained and difference of a comparison as it stands in summary.json."""
    return {
        f"pass@{k}": {
            split: {name: estimate["mean"] for name, estimate in row.items()}
            for split, row in by_split.items()
        }
        for k, by_split in evaluation["pass_at_k"].items()
    }


def rows_of_group(rolled: Rollout, step: int) -> list[list]:
    """The group that the screen shows, a row a completion, as COLUMNS says."""
    at, group = traced_prompt(rolled.reward), rolled.reward.shape[1]
    problem = rolled.problems[at]
    asked = [harmless(problem.problem), harmless(problem.answer)]
    rows = range(at * group, (at + 1) * group)
    judged = [(harmless(rolled.texts[row]), rolled.verdicts[row]) for row in rows]
    return [[step, *asked, text, v.reward, harmless(v.reason)] for text, v in judged]


def markdown(columns: list[str], rows: list[list]) -> str:
    r"""A table in markdown whose cells are read as they are: "2*3*4" has no word in italics.

    >>> print(markdown(["a"], [["2*3*4 < 1|2"]]))
    | a |
    |---|
    | 2\*3\*4 &lt; 1\|2 |
    """
    head, *body = [
        "| " + " | ".join(line) + " |" for line in [columns, *([plain(c) for c in r] for r in rows)]
    ]
    return "\n".join([head, "|" + "---|" * len(columns), *body])


def plain(value: object) -> str:
    """A value as markdown that shows it as it is."""
    text = harmless(str(value)).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_{}\[\]|])", r"\\\1", text)
