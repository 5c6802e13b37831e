"""The model card of an adapter: what it was trained for, what was measured, how to load it.

Every number is read from the run's summary.json and every setting from its config.json.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path

from problems import Problem, render_prompt, reward_digest, reward_terms
from settings import Settings, flag, is_bundled, resolve
from use.trained import Trained, inputs_of_run

BUNDLED_LICENCE = "mit"
ADAPTER_FOLDER = "adapter"  # where the base is in the repository too
NO_CHOICE = {
    "report_to",
    "table",
    "model",
    "out",
    "resume",
    "trace",
    "trace_at",
    "dry_run",
    "gpu_memory",
    "show_every",
}
DECISIVE = ("model", "arm", "alpha", "phi", "kl_form", "data")  # others follow from these
PATHS = ("data", "eval_data", "data_dir", "adapter", "reward")


@dataclass(frozen=True)
class Base:
    """The base that an adapter belongs to, as others know it."""

    hub_id: str | None  # None: it travels with the adapter, in the folder `name`
    name: str
    licence: str | None


def card(trained: Trained, base: Base, name: str, *, curves: bool) -> str:
    """README.md of the repository `name`: YAML that the hub reads, then Markdown.

    curves: is there a picture?
    """
    from huggingface_hub import ModelCardData

    evaluation = summary_of(trained).get("evaluation")
    data = ModelCardData(
        base_model=base.hub_id,
        library_name="peft",
        pipeline_tag="text-generation",
        license=base.licence,
        tags=["lora", "rapo", "rlvr", "rapo-mini"],
        model_name=name if evaluation else None,
        eval_results=results_for_hub(trained, evaluation) if evaluation else None,
    )
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {name}",
        introduction(trained, base),
    ]
    if trained.settings.reward:
        parts += ["## What it was rewarded for", rewards(trained)]
    parts += ["## What was measured", table(trained, evaluation)]
    if curves:
        parts.append("![Reward, entropy, KL and pass@k of the run](curves.png)")
    parts += ["## How to load it", how_to_load(trained, base, name)]
    parts += ["## How it was made", how_it_was_made(trained)]
    parts += ["## Licence", licence(base)]
    return "\n\n".join(parts) + "\n"


def summary_of(trained: Trained) -> dict:
    """summary.json of the run; {} where there is none. Raises ValueError if it is damaged."""
    path = trained.folder and trained.folder / "summary.json"
    if not (path and path.exists()):
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no summary of a run: {error} (RUN)") from error


# ---------------------------------------------------------------- the parts of the card


def introduction(trained: Trained, base: Base) -> str:
    settings = trained.settings
    what = "the bundled base of rapo-mini" if base.hub_id is None else f"`{base.name}`"
    if trained.folder is None:
        return f"A LoRA adapter on {what}."
    task = "next-term puzzles such as `What comes next: 2, 5, 8, 11?`"
    if settings.data != "puzzles":
        task = f"the problems of `{outside(settings.data)}`"
    reward = "a completion is rewarded if its final answer is right"
    if settings.reward:
        reward = "a completion is rewarded by functions of the run's own, named below"
    return (
        f"A LoRA adapter on {what}, trained by reinforcement learning with verifiable rewards on {task}: "
        f"{reward}. Method: `{settings.arm}`, "
        f"{trained_steps(trained)} steps of {settings.prompts} prompts x {settings.group_size} "
        "completions. RAPO is [arXiv 2510.03865](https://arxiv.org/abs/2510.03865)."
    )


def rewards(trained: Trained) -> str:
    """The run's own reward: each function with its weight and its file's hash.

    The files stay where they are. The hash is that of the file that was trained with, or it is said
    that the file has changed since, or is gone.
    """
    terms = reward_terms(trained.settings.reward)
    lines = ["| function | weight | SHA-256 of its file |", "|---|---|---|"]
    for term in terms:
        name = f"`{outside(term.name)}`" + (" (the built-in verifier)" if term.file is None else "")
        sha256 = "" if term.file is None else term.sha256 or "the file is not there any more"
        lines.append(f"| {name} | {term.weight:g} | {sha256} |")
    began = inputs_of_run(trained.folder).get("reward")
    said = (
        "The reward of a completion is the weighted sum. The files are not part of this repository."
    )
    if began and began != reward_digest(terms):
        said += (
            " They are not as they were when the run began: then the SHA-256 of the names, the weights "
            f"and the files' SHA-256, a line each, was {began}."
        )
    return "\n".join(lines) + "\n\n" + said


def trained_steps(trained: Trained) -> int:
    return summary_of(trained).get("steps_done", trained.settings.steps)


def table(trained: Trained, evaluation: dict | None) -> str:
    """pass@k of base and trained with 95% intervals; Full alone, the split that needs no explanation."""
    if not evaluation:
        return "Nothing was measured."
    lines = ["| k | base | trained | trained - base |", "|---|---|---|---|"]
    for k, splits in evaluation["pass_at_k"].items():
        row = splits["full"]
        gap = row["difference"]
        lines.append(
            f"| {k} | {interval(row['base'])} | {interval(row['trained'])} | "
            f"{gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}] |"
        )
    settings = trained.settings
    solved = "solved"
    if settings.reward:
        solved = f"that get a reward of at least {settings.right_at:g}"
    said = (
        f"pass@k, the share of problems {solved} in k attempts, on {evaluation['problems']} problems of "
        f"`{outside(settings.eval_data)}` that were not trained on, {evaluation['samples']} completions "
        f"each at temperature {settings.temperature:g}; in brackets 95% intervals over problems. "
        f"One seed: {settings.seed}."
    )
    return "\n".join(lines) + "\n\n" + said


def interval(estimate: dict) -> str:
    return f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def results_for_hub(trained: Trained, evaluation: dict) -> list:
    """The trained policy's pass@k, in the form that the hub shows beside the card."""
    from huggingface_hub import EvalResult

    data = outside(trained.settings.eval_data)
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=data,
            dataset_name=data,
            metric_type=f"pass@{k}",
            metric_value=round(splits["full"]["trained"]["mean"], 4),
        )
        for k, splits in evaluation["pass_at_k"].items()
    ]


def how_to_load(trained: Trained, base: Base, name: str) -> str:
    """Four lines of transformers and PEFT, and the prompt that was trained on.

    An adapter that was trained on a base in 4 bits is loaded onto that, for there it was measured.
    """
    inside = beside = ""
    if base.hub_id is None:
        inside, beside = f', subfolder="{base.name}"', f', subfolder="{ADAPTER_FOLDER}"'
    source = name if base.hub_id is None else base.hub_id
    question = "What comes next: 2, 5, 8, 11?" if base.hub_id is None else "What is 12 + 30?"
    prompt = render_prompt(trained.settings.prompt_template, Problem(question, ""))
    imports, weights, bits = "AutoModelForCausalLM, AutoTokenizer", "", ""
    if trained.settings.quant == "nf4":
        imports += ", BitsAndBytesConfig"
        bits = (
            '\nbits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", '
            "bnb_4bit_use_double_quant=True)  # as it was trained"
        )
        weights = ", quantization_config=bits"
    return f"""```python
from peft import PeftModel
from transformers import {imports}
{bits}
tokenizer = AutoTokenizer.from_pretrained("{source}"{inside})
base = AutoModelForCausalLM.from_pretrained("{source}"{inside}{weights})
model = PeftModel.from_pretrained(base, "{name}"{beside})
```

It was trained on prompts of this form; sample at temperature {trained.settings.temperature:g}:

```python
prompt = {json.dumps(prompt)}
ids = tokenizer(prompt, return_tensors="pt").input_ids
out = model.generate(input_ids=ids, do_sample=True, max_new_tokens={trained.settings.max_new_tokens})
print(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
```"""


def how_it_was_made(trained: Trained) -> str:
    if trained.folder is None:
        return "The adapter came without the folder of its run."
    return f"With rapo-mini, seed {trained.settings.seed}:\n\n    {command_of(trained)}"


def licence(base: Base) -> str:
    if base.licence is None:
        return f"See the page of `{base.name}`: its licence binds what is made from it."
    return f"`{base.licence}`, that of the base."


# ---------------------------------------------------------------- the command


def outside(value: str) -> str:
    """A set's name as it is, of a file of this disk the last part of its path."""
    return Path(value).name if Path(value).is_absolute() or Path(value).exists() else value


def command_of(trained: Trained) -> str:
    """The command that makes such a run: the flags that differ from what the program chooses itself."""
    settings = trained.settings
    decisive = {name: getattr(settings, name) for name in DECISIVE}
    chosen, _ = resolve(Settings(**decisive))  # what the rest would be beside these
    plain, _ = resolve(Settings(model=settings.model, arm=settings.arm))  # and what these would be
    plain = replace(plain, arm=Settings.arm)
    model = "tiny_base" if is_bundled(settings.model) else outside(settings.model)
    words = ["python", "rapo_mini.py", "--model", model]
    for field in fields(Settings):
        value = getattr(settings, field.name)
        default = getattr(plain if field.name in decisive else chosen, field.name)
        of_phi = field.name == "phi_min" and settings.phi != "linear"  # not a choice then
        if value is None or value == default or field.name in NO_CHOICE or of_phi:
            continue
        name = flag(field.name)
        if isinstance(field.default, bool):  # a switch; where None is a third choice it has a value
            words.append(name if value else name.replace("--", "--no-", 1))
            continue
        for one in value if isinstance(value, tuple) else [value]:  # a flag that may be given again
            words += [name, outside(str(one)) if field.name in PATHS else str(one)]
    return shlex.join(words)
