"""README.md against the code: tables, names, files. `python tests/test_readme.py` prints the tables."""

import ast
import importlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "tiny_base" / "README.md"]


def settings_table() -> str:
    """The README's table of settings, from the source of the dataclass."""
    tree = ast.parse((ROOT / "settings.py").read_text(encoding="utf-8"))
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Settings").body
    lines = ["| flag | default | |", "|---|---|---|"]
    for field, doc in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign):
            default = ast.literal_eval(field.value)
            name = field.target.id.replace("_", "-")
            lines.append(f"| `--{name}` | {default} | {doc.value.value} |")
    return "\n".join(lines)


def arms_table() -> str:
    from objective import ARMS

    lines = ["| arm | `--alpha` | `--beta` | `--phi-min` |", "|---|---|---|---|"]
    for name, arm in ARMS.items():
        lines.append(f"| `{name}` | {arm.alpha:g} | {arm.beta:g} | {arm.phi_min:g} |")
    return "\n".join(lines)


def test_the_settings_table_is_the_dataclass():
    assert settings_table() in README


def test_the_table_of_arms_is_the_codes():
    assert arms_table() in README


def test_each_equation_has_its_function_and_its_test():
    rows = re.findall(
        r"^\| .* \| `(\w+)\.(\w+)` \| `(?:tests/)?(test_\w+\.py)(?:::(\w+))?` \|$", README, re.M
    )
    assert len(rows) >= 12
    for room, function, file, test in rows:
        assert hasattr(importlib.import_module(room), function), (room, function)
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in text, (file, test)


def test_every_metric_is_explained(tmp_path):
    import rapo_mini
    from settings import Settings, resolve

    settings, _ = resolve(Settings(prompts=1, group_size=2, max_new_tokens=4, out=str(tmp_path)))
    for metric in json.loads(json.dumps(rapo_mini.train_step(rapo_mini.Run(settings))[0])):
        assert f"`{metric}`" in README, metric


def test_every_link_leads_to_a_file():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_every_script_that_a_command_names_exists():
    for page in PAGES:
        for script in re.findall(r"python ((?:\w+/)*\w+\.py)", page.read_text(encoding="utf-8")):
            assert (ROOT / script).exists(), (page.name, script)


def test_every_room_stands_in_the_readme():
    for room in ROOT.glob("*.py"):
        assert f"`{room.name}`" in README, room.name


if __name__ == "__main__":
    print(settings_table(), arms_table(), sep="\n\n")
