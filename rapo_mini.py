"""RAPO from one command: sample, verify, learn, and show what was learned.

    python rapo_mini.py --steps 200

The loop is `train`, below. What a textbook's loop has and this one leaves out:

* a value model: a completion's baseline is the mean reward of its group;
* a reward model: the verifier checks the answer;
* a second model for the reference: it is the same weights with the adapter off (`policy.py`);
* a pass over the completions for log pi_old: the sampler notes it while it draws (`sampler.py`);
* many epochs over one rollout: one update each, unless --updates says more.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path

import torch
from tqdm import tqdm

from machine import cost, plan
from machine.chat import with_prompt_template
from machine.devices import keep_to_the_card, why_no_gpu
from machine.fixed_decode import CaptureFailed
from machine.limit import OutOfPieces, Pieces, pieces_of
from machine.loading import adapter_in, find_model, load_tokenizer
from machine.shapes import context_of, shape_of
from objective import ARMS
from pass_at_k import compare_with_base
from policy import REFERENCE, load_policy, refresh_reference
from problems import (
    EXAMPLES,
    Judge,
    Problem,
    both_sides,
    check_at_hand,
    of_an_evaluation,
    problems_that_fit,
    render_prompt,
    token_counts,
)
from settings import Settings, is_bundled, learning_rate, resolve, traced_steps
from step import Rollout, learn, make_optimizer, rollout
from watch import forks, target
from watch.command_line import command, guarded, resumed
from watch.evaluations import OtherLog, evaluation_log, rows_of_a_batch
from watch.figures import draw_run
from watch.files import as_json, digest, write_whole
from watch.health import diagnose
from watch.progress import Progress, measure_command, what_next
from watch.recorder import Recorder
from watch.run_folder import (
    folder_digest,
    model_digest,
    read_metrics,
    refuse_used,
    save_adapter,
)
from watch.run_state import Owner
from watch.tables import SHORT
from watch.terminal import tell, wrapped
from watch.tracer import Trace
from watch.trackers import Reporter, check_installed

GIVE_UP_AFTER = 3  # steps in a row whose loss or gradient is not finite
SAVE_SECONDS = 20  # a state is saved when the last one is older than this


class Ending(Enum):
    """How training ended."""

    DONE = "all steps are done"
    STOPPED = "stopped by Ctrl-C"
    GAVE_UP = f"{GIVE_UP_AFTER} steps in a row had no finite gradient: try a lower --lr"


def train(run: Run) -> Ending:
    """Steps until the settings' number is reached. Ctrl-C: the step under way is finished and saved."""
    with Progress(run.settings, run.out, run.step) as progress:
        while run.step < run.settings.steps:
            metrics, rolled = train_step(run)
            progress.add(metrics, rolled)  # the line of metrics.jsonl, and the screen
            run.reporter.step(metrics, rolled)
            gave_up = progress.skipped_in_a_row() >= GIVE_UP_AFTER
            if gave_up or progress.stopped or run.save_is_due():
                run.save()
            if gave_up or progress.stopped:
                return Ending.GAVE_UP if gave_up else Ending.STOPPED
    return Ending.DONE


def train_step(run: Run) -> tuple[dict, Rollout]:
    """One step, problems -> rollout -> learn: its line for metrics.jsonl, and what was sampled."""
    settings, step = run.settings, run.step
    problems = run.problems_of(step)
    rate = run.set_learning_rate(step)
    rolled = rollout(run.policy, problems, settings, step, run.pieces, run.judge)
    asked = target.asked_of(run.policy, rolled, settings)
    found = forks.fork_metrics(run.policy, settings, step)  # before the policy changes
    if step == 0 and asked:
        tqdm.write(wrapped(target.in_words(asked, settings)))  # above the bar
    recorder = Recorder(run.policy, rolled, settings) if step in run.traced else None
    learned = learn(run.policy, run.optimizer, rolled, settings, recorder)
    metrics = {"step": step, "lr": rate, **learned.metrics, **found}
    metrics |= asked._asdict() if asked else {}
    if recorder:
        run.trace.add_step(recorder.finish(), metrics)
    if settings.refresh_reference and (step + 1) % settings.refresh_reference == 0:
        refresh_reference(run.policy)  # the end of an outer iteration of Algorithm 1
    run.count(metrics, learned.pieces)
    return metrics, rolled


# ---------------------------------------------------------------- the run


class Run:
    """A training run in a folder: its policy, its optimizer, and how far it has come."""

    def __init__(self, settings: Settings):
        """Load everything, change nothing on disk. Raises ValueError, naming the flag, for bad input."""
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.settings, self.out, self.owner = (
            settings,
            Path(settings.out),
            Owner(Path(settings.out)),
        )
        check_installed(settings.report_to)
        self.judge = Judge(settings)
        self.problems, self.eval_problems = both_sides(settings)
        self.judge.try_on(self.problems)
        prompts = [render_prompt(settings.prompt_template, p) for p in self.problems]
        self.policy = load_policy(
            settings.model,
            quant=settings.quant,
            lora_r=settings.lora_r,
            adapter=settings.adapter,
            seed=settings.seed,
            checkpoint_layers=settings.checkpoint_layers,
        )
        self.check_lengths(prompts)
        self.optimizer = make_optimizer(self.policy, settings)
        self.pieces = pieces_of(settings)
        self.step, self.seconds, self.saved_at = 0, Counter(), time.monotonic()
        self.traced = traced_steps(settings) if settings.trace else set()
        self.trace = Trace(Path(settings.trace)) if settings.trace else None
        self.reporter = Reporter(replace(settings, report_to="none"), self.out)  # until it begins

    def check_lengths(self, prompts: list[str]) -> None:
        """Leave out problems with long prompts: see `problems_that_fit`."""
        settings, tokenizer = self.settings, self.policy.tokenizer
        self.eval_problems, lengths = of_an_evaluation(self.eval_problems, settings, tokenizer)
        self.problems = problems_that_fit(
            self.problems,
            token_counts(tokenizer, prompts),
            max_prompt_tokens=settings.max_prompt_tokens,
            max_new_tokens=settings.max_new_tokens,
            context=context_of(self.policy.model.config),
            also=max(lengths, default=0),
        )

    def problems_of(self, step: int) -> list[Problem]:
        """The P problems of a step: the data in an order shuffled anew in each epoch."""
        size, first = len(self.problems), step * self.settings.prompts
        places = range(first, first + self.settings.prompts)
        orders = {epoch: list(range(size)) for epoch in {place // size for place in places}}
        for epoch, order in orders.items():
            random.Random(f"{self.settings.seed}-{epoch}").shuffle(order)
        return [self.problems[orders[place // size][place % size]] for place in places]

    def set_learning_rate(self, step: int) -> float:
        rate = learning_rate(self.settings, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def count(self, metrics: dict, pieces: Pieces) -> None:
        """A step is done: the next one is cut as memory allowed this one."""
        self.step, self.pieces = self.step + 1, pieces
        for verb in ("sample", "verify", "learn"):
            self.seconds[verb] += metrics[f"seconds_{verb}"]

    def save_is_due(self) -> bool:
        """After the last step, and when the last saved state is older than SAVE_SECONDS."""
        return self.step == self.settings.steps or time.monotonic() - self.saved_at > SAVE_SECONDS

    def inputs(self) -> dict[str, str]:
        """Hashes of what decides the run beside its settings, by the setting that names it."""
        settings, config = self.settings, self.policy.model.config
        found = {"model": model_digest(settings.model, config)}
        for name, problems in (("data", self.problems), ("eval_data", self.eval_problems)):
            found[name] = digest([repr(problems).encode()])
        if settings.reward:
            found["reward"] = self.judge.rewards.sha256()
        if settings.adapter:
            found["adapter"] = folder_digest(Path(settings.adapter))
        return found

    def begin(self, *, own_name: bool) -> None:
        """Make the folder, config.json and the state before step 0. own_name: --out did not name it."""
        if self.trace:
            self.trace.check_free()
        self.out = self.owner.begin(self.settings, self.inputs(), own_name=own_name)
        self.settings = replace(self.settings, out=str(self.out))
        self.save()
        self.report()

    def go_on(self) -> None:
        """Back to the last saved state, with metrics.jsonl cut to what it has seen; checked before."""
        shapes = {n: p.shape for n, p in self.adapter().items()}
        state = self.owner.check(self.settings, self.inputs(), shapes, self.policy.device)
        if self.trace:  # its records are read, so a damaged file is found here
            self.trace.go_on(state["step"] if state else 0)
        if state:
            self.restore(state)
        self.owner.go_on(self.settings, state)
        self.report()

    def report(self) -> None:
        """From now on the run's tracker is told of each step."""
        self.reporter = Reporter(self.settings, self.out, self.owner.id, self.step)

    def adapter(self) -> dict[str, torch.Tensor]:
        """What is trained, and a refreshed reference, by name."""
        return {n: p.data for n, p in self.policy.model.named_parameters() if "lora_" in n}

    def save(self) -> None:
        """Write the state from which --resume goes on; a kill at any moment leaves a whole one."""
        self.owner.save(
            {
                "adapter": self.adapter(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "seconds": dict(self.seconds),
            }
        )
        self.saved_at = time.monotonic()

    def restore(self, state: dict) -> None:
        """Take up what `save` wrote."""
        if any(f".{REFERENCE}." in name for name in state["adapter"]):
            refresh_reference(self.policy)  # makes room for the saved one
        here = self.adapter()
        for name, value in state["adapter"].items():
            here[name].copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], Counter(state["seconds"])


# ---------------------------------------------------------------- before and after


def finish(run: Run, measure: bool = True) -> None:
    """Measure base and trained pass@k, write summary.json and curves.png, print the table.

    measure: False leaves pass@k out, which takes minutes on a large model.
    Every batch of completions is logged: stopped in the middle, the resumed run takes up what is there.
    """
    settings = run.settings
    save_adapter(run.policy.model, run.out)
    metrics, comparison, began = read_metrics(run.out), None, time.perf_counter()
    if measure and run.eval_problems:
        comparison = compare_with_base(
            run.policy,
            run.eval_problems,
            settings,
            samples=settings.eval_samples,
            rows=rows_of_a_batch(settings.model),
            judge=run.judge,
            log=evaluation_log(settings, run.eval_problems, run.out, run.step, run.judge),
        )
    evaluation, tiers = comparison and comparison.as_json(), None
    if comparison and settings.eval_data == "puzzles":
        tiers = forks.tiers_before_and_after(
            run.policy, run.eval_problems, settings, settings.eval_samples
        )
    seconds = {**run.seconds, "evaluate": time.perf_counter() - began}
    summary = {
        "settings": asdict(settings),
        "steps_done": run.step,
        "seconds": {verb: round(s, 1) for verb, s in seconds.items()},
        "last_step": metrics[-1] if metrics else None,
        "evaluation": evaluation,
        "tiers": tiers,
    }
    write_whole(run.out / "summary.json", as_json(summary, indent=1) + "\n")
    draw_run(metrics, settings.arm, run.out / "curves.png", evaluation)
    run.reporter.end(evaluation, run.out / "curves.png", run.step)
    if comparison:
        print(comparison.table(SHORT) if settings.table == "full" else comparison.summary())
    if tiers:
        tell(forks.in_words(tiers, settings.eval_samples))
    spent = ", ".join(f"{verb} {s:.0f} s" for verb, s in seconds.items())
    tell(f"{spent}. In {run.out}: adapter/, metrics.jsonl, summary.json, curves.png")
    if run.trace and run.trace.lines:
        folder = run.trace.folder
        tell(f"trace: open {folder / 'trace.html'} in a browser, or python -m watch {folder}")
    healthy = not diagnose(metrics, settings.arm) and not (metrics and metrics[-1]["skipped"])
    print(what_next(settings, run.step, run.problems, run.policy.tokenizer, healthy))


def start(given: Settings) -> Run | None:
    """A new run in a new folder, or the one that --resume names; says on screen which.

    On a GPU the memory is planned first. Returns None after --dry-run.
    """
    if given.resume:
        settings = resumed(given)
        sentence = f"going on with {given.resume}: {settings.model}"
    else:
        settings, sentence = resolve(given)
        if settings.adapter:
            settings = replace(settings, adapter=adapter_in(settings.adapter))
        if not (settings.dry_run or given.out is None):
            refuse_used(Path(settings.out))  # before anything is loaded
    tell(sentence)
    if torch.cuda.is_available():
        keep_to_the_card()
    else:
        tell(f"device: {why_no_gpu()}")
    if settings.dry_run:
        check_at_hand(settings)
    if settings.dry_run or torch.cuda.is_available():
        card = plan.card_bytes(settings)
        if not given.resume:
            settings = plan.fitted(settings, given, card)
        print(plan.report(settings, card))
        print(cost.table(shape_of(settings.model), settings))
        plan.check_fits(settings, card)
    if settings.dry_run:
        return None
    find_model(settings.model)  # first: without it, or a network, nothing else matters
    if not given.resume:
        tokenizer = load_tokenizer(settings.model)
        settings, sentence = with_prompt_template(
            settings, given.prompt_template, tokenizer, EXAMPLES.get(settings.data)
        )
        tell(sentence)
    tell(
        f"arm: {settings.arm}, KL {settings.kl_form} with weight {weights_in_words(settings)}, entropy "
        f"weight {settings.beta:g}{phi_in_words(settings)}; seed {settings.seed}"
    )
    if not is_bundled(settings.model):
        rounded = ", its weights rounded to 4 bits" if settings.quant == "nf4" else ""
        tell(f"loading {settings.model}{rounded}")
    run = Run(settings)
    try:
        if given.resume:
            run.go_on()
            tell(f"state: {run.step} steps done, {settings.steps} wanted")
        else:
            run.begin(own_name=given.out is None)
    except BaseException:
        run.owner.release()
        raise
    if settings.reward:
        tell(
            f"reward: {' + '.join(settings.reward)}; a completion is right here if it is worth "
            f"{settings.right_at:g} or more (--right-at)"
        )
    tell(
        f"data: {len(run.problems)} problems; a step is {settings.prompts} prompts x "
        f"{settings.group_size} completions; run folder: {run.out}"
    )
    return run


def weights_in_words(settings: Settings) -> str:
    """The weight of the KL, for the first lines on the screen."""
    if settings.alpha_right == settings.alpha:
        return f"{settings.alpha:g}"
    return f"{settings.alpha:g} ({settings.alpha_right:g} on right answers)"


def phi_in_words(settings: Settings) -> str:
    """How the reference is flattened, for the first lines on the screen."""
    if not ARMS[settings.arm].reweighted:
        return ""
    said = f", phi {settings.phi} from {settings.phi_min:.3g}"
    if settings.plausible:
        said += f" among plausible tokens ({settings.plausible:g})"
    return said + (f" at forks ({settings.fork_entropy:g} nats)" if settings.fork_entropy else "")


def main(given: Settings) -> int:
    """Train, report; the exit status: 0 done, or stopped once and reported; 1 gave up, out of memory, or
    a file could not be written; 2 bad input; 130 stopped at once."""
    return guarded("rapo_mini", work, given)


def work(given: Settings) -> int:
    """What `main` does while errors of files, the screen and signals are looked after."""
    try:
        run = start(given)
    except ValueError as error:
        print(f"rapo_mini: {error}", file=sys.stderr)
        return 2
    if run is None:
        return 0
    try:
        ending = train(run)
        if ending is not Ending.DONE:
            again = f"; go on with: {go_on_with(run)}" if ending is Ending.STOPPED else ""
            tell(f"step {run.step}: {ending.value}{again}")
        slow = ending is Ending.STOPPED and not is_bundled(run.settings.model)
        if slow and run.eval_problems:
            tell("pass@k is not measured now; this does it:")
            tokenizer = run.policy.tokenizer
            print(f"  {measure_command(run.settings, run.settings.eval_samples, tokenizer)}")
        finish(run, measure=not slow)
        return 1 if ending is Ending.GAVE_UP else 0
    except OutOfPieces as error:
        if run.settings.updates == 1:  # else the adapter may stand amid a step
            run.save()
        save_adapter(run.policy.model, run.out)
        print(f"rapo_mini: {error}; after {run.step} steps: {run.out}/adapter", file=sys.stderr)
        return 1
    except target.TooFlat as error:  # at the first step
        again = f"nothing was learned: delete {run.out}, or give another --out"
        print(f"rapo_mini: {error}; {again}", file=sys.stderr)
        return 2
    except OtherLog as error:
        print(f"rapo_mini: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, OSError, CaptureFailed):
        print(f"\nwhat was finished is kept; go on with: {go_on_with(run)}", file=sys.stderr)
        raise
    finally:
        run.reporter.close()
        run.owner.release()


def go_on_with(run: Run) -> str:
    return f"python rapo_mini.py --resume {run.out}"


if __name__ == "__main__":
    sys.exit(command("rapo_mini", main))
