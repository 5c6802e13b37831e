"""Make the bundled base model: a 0.8 M parameter Qwen2 that knows every rule and tries few of them.

    python tiny_base/pretrain.py            # under 40 minutes on two CPU cores; resumes if killed

RAPO is about what a base model can do but hardly ever does. So this base is given that defect on
purpose, by the texts it learns from (all of this is ours, none of it the paper's). A text is a puzzle and
one attempt at it, of three sorts:

* "What comes next by mirror: ...?" names the rule, and the attempt carries it out: the model learns to
  CARRY OUT every rule, the rarest too.
* "Name the rule: ...?" is answered by the name of the right rule and nothing else: the model learns to
  RECOGNISE every rule. (A base that went on and carried it out here was too easily unlocked: training had
  only to turn one question into the other. With it RAPO went from 0.18 to 0.80 at k = 1 in 200 steps and
  found the hidden rules within 100.)
* "What comes next: ...?", the only sort that a student ever asks, is answered by a rule of the model's
  own choice: the right one with the probability `RIGHT_RULE` of that kind, else a wrong one by a skewed
  prior. So the model learns to CHOOSE the right rule half the time for common kinds, a few times in a
  hundred for rare ones, in a thousand for very rare ones and in ten thousand for hidden ones.

Only the attempt carries loss, not the question. Only puzzles of the train split are ever seen.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from tqdm import trange
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from worlds.puzzles import RULES, draw_puzzle, question, worked_answer  # noqa: E402

RIGHT_RULE = {
    "common difference": 0.5,
    "common ratio": 0.55,
    "growing difference": 0.55,
    "alternating step": 0.10,
    "cubes plus constant": 0.07,
    "cycle of three": 0.06,
    "double and add": 0.008,
    "sum of two": 0.006,
    "sum of three": 0.006,
    "mirror": 0.0006,
    "halving step": 0.0001,
}
WRONG_RULE_WEIGHT = {
    "common difference": 0.34,
    "common ratio": 0.29,
    "growing difference": 0.27,
    "alternating step": 0.04,
    "cubes plus constant": 0.02,
    "cycle of three": 0.02,
    "double and add": 0.0008,
    "sum of two": 0.0006,
    "sum of three": 0.0006,
    "mirror": 0.00006,
    "halving step": 0.00001,
}
RULE_GIVEN, NAME_THE_RULE = 0.30, 0.15  # shares of these texts; the rest choose their rule
TOKEN = r"\\boxed\{|, |\. |: | ?[A-Za-z]+|\s|."  # a word with its space, a digit, a sign


@dataclass(frozen=True)
class Settings:
    """Pretraining of the bundled base model."""

    steps: int = 3000  # optimizer steps
    batch: int = 128  # texts per step
    lr: float = 3e-3  # peak learning rate of AdamW, cosine to a tenth of it
    hidden: int = 128  # width
    layers: int = 4  # depth
    seed: int = 0  # of the weights and of the texts
    out: Path = HERE  # where the model goes
    work: Path = HERE / "pretrain_work"  # checkpoint and log; a run killed at any moment goes on
    threads: int = 2  # CPU threads


def write_text(rng: random.Random) -> tuple[str, str]:
    """One training text: (question with its line end, attempt)."""
    kind = rng.choice(list(RULES))
    terms = draw_puzzle(rng, kind, "train")
    asked, tried = "What comes next", kind
    sort = rng.random()
    if sort < RULE_GIVEN:
        asked = f"What comes next by {kind}"
    elif sort < RULE_GIVEN + NAME_THE_RULE:
        return question(terms, "Name the rule") + "\n", kind
    elif rng.random() >= RIGHT_RULE[kind]:
        others = {name: weight for name, weight in WRONG_RULE_WEIGHT.items() if name != kind}
        tried = rng.choices(list(others), list(others.values()))[0]
    return question(terms, asked) + "\n", worked_answer(tried, terms, rng)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Words, digits and signs, each one token; decoding gives back the exact text."""
    rng = random.Random("vocabulary")
    seen = {
        token
        for _ in range(20_000)
        for text in write_text(rng)
        for token in re.findall(TOKEN, text)
    }
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<unk>", *sorted(seen)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(TOKEN), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=256,
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save it so that AutoTokenizer, too, reads tokenizer.json as it is.

    For model_type qwen2 AutoTokenizer takes Qwen's own class, whatever tokenizer_class says, unless the
    config has an auto_map: then tokenizer_class holds, or with trust_remote_code the class in auto_map.
    """
    tokenizer.save_pretrained(folder)
    path = Path(folder) / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config["auto_map"] = {"AutoTokenizer": [None, "word_tokenizer.WordTokenizer"]}
    config = {k: v for k, v in config.items() if k not in ("is_local", "local_files_only")}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    code = (HERE / "word_tokenizer.py").read_text(encoding="utf-8")
    (Path(folder) / "word_tokenizer.py").write_text(code, encoding="utf-8")


def make_model(settings: Settings, tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    torch.manual_seed(settings.seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden,
            intermediate_size=3 * settings.hidden,
            num_hidden_layers=settings.layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            use_cache=True,
        )
    )


def make_batch(settings: Settings, tokenizer: PreTrainedTokenizerFast, step: int) -> list:
    """The (ids, labels) of one step, each (texts, length), cut into four by length to pad less.

    Seeded by the step alone, so that a resumed run sees the texts that it would have seen.
    """
    rng = random.Random(f"{settings.seed}-{step}")
    rows = []
    for _ in range(settings.batch):
        asked, attempt = (tokenizer.encode(text) for text in write_text(rng))
        rows.append((len(asked), asked + attempt + [tokenizer.eos_token_id]))
    rows.sort(key=lambda row: len(row[1]))
    parts = []
    quarter = -(-len(rows) // 4)
    for start in range(0, len(rows), quarter):
        some = rows[start : start + quarter]
        shape = len(some), max(len(row) for _, row in some)
        ids = torch.full(
            shape, tokenizer.pad_token_id
        )  # padded on the right: causal, no mask needed
        labels = torch.full(shape, -100)  # -100 carries no loss
        for i, (asked_length, row) in enumerate(some):
            ids[i, : len(row)] = torch.tensor(row)
            labels[i, asked_length : len(row)] = ids[i, asked_length : len(row)]
        parts.append((ids, labels))
    return parts


def save_atomically(state: dict, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    settings.work.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    model = make_model(settings, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, settings.steps, pct_start=0.05, div_factor=25, final_div_factor=1
    )
    checkpoint, first, seconds = settings.work / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first, seconds = state["step"], state["seconds"]
        print(f"going on from step {first} of {checkpoint}")

    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens in the vocabulary")
    began = time.monotonic()
    bar = trange(first, settings.steps, initial=first, total=settings.steps, mininterval=5)
    for step in bar:
        parts = make_batch(settings, tokenizer, step)
        tokens = sum((labels != -100).sum() for _, labels in parts)
        loss = 0.0  # nats per token of the attempts
        for ids, labels in parts:
            part = model(input_ids=ids, labels=labels, num_items_in_batch=tokens).loss
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss:.3f}")
            with (settings.work / "log.jsonl").open("a") as log:
                log.write(json.dumps({"step": step, "loss": round(loss, 4)}) + "\n")
        if (step + 1) % 250 == 0 or step + 1 == settings.steps:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "step": step + 1,
                "seconds": seconds + time.monotonic() - began,
            }
            save_atomically(state, checkpoint)
    model.save_pretrained(settings.out)
    save_tokenizer(tokenizer, settings.out)
    record = {k: str(v) for k, v in asdict(settings).items() if k not in ("out", "work")}
    record["seconds"] = round(seconds + time.monotonic() - began)
    (settings.out / "pretrain.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Settings))
