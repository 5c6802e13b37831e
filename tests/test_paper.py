"""docs/paper.md against the code: the tests it names exist, and so does what a finished row names."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
PENDING = "(test to be named)"
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| pass@")
]


def cells(row):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def test_every_row_says_where_it_runs_and_what_holds_it_or_why_not():
    tables = [row for row in ROWS if len(cells(row)) == 4]
    assert len(tables) > 60
    for row in tables:
        paper, here, held, why = cells(row)
        assert paper and here, row
        assert held or why, row


def test_every_test_that_it_names_exists():
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 50
    for file, test in named:
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"def {test}(" in text, (file, test)


@pytest.mark.parametrize("row", [row for row in ROWS if PENDING not in row])
def test_what_a_row_names_exists(row):
    for room, function in re.findall(r"`(\w+)\.(\w+)`", row):
        if function not in ("py", "md"):
            assert hasattr(importlib.import_module(room), function), (room, function)


def test_the_base_on_hard_is_never_given_as_a_number():
    assert not re.search(r"\b0\.000\b", PAGE)
    assert "by construction" in PAGE


def test_the_papers_results_are_quoted_with_their_k():
    for part in re.split(r"\n## ", PAGE):
        if re.search(r"(?<![\d.])\.\d{3}\b", part):
            assert "k = 1024" in part
