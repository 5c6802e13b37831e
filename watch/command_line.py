"""The command line of a run: settings from flags, group by group; errors as one sentence."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, make_dataclass, replace
from pathlib import Path

import tyro

from machine.fixed_decode import CaptureFailed
from settings import FREE_TO_CHANGE, Settings, flag
from watch.files import reason
from watch.preset import Preset, asked_preset, paper_settings, table_of_paper
from watch.run_folder import load_config, located
from watch.stopping import interrupt, on_stop
from watch.terminal import steady_screen


def from_flags(
    kind: type[Settings], arguments: list[str] | None, default: Settings | None = None
) -> Settings:
    """The settings of this kind that flags ask for; `--help` shows them group by group.

    `Settings` is flat and its groups are its bases, so the flags are parsed into one object a group.
    A kind adds flags of its own by one more base; they come last.
    """
    groups = [base for base in reversed(kind.__mro__) if dataclasses.is_dataclass(base)]
    groups = [base for base in groups if not issubclass(base, Settings)]
    default = default or kind()
    parts = {"Preset": Preset(asked_preset(arguments)[0])} | {
        group.__name__: group(**{f.name: getattr(default, f.name) for f in fields(group)})
        for group in groups
    }
    flags = make_dataclass("Flags", [(name, type(part), part) for name, part in parts.items()])
    given = tyro.cli(
        flags,
        args=arguments,
        description=inspect.cleandoc(kind.__doc__),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.UseAppendAction),
    )
    values = {k: v for part in dataclasses.asdict(given).values() for k, v in part.items()}
    del values["preset"]
    return kind(**values)


def parse(arguments: list[str] | None = None, kind: type[Settings] = Settings) -> Settings:
    """The settings, of this kind, that a command line asks for; None: this program's own.

    Beside --resume only --steps may say something new, in `rapo_mini.py` those of FREE_TO_CHANGE too:
    anything else would be another run, so it raises ValueError.
    """
    refuse_truncated_sampling(arguments)
    preset, model = asked_preset(arguments)
    default = paper_settings(kind, model) if preset == "paper" else None
    given = from_flags(kind, arguments, default)
    if given.resume is None:
        if default:
            print(table_of_paper(given))
        return given
    saved = replace(load_config(Path(given.resume), kind), resume=given.resume)
    # Parsed again on top of the saved settings: now a flag that is not given has the saved value.
    given = located(from_flags(kind, arguments, saved))
    free = ("steps", *(FREE_TO_CHANGE if kind is Settings else ()))
    for field in fields(kind):
        ours, theirs = getattr(given, field.name), getattr(saved, field.name)
        if field.name not in free and ours != theirs:
            raise ValueError(
                f"{flag(field.name)} {ours} differs from the {theirs} that the run in {given.resume} was "
                f"started with: a resumed run keeps its settings but {', '.join(map(flag, free))}"
            )
    return given


def refuse_truncated_sampling(arguments: Sequence[str] | None) -> None:
    """Raise ValueError, with the reason, for the flags of an evaluation that training must not have."""
    given = sys.argv[1:] if arguments is None else arguments
    for name in ("--top-p", "--top-k", "--min-p"):
        if any(word == name or word.startswith(name + "=") for word in given):
            raise ValueError(
                f"{name} is for evaluation only (python pass_at_k.py --top-p): training draws from the "
                "whole distribution, because log pi_old must be that of the distribution that y came from"
            )


def resumed(given: Settings) -> Settings:
    """The saved settings of the run that given.resume names, with given.steps and what memory needs."""
    saved = load_config(Path(given.resume), type(given))
    values = {name: getattr(given, name) for name in ("steps", *FREE_TO_CHANGE)}
    changed = {name: value for name, value in values.items() if value is not None}
    return replace(saved, **changed, out=given.resume)


def command(program: str, main: Callable[[Settings], int], kind: type[Settings] = Settings) -> int:
    """Run a program's `main` on its command line; its exit status, or 2 for flags that cannot be."""
    try:
        given = parse(kind=kind)
    except (ValueError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return main(given)


def guarded(program: str, work: Callable[..., int], given) -> int:
    """work(given); a failing screen stops nothing, a failing file is a sentence, TERM and HUP are Ctrl-C.

    The exit status: what `work` says, 1 for a file that cannot be written, 130 stopped.
    """
    with steady_screen(), on_stop(interrupt):
        try:
            return work(given)
        except KeyboardInterrupt:
            print(f"{program}: stopped", file=sys.stderr)
            return 130
        except CaptureFailed as error:
            print(f"{program}: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            print(f"{program}: {reason(error)}; what was saved before is whole", file=sys.stderr)
            return 1
