"""A traced step in the terminal: the equation, the group, one completion's tokens, one token's rivals.

python -m watch out                      shows the last traced step of out/trace.json
python -m watch out --beside other       writes out/beside.html: two traces of the same step
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from objective import ARMS, group_advantages
from watch.beside import write_beside
from watch.files import as_json, write_whole
from watch.terminal import harmless, visible
from watch.tracer import page, read_trace

LEAST = 0.001  # nats: a smaller change of log pi is called none; and tokens below this probability


# ---------------------------------------------------------------- tables


def number(x: float | None, signed: bool = False) -> str:
    """Four digits that count; a dash where the step had no such number.

    >>> number(0.123456), number(0.5, signed=True), number(None)
    ('0.1235', '+0.5', '–')
    """
    return "–" if x is None else f"{x:+.4g}" if signed else f"{x:.4g}"


def equation(record: dict) -> list[str]:
    """J of the whole step in letters and in numbers, each the mean over its B completions."""
    s, rows = record["settings"], record["rows"]
    mean = {
        name: None if None in values else sum(values) / len(values) for name, values in rows.items()
    }
    term = ARMS[s["arm"]].symbols.get(s["kl_form"])
    objective = None if record["metrics"]["loss"] is None else -record["metrics"]["loss"]
    letters, numbers = (
        ["J(θ) = mean g"],
        [f"{number(objective, True)} = {number(mean['surrogate'])}"],
    )
    if term:
        letters.append(f"− α · mean [{term}]")
        numbers.append(f"− {s['alpha']:g} · {number(mean['kl'])}")
    letters.append("+ β · mean H")
    numbers.append(f"+ {s['beta']:g} · {number(mean['entropy'])}")
    return [" ".join(letters), " ".join(numbers)]


def group_table(record: dict):
    """The traced group, a line a completion, as a rich table."""
    from rich.table import Table

    columns = ("y", "r", "A", "φ", "tokens", "g", "KL", "H", "share of J", "Δ log π")
    table = Table(*columns, "verdict", "completion", box=None, header_style="bold", pad_edge=False)
    for column in table.columns[:-2]:
        column.justify, column.no_wrap = "right", True
    table.columns[-2].no_wrap = True
    for i, c in enumerate(record["completions"]):
        style = "green" if c["reward"] else "red"
        values = [number(c["advantage"], True), number(c["phi"]), str(len(c["columns"]["token"]))]
        values += [number(c["surrogate"], True), number(c["kl"]), number(c["entropy"])]
        text = harmless(c["text"])
        text = text if len(text) <= 64 else text[:30] + " … " + text[-30:]
        verdict = c["reason"] if c["ended"] else c["reason"] + ", cut off"
        values += [number(negative(c["share"]), True), number(total(changes(c["columns"])), True)]
        row = [str(i), f"[{style}]{c['reward']:g}[/]", *values]
        table.add_row(*row, verdict, plain(text))
    return table


def token_table(record: dict, completion: int, limit: int):
    """The tokens of one completion, a line each, as a rich table; at most `limit` (0: all)."""
    from rich.table import Table

    numbers = ("logp", "logp_old", "logp_ref", "logp_target", "ratio", "kl", "entropy")
    names = (
        "log π_θ",
        "log π_old",
        "log π_ref",
        "log ref^",
        "ρ",
        "KL",
        "H",
        "share of J",
        "Δ log π",
    )
    table = Table("t", "token", *names, box=None, header_style="bold", pad_edge=False)
    for column in table.columns:
        column.justify, column.no_wrap = "right", True
    columns, words = record["completions"][completion]["columns"], record["vocabulary"]
    shown = columns["token"][: limit or None]
    for t, token in enumerate(shown):
        values = [number(columns[name] and columns[name][t]) for name in numbers]
        values[4] += " clipped" if columns["clipped"][t] else ""
        values += [
            number(negative(columns["share"][t]), True),
            number(changes(columns)[t], True),
        ]
        table.add_row(str(t), plain(visible(words[str(token)])), *values)
    if len(shown) < len(columns["token"]):
        table.caption = f"{len(columns['token']) - len(shown)} more: --tokens 0"
    return table


def likely_table(record: dict, completion: int, t: int):
    """The likeliest tokens at one place under the three distributions, as bars, a rich table."""
    from rich.table import Table

    columns, words = record["completions"][completion]["columns"], record["vocabulary"]
    names = {"p_policy": "π_θ", "p_after": "after", "p_ref": "π_ref", "p_target": "ref^"}
    present = {key: name for key, name in names.items() if columns[key]}
    table = Table("candidate", *present.values(), box=None, header_style="bold", pad_edge=False)
    for place, token in enumerate(columns["likely"][t]):
        drawn = token == columns["token"][t]
        cells = []
        for key in present:
            p = columns[key][t][place]
            cells.append("–" if p is None else f"{p:6.4f} " + "█" * round(p * 20))
        table.add_row(plain(visible(words[str(token)]) + (" ◂ drawn" if drawn else "")), *cells)
    return table


def negative(x: float | None) -> float | None:
    """A share of the loss −J as one of J: above 0 where it raises J."""
    return None if x is None else 0.0 - x


def changes(columns: dict) -> list[float | None]:
    """What the update did to the log-prob of each drawn token, nats."""
    pairs = zip(columns["logp"], columns["logp_after"], strict=True)
    return [None if None in pair else pair[1] - pair[0] for pair in pairs]


def total(numbers: list[float | None]) -> float | None:
    return None if None in numbers else sum(numbers)


def what_moved(record: dict, completion: int, t: int) -> str:
    """What the step did at one place, in words: which tokens became likelier, which less likely."""
    columns, words = record["completions"][completion]["columns"], record["vocabulary"]
    before, after = columns["p_policy"][t], columns["p_after"][t]
    moved = [
        (visible(words[str(token)]), q - p, math.log(q / p))
        for token, p, q in zip(columns["likely"][t], before, after, strict=True)
        if p and q and max(p, q) >= LEAST and abs(math.log(q / p)) >= LEAST
    ]
    if not moved:
        return f"The step moved nothing here by {LEAST} nats or more."
    moved.sort(key=lambda m: -abs(m[1]))
    up = [f"{word} likelier by {by:.3f}" for word, _, by in moved if by > 0][:2]
    down = [f"{word} less likely by {-by:.3f}" for word, _, by in moved if by < 0][:2]
    left = len(moved) - len(up) - len(down)
    rest = f"{left} other{'s' * (left > 1)} moved too" if left else "nothing else moved"
    return f"The step made {' and '.join(up + down)} (nats of log π); {rest}."


def plain(text: str):
    """Text for a rich table, in which [brackets] are brackets."""
    from rich.text import Text

    return Text(text)


def most_telling(group: list[dict], completion: int | None = None) -> tuple[int, int]:
    """Where to look first: the completion (None: the first wrong one, if one is) and its token.

    That is the token with the largest KL, or where the step had no KL with the largest entropy.
    """
    if completion is None:
        completion = min(range(len(group)), key=lambda i: group[i]["reward"])
    columns = group[completion]["columns"]
    values = columns["entropy"] if columns["logp_ref"] is None else columns["kl"]
    known = [t for t, x in enumerate(values) if x is not None]
    return completion, max(known, key=values.__getitem__, default=0)


def show(record: dict, completion: int, token: int, limit: int) -> None:
    """Print one record: the equation, the group, one completion's tokens, one token's candidates."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    s, prompt = record["settings"], record["prompt"]
    console.rule(
        f"step {record['step']}, update {record['update'] + 1} of {s['updates']} "
        f"({s['arm']}, KL {s['kl_form']})",
        align="left",
    )
    for line in equation(record):
        console.print(line, markup=False, style="bold")
    console.print(
        f"\nx: {visible(prompt['text'])}    gold answer: {visible(prompt['answer'])}", markup=False
    )
    mean, std = number(record["reward_mean"]), number(record["reward_std"])
    advantage = f"A = (r − {mean}) / {std}, the group's mean and standard deviation"
    if ARMS[s["arm"]].advantage is not group_advantages:
        advantage = f"A = objective.{ARMS[s['arm']].advantage.__name__}(r)"
    equal = f"A = 0: all rewards of the group are {mean}"
    console.print((advantage if record["reward_std"] else equal) + "\n")
    console.print(group_table(record))
    console.print(f"\nThe tokens of completion {completion} (--completion):\n")
    console.print(token_table(record, completion, limit))
    console.print(f"\nWhat could have stood at t = {token} (--token):\n")
    if token < len(record["completions"][completion]["columns"]["likely"]):
        console.print(likely_table(record, completion, token))
        console.print("\n" + what_moved(record, completion, token), markup=False)
    else:
        console.print("not recorded: the group is long, its later tokens have no candidates")


# ---------------------------------------------------------------- the command


@dataclass(frozen=True)
class View:
    """Show a step that `rapo_mini.py --trace DIR` recorded, and write DIR/trace.html anew."""

    folder: tyro.conf.Positional[Path]
    """DIR: the folder with trace.json."""
    step: int | None = None
    """Which traced step. None: the last."""
    completion: int | None = None
    """Whose tokens to show, counted from 0. None: the first wrong one."""
    token: int | None = None
    """At which token to show the candidates. None: with the largest KL."""
    tokens: int = 60
    """At most so many tokens of the completion; 0: all."""
    beside: Path | None = None
    """Another folder with a trace of the same step: write DIR/beside.html, the two side by side."""


def main(asked: View) -> int:
    """Print the view; the exit status (2: bad input)."""
    try:
        records = read_trace(asked.folder)
        record, completion, token = chosen(records, asked)
        beside = asked.beside and write_beside(asked.folder, asked.beside)
    except ValueError as error:
        print(f"watch: {error}", file=sys.stderr)
        return 2
    show(record, completion, token, asked.tokens)
    write_whole(asked.folder / "trace.html", page([as_json(r) for r in records]))
    steps = ", ".join(map(str, dict.fromkeys(r["step"] for r in records)))
    print(f"\ntraced steps: {steps} (--step); all of it to look at: {asked.folder / 'trace.html'}")
    if beside:
        print(f"the two runs side by side: {beside}")
    return 0


def chosen(records: list[dict], asked: View) -> tuple[dict, int, int]:
    """The record, completion and token asked for. Raises ValueError, naming the flag that is off."""
    steps = [r["step"] for r in records]
    if not records or asked.step not in (None, *steps):
        wanted = "any step" if asked.step is None else f"--step {asked.step}"
        raise ValueError(f"{wanted} is not among the traced steps: {steps or 'none yet'}")
    record = [r for r in records if asked.step in (None, r["step"])][-1]
    group = record["completions"]
    completion, token = asked.completion, asked.token
    if completion is not None and not 0 <= completion < len(group):
        raise ValueError(f"--completion {completion} must lie from 0 to {len(group) - 1}")
    completion, telling = most_telling(group, completion)
    token = telling if token is None else token
    length = len(group[completion]["columns"]["token"])
    if not 0 <= token < length:
        raise ValueError(f"--token {token} must lie from 0 to {length - 1}")
    if asked.tokens < 0:
        raise ValueError(f"--tokens {asked.tokens} must be at least 0")
    return record, completion, token
