"""What the base solves is a fact: counted once for given puzzles, samples and seed, and looked up after.

Two of the three draws of an evaluation are the base's. The counts of the bundled base for the main
command's defaults lie beside it, in tiny_base/counts/; those of anything else are kept in a cache of the
user: the folder RAPO_MINI_CACHE (empty: none), else ~/.cache/rapo-mini. A file is found by a hash of all
that decides its counts, holds all of it in words, and is not used if a word differs. Only the verifier's
verdicts are kept, not those of reward functions of one's own.

Known counts are those of the machine that made them: another one may draw a token otherwise where two
probabilities lie within rounding. `--sample-base` samples again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from policy import Policy
from problems import Problem
from settings import BUNDLED_BASE, Settings
from watch.files import digest, write_whole
from watch.run_folder import model_digest

SHIPPED = BUNDLED_BASE / "counts"
ROOT = BUNDLED_BASE.parent


def cache() -> Path | None:
    """The user's folder of counts; None: there shall be none."""
    given = os.environ.get("RAPO_MINI_CACHE")
    if given is None:
        return Path.home() / ".cache" / "rapo-mini"
    return Path(given) if given else None


def facts_of(
    policy: Policy,
    problems: Sequence[Problem],
    settings: Settings,
    *,
    samples: int,
    seed: int,
    rows: int,
    top_p: float,
) -> dict | None:
    """All that decides how many of the base's completions are right; None where it is not known here.

    Options as in `pass_at_k.count_correct`.
    """
    if settings.reward:
        return None
    names = ("temperature", "max_new_tokens", "prompt_template", "quant")
    judges = sorted([ROOT / "verifier.py", *(ROOT / "answers").glob("*.py")])
    return {
        **{name: getattr(settings, name) for name in names},
        "base": model_digest(settings.model, policy.model.config),
        "verifier": digest(path.read_bytes() for path in judges),
        "problems": len(problems),
        "texts": digest(f"{p.problem}\n{p.answer}\n".encode() for p in problems),
        "samples": samples,
        "seed": seed,
        "rows": rows,
        "top_p": top_p,
        "device": policy.device.type,
    }


def name_of(facts: dict) -> str:
    """A file's name: the hash of all that decides its counts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16] + ".json"


def known_counts(facts: dict) -> np.ndarray | None:
    """Right answers to each problem; None if nobody counted them.

    A file that is damaged, or was made of anything else, is passed over.
    """
    for folder in filter(None, (SHIPPED, cache())):
        try:
            found = json.loads((folder / name_of(facts)).read_text(encoding="utf-8"))
            counts = np.array(found["correct"], dtype=int)  # (N,)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        possible = counts.shape == (facts["problems"],) and (counts >= 0).all()
        if found.get("facts") == facts and possible and (counts <= facts["samples"]).all():
            return counts
    return None


def keep_counts(facts: dict, correct: np.ndarray) -> None:
    """Write them into the user's cache; a folder that cannot be written costs a later run its time."""
    folder = cache()
    if folder is None:
        return
    text = json.dumps({"facts": facts, "correct": correct.tolist()}) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name_of(facts), text)
    except OSError:
        return
