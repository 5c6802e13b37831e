"""RAPO from one command: sample, verify, learn, and show what was learned.

    python rapo_mini.py --steps 200

The loop repeats the two verbs of `step.py`, `rollout` and `learn`. On the way it writes metrics.jsonl
and a state from which a killed run goes on (--resume); at the end an adapter in PEFT's format,
summary.json, a table of pass@k and curves.png.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tqdm import tqdm

from machine import plan
from machine.limit import OutOfPieces
from pass_at_k import compare_with_base, draw_report
from policy import load_policy
from problems import Problem, load_problems, problems_that_fit, render_prompt, training_problems
from settings import (
    Settings,
    command,
    cut_metrics,
    learning_rate,
    resolve,
    resumed,
    save_config,
    traced_steps,
    whole,
)
from step import Rollout, learn, make_optimizer, rollout
from watch.health import diagnose
from watch.tracer import Trace

GIVE_UP_AFTER = 3  # steps in a row without a finite gradient


class Run:
    """A training run in a folder: its policy, its optimizer, and how far it has come."""

    def __init__(self, settings: Settings):
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.settings, self.out = settings, Path(settings.out)
        self.problems = training_problems(settings.data, settings.seed, settings.data_dir)
        self.eval_problems: list[Problem] = []  # read now: a wrong file is found before training
        if settings.eval_problems:
            self.eval_problems = load_problems(
                settings.eval_data,
                settings.eval_split,
                settings.eval_problems,
                settings.seed,
                "--eval-data, --eval-problems",
                settings.data_dir,
            )
        self.policy = load_policy(
            settings.model,
            quant=settings.quant,
            lora_r=settings.lora_r,
            lora_alpha=settings.lora_alpha,
            adapter=settings.adapter,
            seed=settings.seed,
            checkpoint_layers=settings.checkpoint_layers,
        )
        self.check_lengths()
        self.optimizer = make_optimizer(self.policy, settings)
        self.step, self.seconds = 0, Counter()
        self.trace_at = traced_steps(settings) if settings.trace else set()
        self.trace = Trace(Path(settings.trace)) if settings.trace else None

    def prompt_tokens(self, problem: Problem) -> int:
        prompt = render_prompt(self.settings.prompt_template, problem)
        return len(self.policy.tokenizer.encode(prompt))

    def check_lengths(self) -> None:
        """Leave out training problems with long prompts, as `problems_that_fit` says and raises."""
        self.problems = problems_that_fit(
            self.problems,
            [self.prompt_tokens(p) for p in self.problems],
            max_prompt_tokens=self.settings.max_prompt_tokens,
            max_new_tokens=self.settings.max_new_tokens,
            context=self.policy.model.config.max_position_embeddings,
            also=max(map(self.prompt_tokens, self.eval_problems), default=0),
        )

    def problems_of(self, step: int) -> list[Problem]:
        """The P problems of a step: the data in an order shuffled anew in each epoch."""
        size, first = len(self.problems), step * self.settings.prompts
        places = range(first, first + self.settings.prompts)
        orders = {epoch: list(range(size)) for epoch in {place // size for place in places}}
        for epoch, order in orders.items():
            random.Random(f"{self.settings.seed}-{epoch}").shuffle(order)
        return [self.problems[orders[place // size][place % size]] for place in places]

    def train_step(self) -> dict:
        """One rollout and what is learned from it; the line for metrics.jsonl."""
        rate = learning_rate(self.settings, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rolled = rollout(self.policy, self.problems_of(self.step), self.settings, self.step)
        records = [] if self.step in self.trace_at else None
        learned = learn(self.policy, self.optimizer, rolled, self.settings, records)
        metrics = {"step": self.step, "lr": rate, **learned}
        if records:
            records[-1]["metrics"] = metrics  # of a step with several updates: the last one's
            for record in records:
                self.trace.add({"step": self.step, **record})
        sizes = {name: metrics[name] for name in ("sample_rows", "micro_batch", "chunk_tokens")}
        self.settings = replace(self.settings, **sizes)  # what memory allowed, from now on
        for part in ("sample", "verify", "learn"):
            self.seconds[part] += metrics[f"seconds_{part}"]
        self.step += 1
        self.last = rolled
        return metrics

    def save(self) -> None:
        """Write the state from which --resume goes on; a kill at any moment leaves a whole one."""
        state = {
            "adapter": {
                n: p.data for n, p in self.policy.model.named_parameters() if p.requires_grad
            },
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": dict(self.seconds),
        }
        with whole(self.out / "state.pt") as part:
            torch.save(state, part)

    def restore(self) -> None:
        """Go back to the last saved state; metrics.jsonl is cut to what that state has seen."""
        path = self.out / "state.pt"
        if path.exists():  # else it was killed before the first save, and begins again
            state = torch.load(path, map_location=self.policy.device, weights_only=True)
            parameters = dict(self.policy.model.named_parameters())
            for name, value in state["adapter"].items():
                parameters[name].data.copy_(value)
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], Counter(state["seconds"])
        cut_metrics(self.out, self.step)
        if self.trace:
            self.trace.go_on(self.step)

    def save_adapter(self) -> None:
        """The adapter in PEFT's own format, in out/adapter."""
        part, final = self.out / "adapter.part", self.out / "adapter"
        shutil.rmtree(part, ignore_errors=True)
        self.policy.model.save_pretrained(part)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(part, final)


def train(run: Run) -> str:
    """Steps until the settings' number is reached; returns why it stopped, "" when it is done.

    Ctrl-C lets the current step finish, saves, and returns; a second Ctrl-C stops at once.
    """
    settings, skipped, asked, told = run.settings, 0, [], set()
    before = signal.signal(signal.SIGINT, lambda *_: stop_after_this_step(asked))
    history = read_metrics(run.out)
    log = (run.out / "metrics.jsonl").open("a")
    bar = tqdm(total=settings.steps, initial=run.step, desc=settings.arm, unit="step")
    try:
        while run.step < settings.steps:
            metrics = run.train_step()
            log.write(json.dumps(metrics) + "\n")
            log.flush()
            history.append(metrics)
            for name, sentence in diagnose(history, settings.arm).items():
                if name not in told:  # once a run
                    bar.write(f"step {run.step - 1}: {sentence}")
                    told.add(name)
            bar.update()
            bar.set_postfix_str(
                f"reward {metrics['reward']:.3f}, H {metrics['entropy']:.3f}, "
                f"KL {metrics['kl']:.3f}, {metrics['tokens_per_second']:.0f} tok/s"
            )
            if settings.show_every and run.step % settings.show_every == 1:
                bar.write(show(run.last, run.step - 1))
            skipped = skipped + 1 if metrics["skipped"] else 0
            if skipped:
                bar.write(
                    f"step {run.step - 1}: loss {metrics['loss']}, gradient norm "
                    f"{metrics['grad_norm']}: not finite, so this step changed nothing"
                )
            if skipped == GIVE_UP_AFTER:
                run.save()
                return f"{skipped} steps in a row had no finite gradient: try a lower --lr"
            if run.step % settings.save_every == 0 or run.step == settings.steps or asked:
                run.save()
            if asked:
                return f"stopped at step {run.step} by Ctrl-C"
    finally:
        signal.signal(signal.SIGINT, before)
        bar.close()
        log.close()
    return ""


def read_metrics(out: Path) -> list[dict]:
    """The lines of metrics.jsonl so far, oldest first."""
    log = out / "metrics.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def stop_after_this_step(asked: list) -> None:
    """What Ctrl-C does while training: note it the first time, interrupt the second."""
    if asked:
        raise KeyboardInterrupt
    asked.append(True)
    tqdm.write("Ctrl-C: finishing this step, then saving and reporting (again: stop at once)")


def show(rolled: Rollout, step: int, count: int = 4) -> str:
    """A few sampled completions with their verdicts, the right ones first."""
    order = sorted(range(len(rolled.texts)), key=lambda i: -rolled.verdicts[i].reward)
    picked = order[: count // 2] + order[-(count - count // 2) :]
    lines = [f"step {step}, {count} of {len(order)} completions:"]
    for i in picked:
        problem = rolled.problems[i // (len(order) // len(rolled.problems))]
        text = " ".join(rolled.texts[i].split())
        shown = text if len(text) <= 160 else text[:70] + " ... " + text[-85:]
        lines.append(f"  {rolled.verdicts[i].reason:>11} | gold {problem.answer} | {shown}")
    return "\n".join(lines)


def report(run: Run) -> None:
    """Measure base and trained pass@k, print the table, write summary.json and curves.png."""
    settings = run.settings
    run.save_adapter()
    metrics, comparison, began = read_metrics(run.out), None, time.perf_counter()
    if run.eval_problems:
        comparison = compare_with_base(
            run.policy,
            run.eval_problems,
            samples=settings.eval_samples,
            template=settings.prompt_template,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=settings.seed,
            sample_rows=settings.sample_rows if torch.cuda.is_available() else 0,
            fixed=settings.fixed_decode,
        )
        print(comparison.table())
    seconds = {**run.seconds, "evaluate": time.perf_counter() - began}
    summary = {
        "settings": asdict(settings),
        "steps_done": run.step,
        "seconds": {part: round(s, 1) for part, s in seconds.items()},
        "last_step": metrics[-1] if metrics else None,
        "evaluation": comparison and comparison.as_json(),
    }
    with whole(run.out / "summary.json") as part:
        part.write_text(json.dumps(summary, indent=1) + "\n")
    draw_report(metrics, comparison, settings.arm, run.out / "curves.png")
    spent = ", ".join(f"{part} {s:.0f} s" for part, s in seconds.items())
    print(f"{spent}. In {run.out}: adapter/, metrics.jsonl, summary.json, curves.png")
    if run.trace and run.trace.lines:
        folder = run.trace.folder
        print(f"trace: open {folder / 'trace.html'} in a browser, or python watch/tracer.py {folder}")


def start(given: Settings) -> Run | None:
    """A new run in a new folder, or the one that --resume names; says on screen which.

    On a GPU the memory is planned first. None: --dry-run, and that was all.
    """
    if given.resume:
        settings = resumed(given)
        sentence = f"going on with {given.resume}: {settings.model}"
    else:
        settings, sentence = resolve(given)
    print(sentence)
    if given.dry_run or torch.cuda.is_available():
        card = plan.card_bytes(settings)
        print(plan.report(settings, card))
        plan.check_fits(settings, card)
    if given.dry_run:
        return None
    print(
        f"arm: {settings.arm}, KL {settings.kl_form} with weight {settings.alpha:g}, entropy weight "
        f"{settings.beta:g}, phi_min {settings.phi_min:g}; seed {settings.seed}"
    )
    run = Run(settings)
    if given.resume:
        run.restore()
        print(f"state: {run.step} steps done, {settings.steps} wanted")
    elif (run.out / "config.json").exists():
        raise ValueError(f"{run.out} already holds a run: --resume {run.out}, or another --out")
    elif run.trace:
        run.trace.begin()
    run.out.mkdir(parents=True, exist_ok=True)
    save_config(settings, run.out)
    print(
        f"data: {len(run.problems)} problems; a step is {settings.prompts} prompts x "
        f"{settings.group_size} completions; run folder: {run.out}"
    )
    return run


def main(given: Settings) -> int:
    """Train, report; the exit status (0 done or Ctrl-C, 1 gave up or out of memory, 2 bad input)."""
    try:
        run = start(given)
    except ValueError as error:
        print(f"rapo_mini: {error}", file=sys.stderr)
        return 2
    if run is None:
        return 0
    try:
        reason = train(run)
    except OutOfPieces as error:
        run.save()
        run.save_adapter()
        print(f"rapo_mini: {error}; after {run.step} steps: {run.out}/adapter", file=sys.stderr)
        return 1
    if reason:
        print(f"{reason}; go on with: python rapo_mini.py --resume {run.out}")
    report(run)
    return 1 if reason.endswith("--lr") else 0


if __name__ == "__main__":
    sys.exit(command("rapo_mini", main))
