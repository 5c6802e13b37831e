"""What a person sees while a run trains: the bar, health, one group of completions whole; Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import shlex
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from machine.chat import with_prompt_template
from problems import EXAMPLES, Problem, reading_of
from settings import Settings, choose_model, flag, resolve
from step import Rollout
from watch.files import as_json, naming
from watch.health import diagnose
from watch.recorder import traced_prompt
from watch.run_folder import read_metrics
from watch.stopping import on_stop
from watch.terminal import WIDTH, bar_width, columns_of, cut, harmless, sparkline, wrapped

AS_TRAINED = (  # flags of pass_at_k.py that a run has too
    "quant",
    "data_dir",
    "problem_column",
    "answer_column",
    "temperature",
    "max_new_tokens",
    "max_prompt_tokens",
    "prompt_template",
    "seed",
)


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
        self.bar = tqdm(
            total=settings.steps,
            initial=steps_done,
            desc=settings.arm,
            ncols=bar_width(),
            bar_format="{desc} {n_fmt}/{total_fmt} |{bar}| {elapsed}<{remaining}{postfix}",
        )

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
                self.bar.write(wrapped(f"step {step}: {sentence}"))
                self.told.add(name)
        self.bar.update()
        rewards = sparkline([m["reward"] for m in self.history])
        self.bar.set_postfix_str(
            f"reward {metrics['reward']:.2f} {rewards}, KL {metrics['kl']:.3f}, "
            f"{metrics['tokens_per_second']:.0f} tok/s"
        )
        every = self.settings.show_every
        if every and step % every == 0:
            graded = reading_of(self.settings).golds
            self.bar.write(one_group(rolled, step, self.settings.right_at, graded=graded))
        if metrics["skipped"]:
            self.bar.write(
                wrapped(
                    f"step {step}: loss {metrics['loss']}, gradient norm {metrics['grad_norm']}: not "
                    "finite, so this update changed nothing"
                )
            )

    def skipped_in_a_row(self) -> int:
        """How many of the last steps in a row changed nothing."""
        count = 0
        for metrics in reversed(self.history):
            if not metrics["skipped"]:
                break
            count += 1
        return count


def one_group(
    rolled: Rollout, step: int, right_at: float, most: int = 8, graded: bool = True
) -> str:
    """One prompt with what was answered to it: each answer with its mark, its count, and one completion.

    Which prompt: the one whose rewards differ most. +: right, a reward of at least right_at; -: not.
    most: so many answers, those that came most often. graded: the gold answer decides, so it is shown.
    """
    group = rolled.reward.shape[1]  # G
    at = traced_prompt(rolled.reward)
    problem, rows = rolled.problems[at], range(at * group, (at + 1) * group)
    verdicts = [rolled.verdicts[row] for row in rows]
    right = sum(v.reward >= right_at for v in verdicts)
    kinds = Counter((v.answer, v.reason, v.reward) for v in verdicts)
    asked = cut(f"step {step}, one group: {problem.problem}", 5 * WIDTH)
    wide = any(columns_of(c) > 1 for c in asked)
    lines = textwrap.wrap(asked, (WIDTH - 4) // (2 if wide else 1))
    counted = f"{right} of {group} right, {len(kinds)} different answers"
    gold = f"gold {cut(problem.answer, WIDTH - len(counted) - 12)}; " if graded else ""
    lines.append(f"{gold}{counted}:")
    for (answer, reason, reward), count in kinds.most_common(most):
        first = next(
            r for r, v in zip(rows, verdicts, strict=True) if v[:3] == (reward, reason, answer)
        )
        worth = "" if reward in (0, 1) else f"{reward:.2g} "
        mark = "+" if reward >= right_at else "-"
        named = f"{mark} {count:>3} x {cut(answer or 'no answer', 14):<14} {worth}{cut(reason, 12)}"
        lines.append(cut(f"{named:<34} {' '.join(rolled.texts[first].split())}", WIDTH - 3))
    if len(kinds) > most:
        rest = sum(count for _, count in kinds.most_common()[most:])
        lines.append(f"... and {len(kinds) - most} more, in {rest} of the {group}")
    return "\n  ".join(lines)


# ---------------------------------------------------------------- at the end


def what_next(
    settings: Settings,
    steps_done: int,
    problems: Sequence[Problem],
    tokenizer,
    healthy: bool = True,
) -> str:
    """Three commands that make sense now: talk to the run, measure it better, go on with it.

    Not the third where the run was told to change a flag: a resumed run keeps its flags.
    """
    out, asked = settings.out, min((p.problem for p in problems[:100]), key=len)
    asked = f" {shlex.quote(harmless(asked))}" if len(asked) <= WIDTH // 2 else ""
    steps = f" --steps {2 * settings.steps}" if steps_done >= settings.steps else ""
    commands = {
        "ask base and trained": f"python -m use talk {out}{asked}",
        "measure on more samples": measure_command(settings, 4 * settings.eval_samples, tokenizer),
        "train on": f"python rapo_mini.py --resume {out}{steps}",
    }
    if not healthy:
        del commands["train on"]
    lines = [line for what, command in commands.items() for line in (f"  # {what}", f"  {command}")]
    return "\n".join(["Next:", *lines])


def measure_command(settings: Settings, samples: int, tokenizer) -> str:
    """pass_at_k.py on the run's adapter, as the run itself measures: what its defaults would not find.

    tokenizer: the model's, whose chat template, if it has one, is found again.
    """
    given = {"adapter": settings.out, "n": samples}
    found = choose_model("auto", "auto")[0]
    if Path(settings.model).resolve() != Path(found).resolve():
        given["model"] = settings.model
    if settings.eval_data != "puzzles":
        given["data"] = settings.eval_data
    usual, _ = resolve(Settings(model=settings.model, max_prompt_tokens=0))
    usual, _ = with_prompt_template(usual, None, tokenizer, EXAMPLES.get(settings.eval_data))
    if settings.eval_problems and (settings.eval_problems, settings.eval_data) != (192, "puzzles"):
        given["problems"] = settings.eval_problems
    for name in AS_TRAINED:
        if getattr(settings, name) != getattr(usual, name):
            given[name] = getattr(settings, name)
    lines = ["python pass_at_k.py"]
    for part in (f"{flag(name)} {shlex.quote(str(value))}" for name, value in given.items()):
        if len(lines[-1]) + len(part) > WIDTH - 6:
            lines.append("   ")
        lines[-1] += f" {part}"
    return " \\\n".join(lines)
