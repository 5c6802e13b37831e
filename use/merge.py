"""Merge an adapter into the weights of its base: a model as any other, that needs no PEFT.

W + scale * B A takes the place of W in each linear layer, and is rounded once, to 16 bits. For a base in
4 bits there are two weights W that the product may be added to:

    --onto trained     the 4-bit weights, written out: what the adapter was trained on, and the model that
                       pass@k has measured
    --onto original    the base as it was before it was rounded to 4 bits: the adapter never saw it

Neither is taken on trust: the merged folder is loaded as anybody would load it, and its log-probs are
held against those of the adapter on its base, on completions that the trained policy has sampled.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
import tyro
from torch import Tensor, nn

from machine.gguf import folder_of
from machine.loading import load_base, load_tokenizer, name_the_cap, with_saved_lora
from policy import sampling_weights
from problems import Problem, both_sides
from settings import Settings
from step import prompts_of, sample_groups
from use.folder import refuse_used, written_whole
from use.trained import Trained, find, load
from watch.terminal import harmless, tell

MOST_TOKENS = 256  # of a completion that is measured
PROBLEMS = [  # where the run's own problems cannot be had
    Problem("What comes next: 2, 5, 8, 11?", "14"),
    Problem("What comes next: 3, 6, 12, 24?", "48"),
    Problem("What is 12 + 30?", "42"),
    Problem("Solve 2x + 6 = 20 for x.", "7"),
]
TOKENIZER_FILES = ("*token*.json", "*tokenizer.py", "vocab*", "merges.txt", "chat_template*")


@dataclass(frozen=True)
class Merge:
    """Write base and adapter as one model, in 16-bit safetensors, and measure what it lost."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run, runs/my-run, or of its adapter."""
    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The folder to write: a new one."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Of the weights that are written."""
    onto: Literal["trained", "original"] = "trained"
    """Of a 4-bit base: the weights that were trained on, or those before they were rounded to 4 bits."""
    completions: int = 8
    """Completions on which the difference is measured; 0: not at all."""
    model: str | None = None
    """Where the base is now. None: where the run had it."""
    quant: Literal["nf4", "none"] | None = None
    """Base weights in 4 bits or as they are. None: as the run had them."""
    threads: int | None = None
    """CPU threads. None: as the run had them."""


class Measured(NamedTuple):
    """Some completions, and what the adapter on its base thinks of them."""

    rows: list[Tensor]  # ids of a prompt and its completion, (L + T,) each
    lengths: list[int]  # T: how many of them are the completion's
    logp: Tensor  # (N,) log-prob of each of the N sampled tokens, nats


class Difference(NamedTuple):
    """|log p merged - log p adapter on base| over N sampled tokens, nats."""

    mean: float
    largest: float
    tokens: int


def merge(asked: Merge) -> Difference | None:
    """Write the merged model into asked.out, whole or not at all; the difference that was measured.

    Raises ValueError, naming the argument or the flag, for bad input, before any weights are loaded.
    """
    out = Path(asked.out)
    refuse_used(out, "OUT")
    if not 0 <= asked.completions <= 1024:
        raise ValueError(f"--completions {asked.completions} must lie between 0 and 1024")
    same = ("model", "quant", "threads")
    trained = find(asked.run, **{name: getattr(asked, name) for name in same})
    if asked.onto == "original" and trained.settings.quant == "none":
        raise ValueError(
            "--onto original has a meaning for a base in 4 bits only (--quant nf4): the adapter in "
            f"{asked.run} was trained on the weights as they are"
        )
    print(f"merging {harmless(asked.run)} into {harmless(str(out))}", flush=True)
    before = measured(trained, asked.completions)
    with written_whole(out, "OUT") as folder:
        model = merged(trained, asked.onto)
        save(model, getattr(torch, asked.dtype), folder)
        del model
        copy_tokenizer(trained.settings.model, folder)
        found = difference(folder, before, trained.settings.model) if before else None
    size = sum(p.stat().st_size for p in out.glob("*.safetensors"))
    print(f"merged: {harmless(str(out))}, {size / 1e6:,.1f} MB in {asked.dtype}")
    if found:
        tell(
            f"|log p of the merged model - log p of the adapter on its base|, over {found.tokens} "
            f"sampled tokens: mean {found.mean:.2g}, at most {found.largest:.2g} nats"
        )
    return found


# ---------------------------------------------------------------- the weights


def merged(trained: Trained, onto: str) -> nn.Module:
    """The base with W + scale * B A in the place of each W, in the dtype it was loaded in."""
    settings = trained.settings
    device = "cuda" if torch.cuda.is_available() else "cpu"
    quant = settings.quant if onto == "trained" else "none"
    base, _ = load_base(settings.model, quant, device)
    if quant == "nf4":
        logging.getLogger("transformers.integrations.bitsandbytes").setLevel(logging.ERROR)
        base.train()  # in eval mode bitsandbytes packs 4-bit weights for the CPU, and they stay packed
        base = base.dequantize()
    return with_saved_lora(base, trained.adapter, settings.model).merge_and_unload().eval()


def save(model: nn.Module, dtype: torch.dtype, folder: Path) -> None:
    """Round the weights once and write them. Raises ValueError for a number too large for dtype."""
    for name, weight in model.named_parameters():
        weight.requires_grad_(False)
        weight.data = weight.data.to(dtype)
        if not bool(torch.isfinite(weight).all()):
            raise ValueError(f"{name} has numbers that {dtype} cannot hold: --dtype bfloat16")
    model.config.dtype = dtype
    name_the_cap(model)
    model.save_pretrained(folder)


def copy_tokenizer(model: str, folder: Path) -> None:
    """The base's tokenizer, file by file, as it is: a tokenizer that is read and saved may be another."""
    source = Path(folder_of(model))
    if not source.is_dir():
        from huggingface_hub import snapshot_download

        source = Path(snapshot_download(model, allow_patterns=list(TOKENIZER_FILES)))
    for path in sorted({p for pattern in TOKENIZER_FILES for p in source.glob(pattern)}):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


# ---------------------------------------------------------------- what was lost


def measured(trained: Trained, completions: int) -> Measured | None:
    """Completions that the trained policy samples, and their log-probs under the adapter on its base."""
    if not completions:
        return None
    policy, settings = load(trained), trained.settings
    problems = problems_of(settings)[: min(completions, len(PROBLEMS))]
    prompts, mask = prompts_of(policy, problems, settings)  # (P, L)
    room = policy.model.config.max_position_embeddings - prompts.shape[1]
    limit = max(1, min(settings.max_new_tokens, MOST_TOKENS, room))
    each = -(-completions // len(problems))
    with sampling_weights(policy) as model:
        drawn, _ = sample_groups(
            policy,
            model,
            (prompts, mask),
            replace(settings, max_new_tokens=limit),
            group_size=each,
            rows_at_once=settings.sample_rows or each,
            generator=torch.Generator().manual_seed(0),
        )
    rows, lengths = [], []
    for b in range(completions):
        prompt = prompts[b // each][mask[b // each].bool()]
        completion = drawn.tokens[b][drawn.mask[b].bool()]
        rows.append(torch.cat([prompt, completion]).cpu())
        lengths.append(len(completion))
    with torch.no_grad():
        return Measured(rows, lengths, log_probs(policy.model, rows, lengths))


def problems_of(settings: Settings) -> list[Problem]:
    """The problems that the run was measured on; where they cannot be had any more, four of ours."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            training, held_out = both_sides(settings)
    except ValueError:
        return PROBLEMS
    return held_out or training


def log_probs(model: nn.Module, rows: list[Tensor], lengths: list[int]) -> Tensor:
    """log p of the last `lengths` tokens of each row, in float32: (N,)."""
    device, found = next(model.parameters()).device, []
    for row, length in zip(rows, lengths, strict=True):
        ids = row[None].to(device)  # (1, L + T)
        logits = model(input_ids=ids, logits_to_keep=length + 1).logits[0, :-1]  # (T, V)
        logp = torch.log_softmax(logits.float(), dim=-1)
        found.append(logp.gather(-1, ids[0, -length:, None])[:, 0].cpu())
    return torch.cat(found)


def difference(folder: Path, before: Measured, base: str) -> Difference:
    """The merged folder against the adapter on its base, loaded as anybody would load it.

    Says so if AutoTokenizer makes other tokens of a text than those that were trained on.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gc.collect()  # the models before this one
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer, trained_on = AutoTokenizer.from_pretrained(folder), load_tokenizer(base)
    texts = [trained_on.decode(row) for row in before.rows]
    if any(tokenizer.encode(text) != trained_on.encode(text) for text in texts):
        tell(
            "AutoTokenizer makes other tokens of a text than those that were trained on: load this "
            "model's tokenizer with PreTrainedTokenizerFast.from_pretrained"
        )
    with torch.no_grad():
        logp = log_probs(model.to("cuda" if torch.cuda.is_available() else "cpu"), *before[:2])
    gap = (logp - before.logp).abs()  # (N,)
    return Difference(float(gap.mean()), float(gap.max()), len(gap))
