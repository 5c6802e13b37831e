"""The commands and the lines of Python in README.md and docs/use.md, run as they stand there."""

import io
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch

from settings import BUNDLED_BASE
from use import push as push_room
from use.__main__ import main, parse

ROOT = BUNDLED_BASE.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    "README": README.split("\n## Out: talk to it, merge it, share it\n")[1].split("\n## ")[0],
    "docs/use.md": (ROOT / "docs" / "use.md").read_text(encoding="utf-8"),
}


def commands(page: str) -> list[str]:
    """The lines of a page's blocks for a shell that call a program of ours."""
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGES[page], re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if "python -m use" in line]


@pytest.fixture(scope="module")
def desk(finished_run, tmp_path_factory):
    """A folder that looks like the checkout to somebody who has trained runs/my-run."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(finished_run, folder / "runs" / "my-run")
    (folder / "tiny_base").symlink_to(BUNDLED_BASE, target_is_directory=True)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_every_command_does_what_the_page_says(page, desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    monkeypatch.setattr(push_room, "check_login", lambda name: None)
    monkeypatch.setattr(push_room, "upload", lambda folder, asked: f"hub/{asked.name}")
    for name in ("merged", "look"):
        shutil.rmtree(name, ignore_errors=True)
    verbs = set()
    for line in commands(page):
        given, _, call = line.rpartition("| ")
        typed = shlex.split(given)[1] if given else ""
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed + "\n"))
        words = shlex.split(call)
        assert words[:3] == ["python", "-m", "use"], line
        assert main(parse(words[3:])) == 0, line
        verbs.add(words[3])
    out = capsys.readouterr().out
    assert verbs == {"talk", "merge", "push"} and "shared: hub/me/my-model" in out
    assert "-> " in out and "at most" in out
    assert (desk / "merged" / "model.safetensors").exists() and (desk / "look/README.md").exists()


@pytest.mark.parametrize("page", PAGES)
def test_the_lines_of_python_load_what_was_trained(page, desk, monkeypatch):
    monkeypatch.chdir(desk)
    if not Path("merged").exists():
        assert main(parse(["merge", "runs/my-run", "merged"])) == 0
    blocks = re.findall(r"^```python\n(.*?)^```", PAGES[page], re.M | re.S)
    assert len(blocks) == (2 if page == "docs/use.md" else 1)
    logits = []
    for block in blocks:
        there = {}
        exec(block, there)
        ids = there["tokenizer"]("What comes next: 2, 5, 8, 11?\n", return_tensors="pt").input_ids
        with torch.no_grad():
            logits.append(there["model"](input_ids=ids).logits.float())
    assert (logits[0] - logits[-1]).abs().max() < 0.5, "merged, and the adapter on its base"


def test_the_readme_names_the_page_and_the_page_every_flag():
    assert "docs/use.md" in PAGES["README"]
    page = PAGES["docs/use.md"]
    for flag in ("--n", "--gold", "--onto", "--dtype", "--dry-run", "--private", "--update"):
        assert flag in page, flag
    assert "/gold" in page
