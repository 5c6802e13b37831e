"""The course: each notebook runs and says what is saved in it, each exercise tells right from wrong.

A cell tagged `varies` holds times or sampled text: it has to run, and its output may differ.
"""

import ast
import doctest
import functools
import importlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import nbformat
import pytest
from wrong_answers import WRONG

import address
import checks
import course
import grade
import run

pytestmark = pytest.mark.notebooks

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"

PATHS = {path.stem: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
UNFILLED = "is still unfilled: replace each ... in the cell above and run it"
EXERCISES = list(checks.all_exercises())


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def tags(cell):
    return cell["metadata"].get("tags", [])


def markdown(path):
    return "\n\n".join(source(c) for c in cells(path) if c["cell_type"] == "markdown")


def printed(cell):
    return "".join("".join(o.get("text", "")) for o in cell["outputs"])


def pictures(cell):
    return sum("image/png" in o.get("data", {}) for o in cell["outputs"])


def exercises(path):
    """{number: (the student's cell, the check cell, the cell with the solution)}."""
    found, listed = {}, cells(path)
    for i, cell in enumerate(listed):
        if "exercise" in tags(cell):
            found[grade.MARK.match(source(cell))[1]] = listed[i : i + 3]
    return found


def solution(cell):
    return re.search(
        r"<details><summary>Solution</summary>\n\n```python\n(.*?)```", source(cell), re.S
    )[1]


def same_number(one, two):
    """Equal to 2% or one unit of the last decimal; 8e-08 and 2e-07 are both only rounding."""
    decimals = len(two.partition(".")[2])
    last = 1e-3 if "e" in two else 10.0**-decimals if decimals else 0.0
    values = (float(x.replace("−", "-")) for x in (one, two))
    return next(values) == pytest.approx(next(values), rel=0.02, abs=1.01 * last)


def key(name):
    """The number of a notebook: `key("04b_rule_bandit")` is "04b"."""
    return name.split("_")[0]


SHORT = ("00_start", "08_your_own_step")  # one exercise each
BROUGHT = {"08.1": ("04.1", "04.2", "04.3", "04.4")}  # answers that a solution builds on


def solved(number):
    """The solution of an exercise, with those that it builds on."""
    needed = [*BROUGHT.get(number, ()), number]
    return "\n\n".join(solution(ALL_CELLS[n][2]) for n in needed)


ALL_CELLS = {number: parts for path in PATHS.values() for number, parts in exercises(path).items()}


# ---------------------------------------------------------------- they run, and say what is saved


def test_all_are_there():
    assert list(PATHS) == list(course.NAMES.values())


def looked_at(notebook):
    """The notebook with a cell before and one after it, which look at the lines of its figures."""
    before = f"""import sys
sys.path.append({str(ROOT / "tests")!r})
import colour_vision
_alike = colour_vision.look_at_what_is_shown()"""
    after = "print(*_alike, sep='\\n', end='')"
    new = nbformat.v4.new_code_cell
    notebook.cells = [new(before), *notebook.cells, new(after)]
    return notebook


@pytest.mark.parametrize("name", PATHS)
def test_a_notebook_runs_and_says_what_is_saved_in_it(name, monkeypatch):
    monkeypatch.setattr(run, "read", lambda path, read=run.read: looked_at(read(path)))
    _, *ran, look = json.loads(json.dumps(run.execute(PATHS[name])))["cells"]
    assert printed(look) == "", "lines that a colour-blind reader takes for each other"
    for new, old in zip(ran, cells(PATHS[name]), strict=True):
        if new["cell_type"] != "code":
            continue
        assert pictures(new) == pictures(old), source(new)
        if "varies" in tags(new) or "start" in tags(new):
            continue
        says, said = printed(new), printed(old)
        assert NUMBER.sub("#", says) == NUMBER.sub("#", said), source(new)
        for one, two in zip(NUMBER.findall(says), NUMBER.findall(said), strict=True):
            assert same_number(one, two), (source(new), one, two)


@pytest.mark.parametrize("name", PATHS)
def test_the_saved_outputs_are_those_of_one_fast_run(name):
    code = [c for c in cells(PATHS[name]) if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))
    (parameters,) = (c for c in code if "parameters" in tags(c))
    assert source(parameters).startswith("FAST = True  # ")
    assert "torch " in printed(code[0] if "start" in tags(code[0]) else code[1])
    for cell in code:
        kinds = {o["output_type"] for o in cell["outputs"]}
        assert "error" not in kinds
        if "varies" not in tags(cell):
            assert not any(o.get("name") == "stderr" for o in cell["outputs"]), source(cell)
    assert sum(map(pictures, code)) >= 2


# ---------------------------------------------------------------- what a notebook is made of


@pytest.mark.parametrize("name", PATHS)
def test_each_begins_and_ends_as_the_others_do(name):
    text = markdown(PATHS[name])
    title = f"# {key(name).lstrip('0') or '0'}. "
    assert text.startswith("[![") and title in text
    assert text.count(course.loop_map(key(name))) == 1
    assert "### References" in text
    for part in ("**After this notebook you can**", "**You need**", "**Time**"):
        assert text.count(part) == 1, part
    assert re.findall(r"^## (.*)", text, re.M)[-1] == "Where this stands in the paper"
    kinds = [c["cell_type"] for c in cells(PATHS[name])]
    runs = re.findall(r"c+", "".join(kind[0] for kind in kinds))
    assert max(map(len, runs)) <= 3, "text and code alternate"


@pytest.mark.parametrize("name", PATHS)
def test_a_cell_fits_a_screen(name):
    for cell in cells(PATHS[name]):
        if cell["cell_type"] == "code":
            assert len(cell["source"]) <= 40, source(cell)


@functools.cache
def names_of_the_library():
    """What the root's modules know by name, and what the wings' modules define."""
    rooms = [p.stem for p in ROOT.glob("*.py")]
    names = {n for room in rooms for n in vars(importlib.import_module(room))}
    for path in ROOT.glob("*/*.py"):
        if path.parent.name in ("answers", "compare", "machine", "scale", "watch", "worlds"):
            body = ast.parse(path.read_text(encoding="utf-8")).body
            names |= {x.name for x in body if isinstance(x, (ast.FunctionDef, ast.ClassDef))}
    return names - {"main"}


@pytest.mark.parametrize("name", PATHS)
def test_nothing_of_the_library_is_defined_again(name):
    taken = names_of_the_library()
    for cell in cells(PATHS[name]):
        if cell["cell_type"] == "code":
            body = re.sub(r"^[%!]", "#", source(cell), flags=re.M)
            for node in ast.walk(ast.parse(body)):
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    assert node.name not in taken, node.name


# ---------------------------------------------------------------- exercises


@pytest.mark.parametrize("name", PATHS)
def test_three_to_five_exercises_each_with_its_check_and_solution(name):
    found = exercises(PATHS[name])
    assert len(found) == 1 if name in SHORT else 3 <= len(found) <= 5
    numbers = [n for n in EXERCISES if grade.notebook_of(n) == key(name)]
    assert list(found) == numbers == [f"{key(name)}.{i + 1}" for i in range(len(found))]
    for number, (cell, check, answer) in found.items():
        asked = checks.load(number).name
        assert tags(check) == ["check"] and source(check) == f'check("{number}", {asked})'
        assert asked in source(cell) and asked in solution(answer)
        assert f"### Exercise {number}: " in markdown(PATHS[name])
        assert printed(check) == f"✗ Exercise {number}: {asked} {UNFILLED}\n"


@pytest.mark.parametrize("number", EXERCISES)
def test_the_solution_passes_and_the_unfilled_cell_fails_with_its_sentence(number):
    cell = ALL_CELLS[number][0]
    passed, sentence = grade.grade_cells({number: solved(number)})[number]
    assert passed, sentence
    found = grade.grade_cells({number: source(cell)})[number]
    assert found == (False, f"{checks.load(number).name} {UNFILLED}")


@pytest.mark.parametrize(("number", "code", "says"), WRONG, ids=[f"{w[0]}: {w[2]}" for w in WRONG])
def test_a_wrong_answer_is_told_what_is_wrong(number, code, says):
    passed, sentence = grade.grade_cells({number: code})[number]
    assert not passed
    assert says in sentence


def test_the_examples_in_the_checks_are_right():
    assert doctest.testmod(checks).failed == 0
    for module in (address, course, grade):
        assert doctest.testmod(module).failed == 0


def test_every_exercise_has_four_wrong_answers_each_with_a_sentence_of_its_own():
    for number in EXERCISES:
        said = [says for of, _, says in WRONG if of == number]
        assert len(set(said)) == len(said) >= 4, number
    assert {number for number, _, _ in WRONG} == set(EXERCISES)


# ---------------------------------------------------------------- grading


def filled(name, changes):
    """The notebook with some exercise cells replaced."""
    notebook = json.loads(PATHS[name].read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        mark = grade.MARK.match(source(cell))
        if mark and mark[1] in changes:
            cell["source"] = f"# Exercise {mark[1]}\n{changes[mark[1]]}"
        if "check" in tags(cell):
            cell["source"] = "print('✓ all is well')"
    return json.dumps(notebook)


def graded(folder, *flags):
    """What `grade.py` says of a folder: its finished process, and the table's lines by file."""
    command = [sys.executable, NOTEBOOKS / "grade.py", folder, *flags]
    typed = "1\n" * 99  # what a teacher has at the keyboard is none of a cell's business
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, input=typed)
    return done, {line.split("  ")[0]: line for line in done.stdout.splitlines()}


def test_a_folder_of_submissions_is_graded(tmp_path):
    solutions = {n: solution(parts[2]) for n, parts in exercises(PATHS["03_kl"]).items()}
    cut = json.loads(filled("03_kl", solutions))
    cut["cells"] = [c for c in cut["cells"] if "Exercise 03.2\n" not in source(c)]
    handed_in = {
        "anna.ipynb": filled("03_kl", solutions),
        "ben/03 (copy).ipynb": filled("03_kl", {}),
        "carl.ipynb": filled("03_kl", {"03.3": solutions["03.3"], "03.2": "my_price = 1/0"}),
        "cut.ipynb": json.dumps(cut),
        "notes.ipynb": "not a notebook",
        "empty.ipynb": json.dumps({"cells": []}),
        "broken.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": [], "metadata": 0}]}),
    }
    for name, text in handed_in.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    done, lines = graded(tmp_path, "--why", "--csv", tmp_path / "marks.csv")
    assert done.returncode == 0, done.stderr
    assert lines["anna.ipynb"].endswith("5 of 5")
    assert lines["ben/03 (copy).ipynb"].endswith("0 of 5")
    assert lines["carl.ipynb"].endswith("1 of 5")
    assert "carl.ipynb 03.2: the cell stops with ZeroDivisionError" in done.stdout
    assert lines["cut.ipynb"].endswith("4 of 5")
    assert "cut.ipynb 03.2: no cell begins with `# Exercise 03.2`" in done.stdout
    for name in ("notes.ipynb", "empty.ipynb", "broken.ipynb"):
        assert name in done.stderr
    assert len((tmp_path / "marks.csv").read_text().splitlines()) == 1 + 4 * 5


HOSTILE = {
    "while True: pass": "took longer than the 20 s",
    "import os; os._exit(3)": "ended the process (status 3)",
    "raise SystemExit": "the cell stops with SystemExit",
    "my_k3 = lambda a, b: exit()": "the cell stops with SystemExit",
    "my_k3 = lambda a, b: helper(a, b)": "all that it needs has to stand in the exercise's own cell",
    "my_k3 = input()": "the cell stops with EOFError",
    "x = [bytearray(10**9) for _ in range(9)]": "the cell stops with MemoryError",
    "raise ValueError('long ' * 10**6)": "long long ",
    "print('x' * 10**8)\nimport sys; sys.__stdout__.write('x' * 10**8)": "does not define my_k3",
    "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(999)'])"
    "\nmy_k3 = 0": "my_k3 has to be a function",
}


def test_one_cell_spoils_no_other(tmp_path):
    solutions = {n: solution(parts[2]) for n, parts in exercises(PATHS["03_kl"]).items()}
    for i, code in enumerate(HOSTILE):
        text = filled("03_kl", solutions | {"03.3": code})
        (tmp_path / f"eve{i}.ipynb").write_text(text, encoding="utf-8")
    done, lines = graded(tmp_path, "--why", "--seconds", "20")
    for i, says in enumerate(HOSTILE.values()):
        assert lines[f"eve{i}.ipynb"].endswith("4 of 5"), done.stdout + done.stderr
        (why,) = (x for x in done.stdout.splitlines() if x.startswith(f"eve{i}.ipynb 03.3: "))
        assert says in why and len(why) < 400


def test_exercises_of_several_notebooks_in_one_file_with_magics():
    cells = {n: solution(ALL_CELLS[n][2]) for n in ("03.3", "04.1", "05.2", "06.2")}
    cells["04.1"] += "\n%timeit 1\n!ls\n"
    assert all(passed for passed, _ in grade.grade_cells(cells).values())


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "no notebook of the course lies in"),
        (["--seconds", "0"], "--seconds 0: at least 1 is needed"),
        (["--csv", "no_such_folder/marks.csv"], "there is no folder"),
    ],
)
def test_the_grader_says_what_it_needs(flags, says, tmp_path):
    done, _ = graded(tmp_path, *flags)
    assert done.returncode == 2 and says in done.stderr


# ---------------------------------------------------------------- links, files, commands


PAGES = {"README": (NOTEBOOKS / "README.md").read_text(encoding="utf-8")}
PAGES |= {name: markdown(path) for name, path in PATHS.items()}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_and_file_that_is_named_exists(name):
    text = PAGES[name]
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (NOTEBOOKS / target).exists(), target
    known = {p.name for p in ROOT.rglob("*") if ".ci" not in p.parts}
    for quoted in re.findall(r"`([^`\s]+\.(?:py|md|txt|ipynb|png))`", text):
        assert (ROOT / quoted).exists() or (NOTEBOOKS / quoted).exists() or quoted in known, quoted
    for test in re.findall(r"`(test_\w+)`", text):
        assert any(f"def {test}(" in p.read_text() for p in (ROOT / "tests").rglob("*.py")), test


@pytest.mark.parametrize("name", PAGES)
def test_every_command_that_is_named_exists_with_its_flags(name):
    commands = re.findall(r"python ((?:\w+/)*\w+\.py)([^`\n#]*)", PAGES[name])
    for script, arguments in commands:
        text = (ROOT / script).read_text(encoding="utf-8")
        if script == "rapo_mini.py":
            rooms = (ROOT / "settings.py", ROOT / "watch" / "preset.py")  # where its flags are
            text = "".join(room.read_text(encoding="utf-8") for room in rooms)
        for flag in re.findall(r"--([\w-]+)", arguments):
            assert flag.replace("-", "_") in text, (script, flag)
    for wing, arguments in re.findall(r"python -m (\w+)([^`\n#]*)", PAGES[name]):
        if wing not in ("pip", "pytest"):
            assert (ROOT / wing / "__main__.py").exists(), wing
            text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / wing).glob("*.py"))
            for flag in re.findall(r"--([\w-]+)", arguments):
                assert flag.replace("-", "_") in text, (wing, flag)
    from settings import Settings

    settings = {f.name for f in fields(Settings)}
    for flag in re.findall(r"`--([\w-]+)", PAGES[name]):
        own = "".join(p.read_text(encoding="utf-8") for p in NOTEBOOKS.glob("*.py"))
        own += (ROOT / "pass_at_k.py").read_text(encoding="utf-8")
        assert flag.replace("-", "_") in settings or flag.replace("-", "_") in own, flag


def test_the_pages_for_readers_name_all_notebooks():
    for page in (PAGES["README"], (ROOT / "README.md").read_text(encoding="utf-8")):
        for name in PATHS:
            assert name in page, name


@pytest.mark.parametrize("name", PATHS)
def test_colab_opens_the_repository_that_the_first_cell_fetches(name):
    first, *others = cells(PATHS[name])
    assert source(first).startswith(address.badge(name))
    assert address.badge(name) in (ROOT / "README.md").read_text(encoding="utf-8")
    (start,) = (source(c) for c in others if "start" in tags(c))
    assert f'"https://github.com/{course.REPOSITORY}"' in start


def test_the_address_is_set_in_one_place(tmp_path):
    shutil.copytree(
        ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns(".git", "runs", ".ci", "venv")
    )
    copy = tmp_path / "copy" / "notebooks"
    command = [sys.executable, copy / "address.py"]
    done = subprocess.run([*command, "me/mine"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for path in (copy / "course.py", copy.parent / "README.md", *copy.glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        assert "me/mine" in text and course.REPOSITORY not in text
    done = subprocess.run([*command, "no address"], capture_output=True, text=True)
    assert done.returncode == 2 and "'no address' is no address" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--full", "03_kl"], "--full needs --out"),
        (["--full", "--out", NOTEBOOKS, "03_kl"], "--full needs --out"),
        (["--out", NOTEBOOKS / "run.py", "03_kl"], "is a file, and a folder is needed"),
        (["no_such_notebook"], "no notebook is called 'no_such_notebook'; there are 00_start"),
    ],
)
def test_the_runner_refuses_to_overwrite_the_fast_outputs(arguments, says, tmp_path):
    command = [sys.executable, NOTEBOOKS / "run.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr


def test_full_is_one_variable(tmp_path):
    shutil.copy(PATHS["03_kl"], tmp_path / "03_kl.ipynb")
    notebook = run.read(tmp_path / "03_kl.ipynb")
    before = [c.source for c in notebook.cells]
    run.set_fast(notebook, False)
    changed = [(a, c.source) for a, c in zip(before, notebook.cells, strict=True) if a != c.source]
    assert [(a.split("  #")[0], b.split("  #")[0]) for a, b in changed] == [
        ("FAST = True", "FAST = False")
    ]
