"""A problem, its prompt, what a completion of it is worth, and the door to where problems come from.

A problem is a question in words and a gold answer; everything else in the project sees only those two:

    What comes next: 2, 5, 8, 11?        gold: 14

    --data puzzles | sums | simplerl-8k | gsm8k | math500 | aime24 | aime25 | FILE | FOLDER | owner/name
    --reward verify | FILE.py:NAME

`worlds/` knows how each of these is made or read. The paper trains on simplerl-8k and reports aime24 and
aime25; the bundled puzzles are ours.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from settings import Settings
from verifier import Verdict
from worlds import files, public_sets, reward_files, sums, tables
from worlds import puzzles as bundled
from worlds.rewards import Rewards

TRAIN_PUZZLES = 1600  # bundled puzzles to train on: 200 steps of 8 prompts see each one once
TRAIN_SUMS = 1600


@dataclass(frozen=True)
class Problem:
    """A question, its gold answer, and the kind it is counted under ("" where unknown)."""

    problem: str
    answer: str
    kind: str = ""
    columns: Mapping[str, object] = field(default_factory=dict, hash=False)  # for --reward alone


PROMPT_TEMPLATES = {
    "plain": "{problem}\n",  # what the bundled base learned
    "qwen-boxed": (  # SimpleRL-Zoo's prompt for the Qwen2.5 base models
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n{problem}\nPlease reason step by step, and put your final answer "
        "within \\boxed{}.<|im_end|>\n<|im_start|>assistant\n"
    ),
}
EXAMPLES = {"sums": sums.EXAMPLE}  # a problem and its answer, shown before each of the set


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


class Judge:
    """What completions are worth: the functions of --reward, or the verifier (`worlds.rewards`)."""

    def __init__(self, settings: Settings):
        """Raises ValueError, naming --reward, for a function that cannot be used."""
        self.rewards = Rewards(settings.reward, settings.reward_seconds)
        self.template = settings.prompt_template

    def __call__(
        self, problems: Sequence[Problem], texts: Sequence[str]
    ) -> tuple[list[Verdict], dict[str, float]]:
        """A Verdict for each text, and each function's mean reward where there are several.

        texts: as many for each problem, one problem after the other.
        """
        each = len(texts) // max(len(problems), 1)
        rows = [row for problem in problems for row in [self.row(problem)] * each]
        return self.rewards(rows, texts)

    def row(self, problem: Problem) -> dict:
        """What a reward function is told of a problem."""
        own = {"problem": problem.problem, "answer": problem.answer, "kind": problem.kind}
        return {**problem.columns, **own, "prompt": render_prompt(self.template, problem)}

    def try_on(self, problems: Sequence[Problem]) -> None:
        """Raise ValueError for a function that fails on each of the first problems."""
        self.rewards.try_on([self.row(problem) for problem in problems[:3]])


def puzzles(split: str, count: int, seed: int = 0) -> list[Problem]:
    """`count` bundled puzzles of a split, as `worlds.puzzles.puzzles` draws them."""
    return [Problem(*row) for row in bundled.puzzles(split, count, seed)]


reward_terms = reward_files.terms_unrun  # the functions of --reward, their files read and not run
reward_digest = reward_files.digest_of
TIERS = {kind: rule.tier for kind, rule in bundled.RULES.items()}  # of the bundled puzzles
TIER_ORDER = tuple(dict.fromkeys(TIERS.values()))  # from what the base tries often to never


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
    return data in ("auto", "puzzles", "sums", *public_sets.PUBLIC_SETS)


def reading_of(settings: Settings) -> files.Reading:
    """How one's own data is read: its columns, and whether anything but the verifier grades."""
    asked = [text.partition("=")[0] for text in settings.reward]
    return files.Reading(
        settings.problem_column, settings.answer_column, golds=not asked or "verify" in asked
    )


def check_sources(settings: Settings, *sources: str) -> None:
    """Raise ValueError if a flag is given that says how to read what none of the sources is."""
    named = " and ".join(dict.fromkeys(sources))
    columns = {
        "--problem-column": settings.problem_column,
        "--answer-column": settings.answer_column,
    }
    for flag, column in columns.items():
        if column is not None and all(map(is_known_set, sources)):
            raise ValueError(
                f"{flag} {column!r} names a column of one's own data, and "
                f"{named} is read as it is: leave it out, or name a file"
            )
    known = public_sets.PUBLIC_SETS
    if settings.data_dir is not None and not any(source in known for source in sources):
        raise ValueError(
            f"--data-dir {settings.data_dir!r} holds copies of public sets ({', '.join(known)}), and "
            f"{named} is none of them: leave it out"
        )


def check_at_hand(settings: Settings) -> None:
    """Raise ValueError for rewards and problems that a run would refuse, where no network is needed."""
    Judge(settings)
    sources = (settings.data, settings.eval_data)
    if not any(source in public_sets.PUBLIC_SETS or tables.hub_name(source) for source in sources):
        both_sides(settings)


def load_problems(
    data: str,
    split: str,
    count: int | None,
    seed: int,
    flag: str,
    data_dir: str | None = None,
    side: str = "both",
    reading: files.Reading | None = None,
) -> list[Problem]:
    """At most `count` problems (None: all) of the puzzles, the sums, a public set, or one's own data.

    split: "train", or what `puzzles` knows; anything else has train and test, and everything but
    "train" is its test. side: of data that has no test, "train", "held-out" or "both". Sets and files are
    taken in an order shuffled by the seed. Raises ValueError, naming the set or file and the flag.
    """
    if data == "puzzles":
        try:
            return puzzles(split, count, seed)
        except ValueError as error:
            raise ValueError(f"{error} ({flag})") from error
    if data == "sums":
        side = "train" if split == "train" else "test"
        return [Problem(*row) for row in sums.sums(side, count or TRAIN_SUMS, seed)]
    if data in public_sets.PUBLIC_SETS:
        rows = public_sets.read_public(
            data, "train" if split == "train" else "test", flag, data_dir
        )
    elif tables.is_named(data) or Path(data).suffix:
        rows = files.read_own(data, flag, split, reading)
        if side != "both" and not files.has_test(data, flag):
            rows = [row for row in rows if files.is_held_out(row[0]) == (side == "held-out")]
    else:
        raise ValueError(
            f"{data!r} is neither puzzles, sums, a set known here "
            f"({', '.join(public_sets.PUBLIC_SETS)}), nor a file ({', '.join(tables.SUFFIXES)}), "
            f"a folder, or owner/name of the hub ({flag})"
        )
    random.Random(seed).shuffle(rows)
    return [Problem(*row) for row in rows[:count]]


def training_problems(settings: Settings, side: str = "both") -> list[Problem]:
    """What --data trains on: of the bundled puzzles TRAIN_PUZZLES, of anything else all there are."""
    data, count = settings.data, TRAIN_PUZZLES if settings.data == "puzzles" else None
    options = settings.data_dir, side, reading_of(settings)
    return load_problems(data, "train", count, settings.seed, "--data", *options)


def is_split(settings: Settings) -> bool:
    """Is a part of --data held out of the training? So it is if it is one's own, without a test."""
    one_source = not is_known_set(settings.data) and settings.eval_data == settings.data
    return one_source and settings.eval_problems > 0 and not files.has_test(settings.data, "--data")


def both_sides(settings: Settings) -> tuple[list[Problem], list[Problem]]:
    """What a run trains on, and what pass@k is measured on: held out from it.

    Data of one's own that is both --data and --eval-data and has no test of its own is split by a hash of
    each problem, and the split is printed.
    """
    check_sources(settings, settings.data, settings.eval_data)
    split = is_split(settings)
    train, held_out = ("train", "held-out") if split else ("both", "both")
    training = training_problems(settings, train)
    measured: list[Problem] = []
    if settings.eval_problems:
        flags, count = "--eval-data, --eval-problems", settings.eval_problems
        options = settings.data_dir, held_out, reading_of(settings)
        measured = load_problems(settings.eval_data, "test", count, settings.seed, flags, *options)
    if split:
        if not training or not measured:
            raise ValueError(
                f"{settings.data} is too small to hold problems out of it ({len(training)} to train on, "
                f"{len(measured)} held out): give other problems with --eval-data, or --eval-problems 0"
            )
        files.say_once(
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
    kept, kept_lengths = within(problems, lengths, limit, "data")
    if not kept:
        raise ValueError(
            f"no problem has a prompt of at most --max-prompt-tokens {limit}; the shortest has "
            f"{min(lengths)} tokens"
        )
    check_context(max(*kept_lengths, also), max_new_tokens, context)
    return kept


def token_counts(tokenizer, prompts: list[str]) -> list[int]:
    """How many tokens each prompt has."""
    return [len(ids) for ids in tokenizer(prompts)["input_ids"]] if prompts else []


def check_context(longest: int, max_new_tokens: int, context: int) -> None:
    """Raise ValueError if the longest prompt and its completion (tokens) may not fit into the context."""
    if longest + max_new_tokens > context:
        raise ValueError(
            f"--max-new-tokens {max_new_tokens} after a prompt of {longest} tokens is more than the "
            f"model's context of {context}: lower it, or leave long prompts out (of training "
            "with --max-prompt-tokens)"
        )


def of_an_evaluation(
    problems: list[Problem], settings: Settings, tokenizer
) -> tuple[list[Problem], list[int]]:
    """The problems whose prompts are within --max-prompt-tokens (0: all), and the prompts' lengths."""
    prompts = [render_prompt(settings.prompt_template, problem) for problem in problems]
    lengths, limit = token_counts(tokenizer, prompts), settings.max_prompt_tokens
    return within(problems, lengths, limit, "evaluation") if limit else (problems, lengths)


def within(
    problems: list[Problem], lengths: list[int], limit: int, what: str
) -> tuple[list[Problem], list[int]]:
    """The problems whose prompts have at most `limit` tokens, and their lengths; says what it leaves out.

    >>> within([Problem("a", "1"), Problem("b", "2")], [3, 9], 5, "data")[1]
    data: 1 of 2 problems left out, their prompts are longer than
      --max-prompt-tokens 5
    [3]
    """
    kept = [(p, n) for p, n in zip(problems, lengths, strict=True) if n <= limit]
    if len(kept) < len(problems):
        files.say_once(
            f"{what}: {len(problems) - len(kept)} of {len(problems)} problems left out, their "
            f"prompts are longer than --max-prompt-tokens {limit}"
        )
    return [p for p, _ in kept], [n for _, n in kept]
