"""The house: nine files in the root, wings with one door, arrows that run one way and in no circle."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Who may lean on whom: a file of the root or a wing -> what its imports may name, beside libraries.
ARROWS = {
    "objective": set(),
    "answers": set(),
    "verifier": {"answers"},
    "worlds": {"verifier"},
    "settings": {"objective"},
    "problems": {"worlds", "settings", "verifier"},
    "machine": {"settings"},
    "policy": {"objective", "settings", "machine"},
    "sampler": {"machine"},
    "step": {"objective", "settings", "machine", "policy", "sampler", "problems", "verifier"},
    "watch": {"objective", "settings", "machine", "policy", "problems", "verifier", "step"},
    "pass_at_k": {"settings", "machine", "policy", "problems", "verifier", "step", "watch"},
    "rapo_mini": {
        "objective",
        "settings",
        "machine",
        "policy",
        "problems",
        "step",
        "watch",
        "pass_at_k",
    },
    "compare": {
        "objective",
        "settings",
        "policy",
        "problems",
        "watch",
        "pass_at_k",
        "rapo_mini",
    },
    "scale": {
        "objective",
        "settings",
        "machine",
        "policy",
        "problems",
        "verifier",
        "step",
        "watch",
    },
    "use": {
        "settings",
        "machine",
        "policy",
        "problems",
        "sampler",
        "step",
        "verifier",
        "watch",
    },
    "tiny_base": {"worlds"},
}
FILES = sorted(p for p in ROOT.glob("*.py")) + sorted(
    p for door in ROOT.glob("*/__init__.py") for p in door.parent.rglob("*.py")
)


def place(path: Path) -> str:
    """The file of the root, or the wing, that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands and whatever for."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides where it leads"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_leans_only_on_what_the_house_allows(path):
    me = place(path)
    leans_on = {name.split(".")[0] for name in imports(path)} & set(ARROWS) - {me}
    assert leans_on <= ARROWS[me], f"{path.name} leans on {sorted(leans_on - ARROWS[me])}"


def test_every_file_and_wing_has_its_arrows():
    assert {place(path) for path in FILES} == set(ARROWS)


def test_no_arrow_runs_in_a_circle():
    """Between files, inside the wings too, and also where an import serves typing alone."""
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in FILES}
    graph = {name: imports(path) & set(names) - {name} for name, path in names.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(names)


def test_each_wing_says_what_it_is_for_and_where_its_door_is():
    for door in ROOT.glob("*/__init__.py"):
        said = ast.get_docstring(ast.parse(door.read_text(encoding="utf-8"))) or ""
        if door.parent.name != "tiny_base":
            assert re.search(r"`[\w./ -]+`", said), door


def test_no_name_shadows_the_standard_library():
    import sys

    names = {p.stem for p in ROOT.glob("*.py")} | {
        p.parent.name for p in ROOT.glob("*/__init__.py")
    }
    assert not names & sys.stdlib_module_names
