"""Talk to what was trained, with its base beside it: both answer the same prompt with the same noise.

The prompt is put into the run's own template and sampled at the run's temperature by `sampler.sample`,
so what is seen here is what was trained and what pass@k measures. No chat: the model has no memory of
the last prompt, as it had none in training.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from policy import Policy, base_weights, decode, sampling_weights
from problems import Problem, render_prompt
from sampler import Completions
from settings import Settings
from step import prompts_of, sample_groups
from use.trained import Trained, find, load
from verifier import check_gold, verify
from watch.terminal import harmless

MOST = 256  # samples of a side
HELP = "a problem; an empty line samples again; /gold ANSWER judges what was shown; /quit or Ctrl-D"


@dataclass(frozen=True)
class Talk:
    """Base and trained model side by side, on a problem of yours; without one, line after line."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run, runs/my-run, or of its adapter."""
    prompt: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="PROMPT")] = None
    """A problem, as the run's data has it. None: ask for one after the other."""
    n: int = 4
    """Samples of each side."""
    gold: str | None = None
    """The right answer: then each sample gets its verdict."""
    temperature: float | None = None
    """Sampling temperature. None: the run's."""
    max_new_tokens: int | None = None
    """Longest completion, in tokens. None: the run's."""
    prompt_template: str | None = None
    """plain, qwen-boxed, or a text with {problem} in it. None: the run's."""
    seed: int = 0
    """Of the sampling."""
    model: str | None = None
    """Where the base is now. None: where the run had it."""
    quant: Literal["nf4", "none"] | None = None
    """Base weights in 4 bits or as they are. None: as the run had them."""
    threads: int | None = None
    """CPU threads. None: as the run had them."""


@dataclass(frozen=True)
class Answers:
    """n completions of one side to one prompt, as text."""

    texts: list[str]
    ended: list[bool]  # False: cut off at --max-new-tokens


def talk(asked: Talk) -> None:
    """Show both sides' answers to one prompt, or to each line that is typed or piped in.

    Raises ValueError, naming the flag, for bad input; before anything is loaded where that is possible.
    """
    if not 1 <= asked.n <= MOST:
        raise ValueError(f"--n {asked.n} must lie between 1 and {MOST}")
    if asked.gold is not None:
        check_gold_given(asked.gold)
    same = ("model", "quant", "temperature", "max_new_tokens", "prompt_template", "seed", "threads")
    trained = find(asked.run, **{name: getattr(asked, name) for name in same})
    settings = trained.settings
    render_prompt(settings.prompt_template, Problem("", ""))  # refuse a template without a place
    if asked.prompt is not None:
        check_text(asked.prompt)
    print(
        f"{harmless(asked.run)}: {asked.n} samples of each side, at temperature {settings.temperature:g}",
        flush=True,
    )
    talker = Talker(trained, asked.n)
    if asked.prompt is not None:
        talker.ask(asked.prompt, asked.gold)
        return
    for line in lines(talker.see_history):
        try:
            talker.take(line, asked.gold)
        except ValueError as error:
            print(f"use: {error}", file=sys.stderr)


def check_gold_given(gold: str) -> None:
    """Raise ValueError if no verifier can read this gold answer."""
    try:
        check_gold(gold)
    except ValueError as error:
        raise ValueError(f"{harmless(str(error))} (--gold)") from error


def check_text(text: str) -> None:
    """Raise ValueError for a prompt that is no text."""
    if not text.strip():
        raise ValueError("PROMPT is empty: give a problem, or leave it out to be asked for one")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("PROMPT holds bytes that are not UTF-8")


# ---------------------------------------------------------------- the conversation


def lines(prepare: Callable[[], None]) -> Iterator[str]:
    """What is typed, or piped in, line by line to its end (Ctrl-D); prepare: called once for a person."""
    person = sys.stdin.isatty()
    if person:
        prepare()
        print(HELP)
    while True:
        try:
            line = input("> " if person else "")
        except EOFError:
            if person:
                print()  # the shell's prompt gets a line of its own
            return
        except UnicodeDecodeError:
            print("use: this line is not UTF-8", file=sys.stderr)
            continue
        if line.strip() == "/quit":
            return
        if not person and line.strip():
            print(f"> {harmless(line)}")
        if person or line.strip():
            yield line


class Talker:
    """A conversation: the models, the last answers, how often the noise was drawn."""

    def __init__(self, trained: Trained, n: int):
        """Load base and adapter. Raises ValueError if they do not fit."""
        self.trained, self.policy, self.n = trained, load(trained), n
        self.asked, self.shown = "", []

    def see_history(self) -> None:
        """Lines can be edited, and those of earlier conversations come back with the arrow keys."""
        with contextlib.suppress(ImportError):  # Windows has no readline
            import atexit
            import readline

            if self.trained.folder:
                kept = self.trained.folder / "talk_history"
                with contextlib.suppress(OSError):
                    readline.read_history_file(kept)
                readline.set_history_length(1000)
                atexit.register(keep_history, readline, kept)

    def take(self, line: str, gold: str | None) -> None:
        """Do what a line asks for. Raises ValueError, with the reason, for one that makes no sense."""
        word, _, rest = line.strip().partition(" ")
        if word == "/gold":
            check_gold_given(rest)
            if not self.shown:
                raise ValueError("/gold judges what was shown: ask for something first")
            print_side_by_side(*self.shown, self.trained.settings.max_new_tokens, rest.strip())
        elif word in ("/help", "/?"):
            print(HELP)
        elif word.startswith("/"):
            raise ValueError(f"{harmless(word)} is no command: {HELP}")
        elif line.strip():
            self.ask(line, gold)
        elif self.asked:
            settings = self.trained.settings  # other noise than the last time
            self.trained = replace(self.trained, settings=replace(settings, seed=settings.seed + 1))
            self.ask(self.asked, gold)

    def ask(self, prompt: str, gold: str | None) -> None:
        """Sample both sides on a prompt and show them."""
        check_text(prompt)
        self.asked = prompt
        say_unknown(self.policy, prompt)
        self.shown = both_sides(self.policy, prompt, self.trained.settings, self.n)
        print_side_by_side(*self.shown, self.trained.settings.max_new_tokens, gold)


def keep_history(readline, kept) -> None:
    """Write the history file; a folder that cannot be written to costs the history, and nothing else."""
    with contextlib.suppress(OSError):
        readline.write_history_file(kept)


def say_unknown(policy: Policy, prompt: str) -> None:
    """Say which words the model has no token for: the bundled base knows few."""
    unknown = policy.tokenizer.unk_token_id
    if unknown is None:
        return
    encoded = policy.tokenizer(prompt, return_offsets_mapping=True)
    places = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    words = dict.fromkeys(prompt[a:b].strip() for token, (a, b) in places if token == unknown)
    if words:
        print(f"the model has no token for: {', '.join(harmless(word) for word in words)}")


# ---------------------------------------------------------------- sampling and showing


def both_sides(policy: Policy, prompt: str, settings: Settings, n: int) -> list[Answers]:
    """The answers of the base and of the trained policy, drawn with the same noise.

    Raises ValueError if the prompt has no token or leaves no room for --max-new-tokens.
    """
    prompts = prompts_of(policy, [Problem(prompt, "")], settings)  # (1, L)
    length, context = prompts[0].shape[1], policy.model.config.max_position_embeddings
    if not length:
        raise ValueError("PROMPT has no token for this model")
    if length + settings.max_new_tokens > context:
        raise ValueError(
            f"PROMPT has {length} tokens, and with --max-new-tokens {settings.max_new_tokens} that is "
            f"more than the model's context of {context}: shorten one of the two"
        )
    sides = []
    for weights in (base_weights, sampling_weights):
        generator = torch.Generator().manual_seed(settings.seed)
        with weights(policy) as model:
            drawn, _ = sample_groups(
                policy,
                model,
                prompts,
                settings,
                group_size=n,
                rows_at_once=settings.sample_rows or n,
                generator=generator,
            )
        sides.append(answers_of(policy, drawn))
    return sides


def answers_of(policy: Policy, drawn: Completions) -> Answers:
    return Answers(decode(policy, drawn.tokens, drawn.mask), drawn.ended.tolist())


def print_side_by_side(base: Answers, trained: Answers, limit: int, gold: str | None) -> None:
    """Two columns, a row for each pair of samples; with a gold answer each has its verdict.

    limit: --max-new-tokens, for the completions that it cut off.
    """
    width = Console().width
    table = Table(box=None, pad_edge=False, expand=True, width=width, padding=(0, 2, 1, 0))
    table.add_column("")
    for name, side in (("base", base), ("trained", trained)):
        right = "" if gold is None else f": {rights(side, gold)} of {len(side.texts)} right"
        table.add_column(name + right, ratio=1, overflow="fold")
    rows = zip(shown(base, limit, gold), shown(trained, limit, gold), strict=True)
    for number, (one, other) in enumerate(rows, start=1):
        table.add_row(str(number), one, other)
    console = Console(file=sys.stdout, width=width, highlight=False)
    with console.capture() as drawn:
        console.print(table)
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def rights(side: Answers, gold: str) -> int:
    return sum(verify(text, gold).reward > 0 for text in side.texts)


def shown(side: Answers, limit: int, gold: str | None) -> Iterator[Text]:
    """Each completion with what a terminal would obey made visible, its end, and its verdict."""
    for text, ended in zip(side.texts, side.ended, strict=True):
        cell = Text("\n".join(harmless(line) for line in text.split("\n")).strip())
        if not ended:
            cell.append(f" [cut off at {limit} tokens]", style="dim")
        if gold is not None:
            reason = verify(text, gold).reason
            said = "right" if reason == "correct" else reason.replace("_", " ")
            cell.append(f"\n-> {said}", style="green" if reason == "correct" else "red")
        yield cell
