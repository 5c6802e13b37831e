"""The command line of `pass_at_k.py`: which adapter, which problems, how many samples, at which k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tyro

from watch.preset import asked_preset


@dataclass(frozen=True)
class Evaluation:
    """pass@k of a base model and of a LoRA adapter on it, on the same problems."""

    adapter: str
    """Folder of the adapter, in PEFT's format, or of the run that wrote it: runs/..."""
    model: str = "auto"
    """The adapter's base. auto: Qwen/Qwen2.5-3B with a CUDA GPU, else the bundled base."""
    quant: Literal["auto", "nf4", "none"] = "auto"
    """Base weights in 4 bits (nf4) or as they are. auto: nf4 on a GPU, none on the bundled base."""
    data: str = "puzzles"
    """Problems: puzzles (held out), a public set, a FILE, a FOLDER, or owner/name of the hub."""
    problem_column: str | None = None
    """As rapo_mini.py's."""
    answer_column: str | None = None
    """As rapo_mini.py's."""
    data_dir: str | None = None
    """Folder with copies of public sets, one folder a set, for a machine without network."""
    problems: int | None = None
    """How many problems. None: 192 puzzles, of other sets all."""
    n: int = 64
    """Completions per problem, for the base twice and for the adapter once."""
    k: tuple[str, ...] = ()
    """The k of pass@k: 1 8 64, or 1,2,4,...,256; none given: 1, 2, 4, ... up to n."""
    temperature: float | None = None
    """Sampling temperature. None: 1, on SmolLM2 0.7."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that hold this share of the mass; 1: from all."""
    max_new_tokens: int | None = None
    """Longest completion, in tokens. None: 72 on the bundled base, 40 on SmolLM2, else 1024."""
    max_prompt_tokens: int = 0
    """Problems with longer prompts are left out; 0: none."""
    prompt_template: str | None = None
    """plain, qwen-boxed, chat (the tokenizer's own), or a text with {problem} in it. None: by model."""
    reward: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """As rapo_mini.py's. (): that of the run that wrote the adapter, else verify."""
    reward_seconds: float | None = None
    """As rapo_mini.py's."""
    right_at: float | None = None
    """A completion counts as right from this reward on. None: the run's, else 1."""
    seed: int = 0
    """Of the choice of problems and of the sampling."""
    threads: int = 0
    """CPU threads; 0: PyTorch's choice."""
    fixed_decode: bool | None = None
    """Sample on fixed memory, the decode step as a CUDA graph; same tokens. None: on a GPU."""
    sample_base: bool = False
    """Sample the base even where its right answers are known from an earlier time."""
    log: str | None = None
    """JSONL of every completion and verdict; goes on from what is there. None: beside the adapter."""
    out: str | None = None
    """Write the estimates and the counts of right answers to this JSON file."""
    table: Literal["short", "full"] = "full"
    """short: k = 1, 8 and the largest, and what they mean; full: every k with intervals, and by kind."""
    preset: Literal["none", "paper"] = "none"
    """paper: sampled and scored as in the paper's section 4.1; other flags still override it."""


# Section 4.1; the length there is 8,196 tokens, in Appendix C 16K: we take the power of two.
PAPER = {"data": "aime24", "n": 2048, "k": ("1,2,4,...,1024",), "temperature": 0.6, "top_p": 0.95}
PAPER |= {"max_new_tokens": 8192, "prompt_template": "qwen-boxed", "preset": "paper"}


def read_ks(given: tuple[str, ...]) -> list[int]:
    """The numbers in "--k 1 8 64" or "--k 1,2,4,...,256"; three dots double up to what follows.

    >>> read_ks(("1", "8")), read_ks(("1,2,4,...,32",)), read_ks(())
    ([1, 8], [1, 2, 4, 8, 16, 32], [])
    """
    words, ks = [w for text in given for w in text.split(",") if w], []
    for i, word in enumerate(words):
        if word in ("...", "…") and ks and i + 1 < len(words) and words[i + 1].isdigit():
            while 2 * ks[-1] < int(words[i + 1]):
                ks.append(2 * ks[-1])
        elif word.isdigit() and int(word):
            ks.append(int(word))
        else:
            raise ValueError(
                f"--k {' '.join(given)}: {word!r} is no number; write 1 8 64 or 1,2,4,...,64"
            )
    return ks


def parse(arguments: list[str] | None = None) -> Evaluation:
    """What a command line asks for, on top of the preset that it names."""
    default = {"adapter": tyro.MISSING}
    if asked_preset(arguments)[0] == "paper":
        default |= PAPER
    return tyro.cli(
        Evaluation, args=arguments, description=Evaluation.__doc__, default=Evaluation(**default)
    )
