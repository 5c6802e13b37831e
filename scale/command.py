"""Behind `python -m scale`: a run of `RAPOTrainer` with the settings of rapo_mini.py.

    python -m scale --steps 50
    accelerate launch --config_file scale/ddp.yaml -m scale --data gsm8k

Under `accelerate launch` every process runs this file; `--prompts`, `--group-size` and `--steps` count
over all of them, and the main process alone prints and writes.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from pathlib import Path

import torch

from machine.chat import with_prompt_template
from machine.loading import load_base, load_tokenizer, lora_config, with_saved_lora
from machine.shapes import context_of
from policy import Policy
from problems import (
    EXAMPLES,
    Judge,
    is_split,
    problems_that_fit,
    render_prompt,
    token_counts,
    training_problems,
)
from scale.options import Options, TrainerCallback, check_options, config_of, need_trl
from scale.trainer import RAPOTrainer
from settings import learning_rate, resolve
from watch.command_line import resumed
from watch.lock import locked
from watch.run_folder import cut_metrics, name_base, save_config
from watch.trackers import check_installed


def training_rows(settings: Options, tokenizer, context: int, judge: Judge):
    """The training problems as a `datasets.Dataset`: prompt, answer, and for --reward all there is.

    context: the model's, in tokens. Raises ValueError as `problems_that_fit` does.
    """
    from datasets import Dataset

    split = is_split(settings)  # as rapo_mini.py: so pass_at_k.py finds problems that were held out
    problems = training_problems(settings, "train" if split else "both")
    if not problems:
        raise ValueError(f"{settings.data} has no problem to train on (--data)")
    prompts = [render_prompt(settings.prompt_template, p) for p in problems]
    kept = problems_that_fit(
        problems,
        token_counts(tokenizer, prompts),
        max_prompt_tokens=settings.max_prompt_tokens,
        max_new_tokens=settings.max_new_tokens,
        context=context,
    )
    judge.try_on(kept)
    rows = [judge.row(p) for p in kept]
    if not settings.reward:  # the verifier needs no more
        rows = [{name: row[name] for name in ("prompt", "answer")} for row in rows]
    return Dataset.from_list(rows)


class MetricsLog(TrainerCallback):
    """Writes what TRL logs at each step to metrics.jsonl; the main process does it."""

    def __init__(self, path: Path):
        self.path = path

    def on_log(self, args, state, control, logs: dict | None = None, **_others):
        if state.is_world_process_zero and "reward" in logs:
            with self.path.open("a") as log:
                log.write(json.dumps({"step": state.global_step - 1, **logs}) + "\n")


def make_trainer(settings: Options) -> tuple[RAPOTrainer, Options]:
    """The run's trainer, and its settings with the folder that all processes have agreed on."""
    from accelerate.utils import broadcast_object_list

    config = config_of(settings, int(os.environ.get("WORLD_SIZE", 1)))  # the processes meet here
    (out,) = broadcast_object_list([settings.out])  # it has the time in its name
    config.output_dir, settings = out, replace(settings, out=out)
    model, tokenizer = load_base(settings.model, settings.quant)
    model.generation_config.eos_token_id = Policy(model, tokenizer, settings.quant).end_ids
    lora = lora_config(settings.lora_r)
    judge = Judge(settings)
    rows = training_rows(settings, tokenizer, context_of(model.config), judge)
    if settings.adapter:
        model, lora = with_saved_lora(model, settings.adapter, settings.model), None
    trainer = RAPOTrainer(
        model,
        judge.rewards.as_trl() if settings.reward else None,
        args=config,
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=lora,
        rate=lambda update: learning_rate(settings, update // settings.updates) / settings.lr,
        callbacks=[MetricsLog(Path(out) / "metrics.jsonl")],
    )
    return trainer, settings


def last_checkpoint(out: Path) -> tuple[Path | None, int]:
    """The newest complete checkpoint (its last file is there), and how many updates it has seen."""
    states = out.glob("checkpoint-*/trainer_state.json")
    found = ((s.parent, int(s.parent.name.split("-")[1])) for s in states)
    return max(found, key=lambda pair: pair[1], default=(None, 0))


def main(given: Options) -> int:
    """Train, save the adapter; the exit status (0 finished, 2 bad input). The main process prints."""
    others = int(os.environ.get("RANK", 0)) > 0
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere if others else sys.stdout):
        return train(given)


def train(given: Options) -> int:
    """`main`, whatever this process prints."""
    owner = ExitStack()  # of the run's folder, to the end of the block below
    try:
        need_trl()
        if given.resume:
            settings, sentence = resumed(given), f"going on with {given.resume}"
        else:
            settings, sentence = resolve(given)
            check_options(given, settings)
            tokenizer = load_tokenizer(settings.model)
            settings, prompt = with_prompt_template(
                settings, given.prompt_template, tokenizer, EXAMPLES.get(settings.data)
            )
            sentence += f"; {prompt}"
        check_installed(settings.report_to)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        trainer, settings = make_trainer(settings)
        out, writes = Path(settings.out), trainer.accelerator.is_main_process
        if writes:
            out.mkdir(parents=True, exist_ok=True)
            owner.enter_context(locked(out))
    except (ValueError, ImportError) as error:
        print(f"scale: {error}", file=sys.stderr)
        return 2
    print(f"{sentence}; {trainer.accelerator.num_processes} processes; run folder: {out}")
    checkpoint, updates = last_checkpoint(out) if given.resume else (None, 0)
    with owner:
        if writes:
            save_config(settings, out)
            cut_metrics(out, updates)
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        trainer.save_model(str(out / "adapter"))
        if writes:
            name_base(out / "adapter")
    return 0
