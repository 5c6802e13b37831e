"""A problem, its prompt, and the door to where problems come from.

A problem is a question in words and a gold answer; everything else in the project sees only those two:

    What comes next: 2, 5, 8, 11?        gold: 14

    --data puzzles | simplerl-8k | gsm8k | math500 | aime24 | aime25 | path.jsonl

`worlds/` knows how each of these is made or read. The paper trains on simplerl-8k and reports aime24 and
aime25; the bundled puzzles are ours.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from settings import Settings
from worlds import files, public_sets
from worlds import puzzles as bundled

TRAIN_PUZZLES = 1600  # bundled puzzles to train on: 200 steps of 8 prompts see each one once


@dataclass(frozen=True)
class Problem:
    """A question, its gold answer, and the kind it is counted under ("" where unknown)."""

    problem: str
    answer: str
    kind: str = ""


PROMPT_TEMPLATES = {
    "plain": "{problem}\n",  # what the bundled base learned
    "qwen-boxed": (  # SimpleRL-Zoo's prompt for the Qwen2.5 base models
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n{problem}\nPlease reason step by step, and put your final answer "
        "within \\boxed{}.<|im_end|>\n<|im_start|>assistant\n"
    ),
}


def render_prompt(template: str, problem: Problem) -> str:
    """The prompt for a problem; template: a name in PROMPT_TEMPLATES, or a text with {problem} in it.

    >>> render_prompt("plain", Problem("What comes next: 1, 2, 3, 4?", "5"))
    'What comes next: 1, 2, 3, 4?\\n'
    """
    text = PROMPT_TEMPLATES.get(template, template)
    if "{problem}" not in text:
        raise ValueError(
            f"prompt template {template!r} is neither one of {', '.join(PROMPT_TEMPLATES)} nor a text "
            "that holds {problem} (--prompt-template)"
        )
    return text.replace("{problem}", problem.problem)


def puzzles(split: str, count: int, seed: int = 0) -> list[Problem]:
    """`count` bundled puzzles of a split, as `worlds.puzzles.puzzles` draws them."""
    return [Problem(*row) for row in bundled.puzzles(split, count, seed)]


TIERS = {kind: rule.tier for kind, rule in bundled.RULES.items()}  # of the bundled puzzles


def right_completions(problem: Problem) -> dict[str, list[str]]:
    """All ways in which the bundled base was taught to solve a bundled puzzle: {rule: texts}.

    The rules are those whose attempt ends in the right answer: `problem.kind`, and for some puzzles
    another one besides (a growing difference may grow by 0). Each text begins with the name of its rule.
    """
    terms = bundled.terms_of(problem.problem)
    gold = bundled.RULES[problem.kind].attempt(terms)[1]
    right = [name for name, rule in bundled.RULES.items() if rule.attempt(terms)[1] == gold]
    return {name: bundled.right_answers(name, terms) for name in right}


def is_known_set(data: str) -> bool:
    """Do the words name a set of problems? A file of the same name is then not meant."""
    return data in ("auto", "puzzles", *public_sets.PUBLIC_SETS)


def load_problems(
    data: str,
    split: str,
    count: int | None,
    seed: int,
    flag: str,
    data_dir: str | None = None,
    side: str = "both",
) -> list[Problem]:
    """At most `count` problems (None: all) of the puzzles, of a public set, or of a JSONL file.

    split: "train", or what `puzzles` knows; a public set has train and test, and everything but
    "train" is its test. side: of a file, "train", "held-out" or "both". Sets and files are taken in an
    order shuffled by the seed. Raises ValueError, naming the set or file and the flag.
    """
    if data == "puzzles":
        try:
            return puzzles(split, count, seed)
        except ValueError as error:
            raise ValueError(f"{error} ({flag})") from error
    if data in public_sets.PUBLIC_SETS:
        rows = public_sets.read_public(
            data, "train" if split == "train" else "test", flag, data_dir
        )
    elif Path(data).suffix or Path(data).exists():
        rows = files.read_jsonl(Path(data), flag)
        if side != "both":
            rows = [row for row in rows if files.is_held_out(row[0]) == (side == "held-out")]
    else:
        raise ValueError(
            f"{data!r} is neither puzzles, nor a set known here ({', '.join(public_sets.PUBLIC_SETS)}), "
            f"nor a JSONL file ({flag})"
        )
    random.Random(seed).shuffle(rows)
    return [Problem(*row) for row in rows[:count]]


def training_problems(
    data: str, seed: int, data_dir: str | None = None, side: str = "both"
) -> list[Problem]:
    """What --data trains on: of the bundled puzzles TRAIN_PUZZLES, of anything else all there are."""
    count = TRAIN_PUZZLES if data == "puzzles" else None
    return load_problems(data, "train", count, seed, "--data", data_dir, side)


def both_sides(settings: Settings) -> tuple[list[Problem], list[Problem]]:
    """What a run trains on, and what pass@k is measured on: held out from it.

    A file that is both --data and --eval-data is split by a hash of each problem, and the split is
    printed.
    """
    one_file = not is_known_set(settings.data) and settings.eval_data == settings.data
    split = one_file and settings.eval_problems > 0
    train, held_out = ("train", "held-out") if split else ("both", "both")
    training = training_problems(settings.data, settings.seed, settings.data_dir, train)
    measured: list[Problem] = []
    if settings.eval_problems:
        flags, count = "--eval-data, --eval-problems", settings.eval_problems
        measured = load_problems(
            settings.eval_data, "test", count, settings.seed, flags, settings.data_dir, held_out
        )
    if split:
        if not training or not measured:
            raise ValueError(
                f"{settings.data} is too small to hold problems out of it ({len(training)} to train on, "
                f"{len(measured)} held out): give other problems with --eval-data, or --eval-problems 0"
            )
        print(
            f"data: {settings.data} is split by a hash of each problem: {len(training)} to train on, "
            f"{len(measured)} held out for pass@k (or name others with --eval-data)"
        )
    return training, measured


def problems_that_fit(
    problems: list[Problem],
    lengths: list[int],
    *,
    max_prompt_tokens: int,
    max_new_tokens: int,
    context: int,
    also: int = 0,
) -> list[Problem]:
    """The training problems with prompts of at most max_prompt_tokens (0: all); says what it leaves out.

    lengths: tokens of each problem's prompt; also: of the longest prompt of other problems; context: the
    model's, in tokens. Raises ValueError if no problem is left, or if a prompt and its completion may not
    fit into the context.
    """
    if not min(lengths):
        empty = problems[lengths.index(0)].problem
        raise ValueError(
            f"the prompt of the problem {empty[:60]!r} has no token (--prompt-template)"
        )
    limit = max_prompt_tokens or max(lengths)
    kept = [p for p, length in zip(problems, lengths, strict=True) if length <= limit]
    if len(kept) < len(problems):
        print(
            f"data: {len(problems) - len(kept)} of {len(problems)} problems left out, their "
            f"prompts are longer than --max-prompt-tokens {limit}"
        )
    if not kept:
        raise ValueError(
            f"no problem has a prompt of at most --max-prompt-tokens {limit}; the shortest has "
            f"{min(lengths)} tokens"
        )
    longest = max(min(max(lengths), limit), also)
    if longest + max_new_tokens > context:
        raise ValueError(
            f"--max-new-tokens {max_new_tokens} after a prompt of {longest} tokens "
            f"is more than the model's context of {context}: lower it, or leave long prompts out of "
            "the training with --max-prompt-tokens"
        )
    return kept
