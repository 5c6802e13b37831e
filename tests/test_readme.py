"""README.md against the code: tables, names, files. `python tests/test_readme.py` prints the tables."""

import ast
import importlib
import json
import re
import sys
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from objective import ARMS  # noqa: E402
from settings import GROUPS, First  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "tiny_base" / "README.md"]


NINE = {  # in the order of one step, each with its one idea
    "rapo_mini.py": "the command and the loop: problems → rollout → learn → log",
    "settings.py": "every choice of a run: one dataclass in groups, its defaults, its checks",
    "problems.py": "a problem, its prompt, and the door to where problems come from",
    "policy.py": "one set of weights, two policies: log π, log ref, H and KL of each token, in chunks",
    "sampler.py": "a prompt → a group of completions and their log-probs",
    "verifier.py": "completion → final answer → `Verdict`",
    "objective.py": "the mathematics: pure functions on tensors, and what each arm is",
    "step.py": "the two verbs, `rollout` and `learn`, and the record between them",
    "pass_at_k.py": "was it worth it? pass@k of base and trained, with intervals",
}


def nine_table() -> str:
    """The files of the root with the lines of each, to the nearest ten."""
    lines = ["| file | the one idea | lines |", "|---|---|---|"]
    for name, idea in NINE.items():
        count = len((ROOT / name).read_text(encoding="utf-8").splitlines())
        lines.append(f"| [`{name}`]({name}) | {idea} | {round(count, -1)} |")
    return "\n".join(lines)


def settings_tables() -> str:
    """The README's tables of settings, group by group, from the source of the dataclasses."""
    tree = ast.parse((ROOT / "settings.py").read_text(encoding="utf-8"))
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    tables = []
    for group in GROUPS:
        title, *body = classes[group.__name__].body
        lines = [
            f"**{title.value.value.capitalize()}**",
            "",
            "| flag | default | |",
            "|---|---|---|",
        ]
        for field, doc in zip(body, body[1:], strict=False):
            if isinstance(field, ast.AnnAssign):
                default = ast.literal_eval(field.value)
                name = field.target.id.replace("_", "-")
                lines.append(f"| `--{name}` | {default} | {doc.value.value} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def arms_table() -> str:
    head = "| arm | `--alpha` | `--beta` | `--phi-min` | `--fork-entropy` | advantage |"
    lines = [head, "|---" * 6 + "|"]
    for name, arm in ARMS.items():
        numbers = (arm.alpha, arm.beta, arm.phi_min, arm.fork_entropy)
        shown = " | ".join(f"{number:g}" for number in numbers)
        lines.append(f"| `{name}` | {shown} | `{arm.advantage.__name__}` |")
    return "\n".join(lines)


def test_the_nine_stand_in_the_readme_and_alone_in_the_root():
    assert nine_table() in README
    assert {p.name for p in ROOT.glob("*.py")} == set(NINE)


def test_the_settings_tables_are_the_dataclasses():
    assert settings_tables() in README
    assert len(fields(First)) <= 18, "what a learner sees first"


def test_the_table_of_arms_is_the_codes():
    assert arms_table() in README


def test_each_equation_has_its_function_and_its_test():
    rows = re.findall(
        r"^\| .* \| `(\w+)\.(\w+)` \| `((?:\w+/)?test_\w+\.py)(?:::(\w+))?` \|$", README, re.M
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
        text = page.read_text(encoding="utf-8")
        for script in re.findall(r"python ((?:\w+/)*\w+\.py)", text):
            assert (ROOT / script).exists() or script == "mine.py", (page.name, script)
        for module in re.findall(r"(?:python|accelerate launch .*) -m ([\w.]+)", text):
            assert module in ("pytest", "venv", "pip") or find_spec(module), (page.name, module)


def test_every_wing_stands_in_the_readme():
    for room in ROOT.glob("*/__init__.py"):
        assert f"`{room.parent.name}/`" in README, room.parent.name


if __name__ == "__main__":
    print(nine_table(), settings_tables(), arms_table(), sep="\n\n")
