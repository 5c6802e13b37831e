"""The command line of a run: settings from flags, group by group; errors as one sentence."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable
from dataclasses import fields, make_dataclass, replace
from pathlib import Path

import tyro

from settings import GROUPS, Settings, flag
from watch.files import reason
from watch.run_folder import load_config, located
from watch.stopping import interrupt, on_stop
from watch.terminal import steady_screen


def from_flags(
    kind: type[Settings], arguments: list[str] | None, default: Settings | None = None
) -> Settings:
    """The settings of this kind that flags ask for; `--help` shows them group by group.

    `Settings` is flat and its groups are its bases, so the flags are parsed into one object a group.
    What a kind adds to the groups of `Settings` comes last.
    """
    own = [(f.name, f.type, f) for f in fields(kind) if f.name not in Settings.__dataclass_fields__]
    groups = [*GROUPS, *([make_dataclass("Own", own)] if own else [])]
    default = default or kind()
    parts = {
        group.__name__: group(**{f.name: getattr(default, f.name) for f in fields(group)})
        for group in groups
    }
    flags = make_dataclass("Flags", [(name, type(part), part) for name, part in parts.items()])
    given = tyro.cli(
        flags,
        args=arguments,
        description=inspect.cleandoc(kind.__doc__),
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return kind(**{k: v for part in dataclasses.asdict(given).values() for k, v in part.items()})


def parse(arguments: list[str] | None = None, kind: type[Settings] = Settings) -> Settings:
    """The settings, of this kind, that a command line asks for; None: this program's own.

    Beside --resume the only flag that may say something new is --steps: anything else would be another
    run, so it raises ValueError.
    """
    given = from_flags(kind, arguments)
    if given.resume is None:
        return given
    saved = replace(load_config(Path(given.resume), kind), resume=given.resume)
    # Parsed again on top of the saved settings: now a flag that is not given has the saved value.
    given = located(from_flags(kind, arguments, saved))
    for field in fields(kind):
        ours, theirs = getattr(given, field.name), getattr(saved, field.name)
        if field.name != "steps" and ours != theirs:
            raise ValueError(
                f"{flag(field.name)} {ours} differs from the {theirs} that the run in {given.resume} was "
                "started with: a resumed run keeps its settings but --steps"
            )
    return given


def resumed(given: Settings) -> Settings:
    """The saved settings of the run that given.resume names, with given.steps."""
    saved = load_config(Path(given.resume), type(given))
    return replace(saved, steps=given.steps, out=given.resume)


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
        except OSError as error:
            print(f"{program}: {reason(error)}; what was saved before is whole", file=sys.stderr)
            return 1
