"""What a person sees while a run trains: the bar, the log line, health, sampled completions, Ctrl-C."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tqdm import tqdm

from settings import Settings
from step import Rollout
from watch.files import as_json, naming
from watch.health import diagnose
from watch.run_folder import read_metrics
from watch.stopping import on_stop
from watch.terminal import harmless


class Progress:
    """The bar of a run and its metrics.jsonl; a context manager.

    Ctrl-C, TERM and HUP only set `stopped`. A step is written to the log first and shown after.
    """

    def __init__(self, settings: Settings, out: Path, steps_done: int):
        self.settings, self.stopped = settings, False
        self.history = read_metrics(out)
        self.told: set[str] = set()  # sentences of `health`, each once a run
        self.path = out / "metrics.jsonl"
        self.log = self.path.open("a")
        self.bar = tqdm(total=settings.steps, initial=steps_done, desc=settings.arm, unit="step")

    def __enter__(self) -> Progress:
        self.listening = on_stop(self.stop_after_this_step)
        self.listening.__enter__()
        return self

    def __exit__(self, *_error) -> None:
        self.listening.__exit__(None, None, None)
        self.bar.close()
        self.log.close()

    def stop_after_this_step(self, *_signal) -> None:
        """What Ctrl-C does while training: note it the first time, interrupt the second."""
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True
        said = b"\nstopping: finishing this step, then saving and reporting (again: stop at once)\n"
        with contextlib.suppress(OSError):
            os.write(
                2, said
            )  # not through a stream: the signal may have come in the middle of a print

    def add(self, metrics: dict, rolled: Rollout) -> None:
        """A finished step: log it, move the bar, say what is wrong, show some completions."""
        step = metrics["step"]
        with naming(self.path):
            self.log.write(as_json(metrics) + "\n")
            self.log.flush()
        self.history.append(metrics)
        for name, sentence in diagnose(self.history, self.settings.arm).items():
            if name not in self.told:
                self.bar.write(f"step {step}: {sentence}")
                self.told.add(name)
        self.bar.update()
        self.bar.set_postfix_str(
            f"reward {metrics['reward']:.3f}, H {metrics['entropy']:.3f}, "
            f"KL {metrics['kl']:.3f}, {metrics['tokens_per_second']:.0f} tok/s"
        )
        every = self.settings.show_every
        if every and step % every == 0:
            self.bar.write(some_completions(rolled, step))
        if metrics["skipped"]:
            self.bar.write(
                f"step {step}: loss {metrics['loss']}, gradient norm {metrics['grad_norm']}: not "
                "finite, so this step changed nothing"
            )

    def skipped_in_a_row(self) -> int:
        """How many of the last steps in a row changed nothing."""
        count = 0
        for metrics in reversed(self.history):
            if not metrics["skipped"]:
                break
            count += 1
        return count


def some_completions(rolled: Rollout, step: int, count: int = 4) -> str:
    """A few sampled completions with their verdicts, the right ones first."""
    order = sorted(range(len(rolled.texts)), key=lambda i: -rolled.verdicts[i].reward)
    picked = order[: count // 2] + order[-(count - count // 2) :]
    lines = [f"step {step}, {count} of {len(order)} completions:"]
    for i in picked:
        problem = rolled.problems[i // (len(order) // len(rolled.problems))]
        text = harmless(" ".join(rolled.texts[i].split()))
        shown = text if len(text) <= 160 else text[:70] + " ... " + text[-85:]
        lines.append(
            f"  {rolled.verdicts[i].reason:>11} | gold {harmless(problem.answer)} | {shown}"
        )
    return "\n".join(lines)
