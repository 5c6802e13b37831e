"""What the base solves is a fact: counted once for given puzzles, samples and seed, and looked up after.

Two of the three draws of an evaluation are the base's. The counts of the bundled base for the main
command's defaults lie beside it, in tiny_base/counts/; those of anything else are kept in a cache of the
user (RAPO_MINI_CACHE, else ~/.cache/rapo-mini). A file is found by a hash of all that decides its counts,
holds all of it in words, and is not used if a word differs.

Known counts are those of the machine that made them: another one may draw a token otherwise where two
probabilities lie within rounding. `--sample-base` samples again.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from settings import BUNDLED_BASE
from watch.files import write_whole

SHIPPED = BUNDLED_BASE / "counts"


def cache() -> Path:
    """The user's folder of counts."""
    given = os.environ.get("RAPO_MINI_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "rapo-mini"


def name_of(facts: dict) -> str:
    """A file's name: the hash of all that decides its counts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16] + ".json"


def known_counts(facts: dict) -> tuple[np.ndarray, Path] | None:
    """Right answers to each problem, and the file that says so; None if nobody counted them.

    facts: all that decides them. A file that is damaged or was made of anything else is passed over.
    """
    for folder in (SHIPPED, cache()):
        path = folder / name_of(facts)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            counts = np.array(found["correct"], dtype=int)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        whole = counts.shape == (facts["problems"],) and (counts >= 0).all()
        if found.get("facts") == facts and whole and (counts <= facts["samples"]).all():
            return counts, path
    return None


def keep_counts(facts: dict, correct: np.ndarray) -> None:
    """Write them into the user's cache; a folder that cannot be written costs a later run its time."""
    try:
        cache().mkdir(parents=True, exist_ok=True)
        write_whole(
            cache() / name_of(facts),
            json.dumps({"facts": facts, "correct": correct.tolist()}, indent=1) + "\n",
        )
    except OSError:
        return
