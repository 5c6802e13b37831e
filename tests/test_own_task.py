"""The README's "your own" sections, copied: every command is run, or where it needs a network, parsed."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import warm

from watch.command_line import parse

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = ["--steps", "2", "--prompts", "2", "--group-size", "4", "--threads", "1"]
SMALL += ["--eval-problems", "2", "--eval-samples", "2"]
SMALL_EVALUATION = ["--problems", "2", "--n", "2", "--threads", "1"]


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(title: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", section(title), re.S)


def commands(title: str) -> list[str]:
    return [line for block in blocks(title, "bash") for line in block.splitlines() if line]


def run_in(folder: Path, line: str) -> str:
    """A command of the README, made small, as a shell would run it: what it printed."""
    line, _, target = (part.strip() for part in line.partition(">"))
    words = shlex.split(line)
    assert words[0] == "python"
    script = ROOT / words[1]
    small = {"rapo_mini.py": SMALL, "pass_at_k.py": SMALL_EVALUATION}.get(words[1], [])
    script = script if script.exists() else folder / words[1]
    done = warm.run(script, *words[2:], *small, cwd=folder)
    assert done.returncode == 0, done.stderr
    if target:
        (folder / target).write_text(done.stdout)
    return done.stdout


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """A folder with the README's mine.py, in which its commands have been run: what they printed."""
    folder = tmp_path_factory.mktemp("task")
    (code,) = blocks("Your own task, in ten lines", "python")
    (folder / "mine.py").write_text(code)
    return folder, [run_in(folder, line) for line in commands("Your own task, in ten lines")]


def test_the_task_of_the_readme_runs_command_by_command(task):
    folder, said = task
    assert len((folder / "mine.csv").read_text().splitlines()) == 801
    even, both, measured = (" ".join(text.split()) for text in said[1:])
    assert "the problem is in question, the answer in answer" in even
    assert "mine.csv is split by a hash" in even and "Next:" in even
    assert '"rewards": {"verify":' in (folder / "runs/both/metrics.jsonl").read_text()
    assert "mine.csv is split" in both
    assert "held out of the file" in measured and "reward:" not in measured


def test_its_reward_says_what_the_readme_says(task):
    sys.path.insert(0, str(task[0]))
    try:
        from mine import even
    finally:
        sys.path.pop(0)
    assert [
        even(text, {}) for text in (r"\boxed{4}", r"\boxed{5}", "4", r"so \boxed{1} \boxed{12}")
    ] == [
        1,
        0,
        0,
        1,
    ]


@pytest.mark.parametrize(
    "line", [line for title in ("Your own data", "Watch a run") for line in commands(title)]
)
def test_every_other_command_has_flags_that_there_are(line):
    words = shlex.split(line)
    if words[1:2] == ["rapo_mini.py"]:
        parse(words[2:])
    else:
        assert words[0] in ("pip", "tensorboard")


def test_the_table_of_formats_is_what_is_read():
    from worlds.tables import SUFFIXES, hub_name

    told = set(re.findall(r"\.\w+", section("Your own data").split("```")[0]))
    assert set(SUFFIXES) <= told
    assert hub_name("openai/gsm8k:main") and "openai/gsm8k:main" in section("Your own data")
