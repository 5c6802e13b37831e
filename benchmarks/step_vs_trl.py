"""One training step here against one step of TRL's GRPOTrainer, side by side, in one process.

    pip install -r requirements-scale.txt
    python benchmarks/step_vs_trl.py
    python benchmarks/step_vs_trl.py --profile --threads 1     # ours alone: where its time goes

Both train the bundled base: the same prompts in the same order, 8 prompts x 16 completions, the same
longest completion, LoRA on the same layers, the same rewards from verifier.py, a KL to the reference,
and the same CPU threads. They take turns, round by round; a round's first steps do not count. Ours
runs the default arm, rapo; TRL's trainer runs GRPO, which needs the same passes through the model.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from machine.loading import load_tokenizer, lora_config  # noqa: E402
from machine.plan import shape_of  # noqa: E402
from problems import Problem, render_prompt  # noqa: E402
from rapo_mini import Run, train_step  # noqa: E402
from settings import BUNDLED_BASE, Settings, resolve  # noqa: E402
from step import MAX_GRAD_NORM, Rollout  # noqa: E402
from verifier import verify  # noqa: E402


@dataclass(frozen=True)
class Options:
    """Time training steps of rapo-mini and of TRL's GRPOTrainer."""

    rounds: int = 3
    """Turns that each side takes."""
    steps: int = 12
    """Steps per turn that are timed."""
    warm_up: int = 3
    """Steps at the start of each turn that are not."""
    threads: int = 2
    """CPU threads of both."""
    round_seed: int = 0
    """Seed of the first turn; each turn has its own."""
    profile: bool = False
    """Only ours: its operators, and its share of what the arithmetic alone would take."""


def our_seconds(settings: Settings, options: Options) -> tuple[list[float], float]:
    """Seconds of each timed step, and the mean completion length in tokens."""
    run = Run(settings)
    seconds, lengths = [], []
    for step in range(options.warm_up + options.steps):
        began = time.perf_counter()
        metrics, _ = train_step(run)
        if step >= options.warm_up:
            seconds.append(time.perf_counter() - began)
            lengths.append(metrics["completion_tokens"])
    return seconds, statistics.mean(lengths)


def trl_seconds(settings: Settings, options: Options) -> tuple[list[float], float]:
    """The same of TRL's GRPOTrainer: from the end of one step to the end of the next."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    class Clock(TrainerCallback):
        def __init__(self):
            self.ends, self.lengths = [], []

        def on_step_end(self, *_args, **_kwargs):
            self.ends.append(time.perf_counter())

        def on_log(self, *_args, logs=None, **_kwargs):
            if logs and "completions/mean_length" in logs:
                self.lengths.append(logs["completions/mean_length"])

    def reward(completions: list[str], answer: list[str], **_columns) -> list[float]:
        return [verify(text, gold).reward for text, gold in zip(completions, answer, strict=True)]

    run = Run(settings)  # for the same problems in the same order
    steps = options.warm_up + options.steps
    problems: list[Problem] = [p for step in range(steps) for p in run.problems_of(step)]
    rows = [
        {"prompt": render_prompt(settings.prompt_template, p), "answer": p.answer} for p in problems
    ]
    clock, batch = Clock(), settings.prompts * settings.group_size
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=str(BUNDLED_BASE),
            processing_class=load_tokenizer(str(BUNDLED_BASE)),
            reward_funcs=reward,
            train_dataset=Dataset.from_list(rows),
            peft_config=lora_config(settings.lora_r),
            callbacks=[clock],
            args=GRPOConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=False,
                max_steps=steps,
                per_device_train_batch_size=batch,
                gradient_accumulation_steps=1,
                num_generations=settings.group_size,
                max_completion_length=settings.max_new_tokens,
                temperature=settings.temperature,
                beta=settings.alpha,
                learning_rate=settings.lr,
                lr_scheduler_type="constant_with_warmup",
                warmup_steps=10,
                max_grad_norm=MAX_GRAD_NORM,
                gradient_checkpointing=False,
                shuffle_dataset=False,
                logging_steps=1,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
                seed=settings.seed,
                model_init_kwargs={"dtype": "float32"},
            ),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    seconds = [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)]
    return seconds[options.warm_up - 1 :], statistics.mean(clock.lengths[options.warm_up :])


def profile(settings: Settings, options: Options) -> str:
    """Where our step's time goes, as a Markdown table, and the least that its products could take.

    The least: two operations for each weight of the linear layers and each token that must pass, at the
    speed of one large product here (`passes`). Attention, LoRA's gradients and the head are not in it.
    Both are in seconds of the processor, which another program disturbs less than the clock's.
    """
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorded

    run = Run(settings)
    spent = []
    for _ in range(options.warm_up + options.steps):
        began = time.process_time()
        train_step(run)
        spent.append(time.process_time() - began)
    with recorded(activities=[ProfilerActivity.CPU]) as found:
        tokens = [passes(train_step(run)[1]) for _ in range(options.steps)]
    rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    lines = ["| operator | share of the step | calls a step |", "|---|---|---|"]
    for row in rows[:12]:
        name, share = row.key.removeprefix("aten::"), row.self_cpu_time_total / total
        lines.append(f"| {name} | {share:.1%} | {row.count / options.steps:.0f} |")
    shape = shape_of(settings.model)
    weights = shape.layers * sum(out * into for out, into in shape.linears())
    least = 2 * weights * statistics.mean(tokens) / operations_a_second()
    seconds = total / 1e6 / options.steps
    lines.append(
        f"\n{seconds:.3f} s a step; its products alone {least:.3f} s, {least / seconds:.0%}"
    )
    return "\n".join(lines)


def passes(rolled: Rollout) -> int:
    """The passes of a token through the model that a step cannot do without.

    Sampling: each prompt once, and every completion. Learning, three times (reference, policy, gradients
    of the activations): each prompt once, and each completion of it once, however often it was drawn.
    """
    prompts, mask = int(rolled.prompt_mask.sum()), rolled.completions.mask
    group_size = len(mask) // len(rolled.problems)
    distinct = {
        (row // group_size, *tokens[real.bool()].tolist())
        for row, (tokens, real) in enumerate(zip(rolled.completions.tokens, mask, strict=True))
    }
    once = sum(len(tokens) for _, *tokens in distinct)
    return prompts + int(mask.sum()) + 3 * (prompts + once)


def operations_a_second() -> float:
    """Of the processor, in a product of 1024 x 1024 matrices, the best of some."""
    a, times = torch.randn(1024, 1024), []
    for _ in range(20):
        began = time.process_time()
        a @ a
        times.append(time.process_time() - began)
    return 2 * 1024**3 / min(times)


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    if options.profile:
        given = Settings(seed=options.round_seed, model=str(BUNDLED_BASE), out="-")
        print(profile(resolve(given)[0], options))
        return
    rounds: dict[str, list[float]] = {"rapo-mini": [], "TRL": []}
    for turn in range(options.rounds):
        seed = options.round_seed + turn
        given = Settings(seed=seed, model=str(BUNDLED_BASE), threads=options.threads, out="-")
        settings, _ = resolve(given)
        for name, measure in (("rapo-mini", our_seconds), ("TRL", trl_seconds)):
            seconds, length = measure(settings, options)
            rounds[name].append(statistics.median(seconds))
            print(
                f"round {turn}: {name:<10} median {statistics.median(seconds):.3f} s a step "
                f"(least {min(seconds):.3f}, most {max(seconds):.3f}), {length:.1f} tokens a completion"
            )
    medians = {name: statistics.median(values) for name, values in rounds.items()}
    ratios = [a / b for a, b in zip(*rounds.values(), strict=True)]
    import transformers
    import trl

    print(
        f"trl {trl.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"
    )
    print(f"median step: rapo-mini {medians['rapo-mini']:.3f} s, TRL {medians['TRL']:.3f} s")
    print(
        f"ratio rapo-mini / TRL: {statistics.median(ratios):.2f} "
        f"(rounds: {', '.join(f'{r:.2f}' for r in ratios)})"
    )


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
