"""Talk to what was trained, with its base beside it: both answer the same prompt with the same noise.

The prompt is put into the run's own template and sampled at the run's temperature by `sampler.sample`,
so what is seen here is what was trained and what pass@k measures, and it is judged by the run's own
reward. No chat: the model has no memory of the last prompt, as it had none in training.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import torch
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from policy import Policy, base_weights, decode, sampling_weights
from problems import Judge, Problem, render_prompt
from sampler import Completions
from settings import Settings
from step import prompts_of, sample_groups
from use.trained import Trained, find, inputs_of_run, load
from verifier import Verdict, check_gold
from watch.terminal import harmless, tell

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
    reward: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """As rapo_mini.py's: what judges the samples. (): the run's, else verify."""
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
    verdicts: list[Verdict] = field(default_factory=list)  # empty: nobody judged


def talk(asked: Talk) -> None:
    """Show both sides' answers to one prompt, or to each line that is typed or piped in.

    Raises ValueError, naming the flag, for bad input; before anything is loaded where that is possible.
    """
    if not 1 <= asked.n <= MOST:
        raise ValueError(f"--n {asked.n} must lie between 1 and {MOST}")
    same = ("model", "quant", "temperature", "max_new_tokens", "prompt_template", "seed", "threads")
    changed = {name: getattr(asked, name) for name in same} | {"reward": asked.reward or None}
    trained = find(asked.run, **changed)
    settings = trained.settings
    render_prompt(settings.prompt_template, Problem("", ""))  # refuse a template without a place
    if asked.prompt is not None:
        check_text(asked.prompt)
    grader = Grader(trained, given=bool(asked.reward))
    if asked.gold is not None:
        grader.check_gold(asked.gold, "--gold")
    print(
        f"{harmless(asked.run)}: {asked.n} samples of each side, at temperature {settings.temperature:g}",
        flush=True,
    )
    if grader.said:
        missing = asked.gold is None and grader.needs_gold
        tell(grader.said + (", once there is a right answer (--gold)" if missing else ""))
    talker = Talker(trained, asked.n, grader)
    if asked.prompt is not None:
        talker.ask(asked.prompt, asked.gold)
        return
    for line in lines(talker.see_history):
        try:
            talker.take(line, asked.gold)
        except ValueError as error:
            print(f"use: {error}", file=sys.stderr)


def check_text(text: str) -> None:
    """Raise ValueError for a prompt that is no text."""
    if not text.strip():
        raise ValueError("PROMPT is empty: give a problem, or leave it out to be asked for one")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("PROMPT holds bytes that are not UTF-8")


# ---------------------------------------------------------------- what the answers are worth


class Grader:
    """Judges answers as the run's were: by its own reward, or by the verifier where a gold is given."""

    def __init__(self, trained: Trained, given: bool):
        """given: by --reward of this command. Raises ValueError if that one cannot be used.

        A reward of the run that cannot be had any more costs the verdicts, not the talk.
        """
        settings = trained.settings
        try:
            self.judge = Judge(settings)
        except ValueError as error:
            if given:
                raise
            tell(harmless(f"{error}: no verdicts by the run's own reward (--reward gives another)"))
            settings = replace(settings, reward=(), right_at=1.0)
            self.judge = Judge(settings)
        self.own = settings.reward not in ((), ("verify",))
        self.right_at = 1.0 if given else settings.right_at
        self.needs_gold = "verify" in [term.name for term in self.judge.rewards.terms]
        self.said = self.introduction(settings, given, inputs_of_run(trained.folder).get("reward"))

    def introduction(self, settings: Settings, given: bool, began: str | None) -> str:
        """Whose reward judges; "" for the verifier alone. began: the run's hash of it."""
        if not self.own:
            return ""
        same = began in (None, self.judge.rewards.sha256())
        whose = "that of the run" if same else "which has changed since the run began"
        named = " + ".join(settings.reward)
        return harmless(f"judged by {named}{'' if given else ', ' + whose}")

    def check_gold(self, gold: str, which: str) -> None:
        """Raise ValueError if the verifier is to judge and cannot read this gold answer."""
        if not self.needs_gold:
            return
        try:
            check_gold(gold)
        except ValueError as error:
            raise ValueError(f"{harmless(str(error))} ({which})") from error

    def judged(self, sides: list[Answers], prompt: str, gold: str | None) -> list[Answers]:
        """Both sides with a verdict for each answer; as they are where a gold is needed and not given."""
        if gold is None and self.needs_gold:
            return sides
        problem = Problem(prompt, gold or "")
        return [replace(side, verdicts=self.judge([problem], side.texts)[0]) for side in sides]


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

    def __init__(self, trained: Trained, n: int, grader: Grader):
        """Load base and adapter. Raises ValueError if they do not fit."""
        self.trained, self.policy, self.n, self.grader = trained, load(trained), n, grader
        self.asked, self.sides = "", []

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
            self.grader.check_gold(rest, "/gold")
            if not self.sides:
                raise ValueError("/gold judges what was shown: ask for something first")
            self.show(rest.strip())
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
        self.sides = both_sides(self.policy, prompt, self.trained.settings, self.n)
        self.show(gold)

    def show(self, gold: str | None) -> None:
        """The last answers, judged where that is possible."""
        sides = self.grader.judged(self.sides, self.asked, gold)
        print_side_by_side(*sides, self.trained.settings.max_new_tokens, self.grader)


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


def print_side_by_side(base: Answers, trained: Answers, limit: int, grader: Grader) -> None:
    """Two columns, a row for each pair of samples, with their verdicts where there are some.

    limit: --max-new-tokens, for the completions that it cut off.
    """
    width = Console().width
    table = Table(box=None, pad_edge=False, expand=True, width=width, padding=(0, 2, 1, 0))
    table.add_column("")
    for name, side in (("base", base), ("trained", trained)):
        table.add_column(name + counted(side, grader), ratio=1, overflow="fold")
    rows = zip(shown(base, limit, grader), shown(trained, limit, grader), strict=True)
    for number, (one, other) in enumerate(rows, start=1):
        table.add_row(str(number), one, other)
    console = Console(file=sys.stdout, width=width, highlight=False)
    with console.capture() as drawn:
        console.print(table)
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def counted(side: Answers, grader: Grader) -> str:
    """How many of a side's answers are right; of a reward of one's own the mean too."""
    if not side.verdicts:
        return ""
    rewards = [verdict.reward for verdict in side.verdicts]
    right = f"{sum(r >= grader.right_at for r in rewards)} of {len(rewards)} right"
    return f": reward {sum(rewards) / len(rewards):.2f}, {right}" if grader.own else f": {right}"


def shown(side: Answers, limit: int, grader: Grader) -> Iterator[Text]:
    """Each completion with what a terminal would obey made visible, its end, and its verdict."""
    verdicts = side.verdicts or [None] * len(side.texts)
    for text, ended, verdict in zip(side.texts, side.ended, verdicts, strict=True):
        cell = Text("\n".join(harmless(line) for line in text.split("\n")).strip())
        if not ended:
            cell.append(f" [cut off at {limit} tokens]", style="dim")
        if verdict is not None:
            said = "right" if verdict.reason == "correct" else verdict.reason.replace("_", " ")
            worth = f"{verdict.reward:g} " if grader.own else ""
            style = "green" if verdict.reward >= grader.right_at else "red"
            cell.append(f"\n-> {worth}{harmless(said)}", style=style)
        yield cell
