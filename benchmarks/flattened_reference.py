"""What a flattened reference asks of a model: distance, junk, and how likely a right text stays.

    python benchmarks/flattened_reference.py --model tiny_base
    python benchmarks/flattened_reference.py --model FOLDER --gguf FILE.gguf
    python benchmarks/flattened_reference.py --model HuggingFaceTB/SmolLM2-135M-Instruct

Along one text, token by token: KL(ref^ || ref), the mass of ref^ outside the reference's likeliest 99%,
and the probability of the whole text under ref^ over that under ref. Rows: phi without and with a
plausible support, and at forks only. Prints a Markdown table; asks no network for a model in a folder.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine.gguf import folder_of
from machine.loading import load_tokenizer, quiet_libraries
from objective import phi_at_forks, reweight
from settings import BUNDLED_BASE, is_bundled
from watch.target import distance

SOLUTION = (
    "Question: A shop sells pens at 3 coins each and books at 8 coins each. Mia buys 4 pens and 2 "
    "books. How many coins does she pay?\nAnswer: Four pens cost 4 times 3 coins, which is 12 coins. "
    "Two books cost 2 times 8 coins, which is 16 coins. Together that is 12 plus 16, so Mia pays 28 "
    "coins. The answer is 28."
)
PUZZLE = "What comes next: 2, 5, 8, 11?\ncommon difference 11-8=3, 11+3=14. \\boxed{14}"
ROWS = [  # phi, plausible, fork entropy in nats
    *((phi, 0.0, 0.0) for phi in (1.0, 0.833, 0.7, 0.455)),
    *((phi, 0.01, 0.0) for phi in (0.833, 0.7, 0.455)),
    (0.455, 0.0, 1.0),
    (0.455, 0.01, 1.0),
]


@dataclass(frozen=True)
class Options:
    """What a flattened reference asks of a model, along one text."""

    model: str = str(BUNDLED_BASE)
    """Folder or Hugging Face id."""
    gguf: str | None = None
    """A GGUF file in that folder or repository; needs the package gguf."""
    text: Path | None = None
    """A file with the text. None: a worked sum, or for the bundled base a worked puzzle."""


def rows_of(options: Options) -> tuple[torch.Tensor, torch.Tensor]:
    """The reference's log-probs before each token of the text (T, V), and the tokens (T,)."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet_libraries()
    bundled = is_bundled(options.model)
    extra = {"gguf_file": options.gguf} if options.gguf else {}
    folder = folder_of(options.model)
    if bundled:
        tokenizer = load_tokenizer(options.model)
    else:
        tokenizer = AutoTokenizer.from_pretrained(folder, **extra)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **extra)
    text = PUZZLE if bundled else SOLUTION
    if options.text:
        text = options.text.read_text(encoding="utf-8")
    ids = torch.tensor([tokenizer.encode(text)])  # (1, T + 1)
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, :-1].float()  # (T, V)
    return logits.log_softmax(-1), ids[0, 1:]


def table(ref_logp: torch.Tensor, token: torch.Tensor) -> str:
    """A row for each way to flatten: ref_logp (T, V), token (T,)."""
    lines = [
        "| phi | plausible | forks, nats | KL(ref^ \\|\\| ref), nats a token | outside the nucleus | "
        "the text under ref^ / under ref |",
        "|---|---|---|---|---|---|",
    ]
    for phi, plausible, fork_entropy in ROWS:
        at = phi_at_forks(torch.full((len(token), 1), phi), ref_logp, fork_entropy)  # (T, 1)
        target = reweight(ref_logp, at, plausible)  # (T, V)
        kl, tail, _ = (x.mean().item() for x in distance(ref_logp, target))
        ratio = (target - ref_logp).gather(-1, token[:, None]).sum().exp().item()
        where = f"{fork_entropy:g}" if fork_entropy else "everywhere"
        lines.append(f"| {phi:g} | {plausible:g} | {where} | {kl:.3f} | {tail:.3f} | {ratio:.1e} |")
    return "\n".join(lines)


def main(options: Options) -> int:
    ref_logp, token = rows_of(options)
    print(f"{len(token)} tokens of a vocabulary of {ref_logp.shape[1]:,}\n")
    print(table(ref_logp, token))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=Options.__doc__)))
