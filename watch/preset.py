"""--preset paper: what the paper gives, and what we put where it gives nothing (docs/paper.md)."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from settings import GPU_BASE, Settings, flag

GIVEN = {  # setting -> its value, and where the paper gives it
    "model": (GPU_BASE, "Qwen2.5-3B and 7B; there all weights are trained, here LoRA"),
    "arm": ("rapo", "Eq. 11"),
    "prompts": (512, "512 questions a batch"),
    "group_size": (8, "G = 8"),
    "alpha": (0.001, "KL weight 0.001"),
    "kl_form": ("sampled", "Eq. 13, the KL at the sampled token"),
    "phi": ("inverse", "Appendix B: inverse was better on 3B, tanh on 7B"),
    "tau_max": (2.2, "Eq. 16"),
    "plausible": (0.0, "Eq. 9 flattens the whole vocabulary"),
    "data": ("simplerl-8k", "the bracket Hard of SimpleRL-Zoo: MATH, levels 3 to 5"),
    "prompt_template": ("qwen-boxed", "Qwen's chat form, the answer in a box"),
}
NOT_GIVEN = {  # setting -> what we put, and why
    "steps": (100, "given for the 7B model only: 100"),
    "refresh_reference": (0, "M of Algorithm 1; we leave the base as the reference"),
    "updates": (1, "K of Algorithm 1; one update a rollout"),
    "beta": (0.0, "the entropy's weight; none"),
    "lr": (2e-5, "the rate; one that suits LoRA"),
    "clip_eps": (0.2, "epsilon; GRPO's usual one"),
    "temperature": (1.0, "the training's; the distribution as it is"),
    "max_new_tokens": (1024, "the training's; what one card can bear"),
    "max_prompt_tokens": (1024, "the training's; the paper evaluates on inputs up to 1,024"),
    "seed": (0, "no seeds are given"),
}


@dataclass(frozen=True)
class Preset:
    """settings by name"""

    preset: Literal["none", "paper"] = "none"
    """paper: all that the paper gives, as a table; any other flag still overrides its row."""


def paper_settings(kind: type[Settings] = Settings, model: str | None = None) -> Settings:
    """The paper's settings, with phi by the size in the model's name (None: the 3B model)."""
    values = {name: value for name, (value, _) in (GIVEN | NOT_GIVEN).items()}
    if model is not None:
        values["model"] = model
    size = re.search(r"(\d+(?:\.\d+)?)B\b", values["model"], re.IGNORECASE)
    if size and float(size[1]) > 5:
        values["phi"] = "tanh"
    return replace(kind(), **values)


def asked_preset(arguments: Sequence[str] | None) -> tuple[str, str | None]:
    """--preset and --model of a command line, before the rest of it is read: what they were set to.

    Raises ValueError for a preset that there is not.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default="none")
    parser.add_argument("--model")
    found, _ = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    if found.preset not in ("none", "paper"):
        raise ValueError(f"--preset {found.preset} must be none or paper")
    return found.preset, found.model


def table_of_paper(settings: Settings) -> str:
    """Each setting that the paper gives or leaves open, with its value in this run, as text."""
    lines = []
    for title, rows in (("the paper gives", GIVEN), ("the paper does not give; ours", NOT_GIVEN)):
        lines.append(f"{title}:")
        for name, (_, why) in rows.items():
            default = getattr(paper_settings(model=settings.model), name)
            value = getattr(settings, name)
            changed = "" if value == default else f"  (changed here; the preset has {default})"
            lines.append(f"  {flag(name):<21}{value!s:<17}{why}{changed}")
    return "\n".join(lines)
