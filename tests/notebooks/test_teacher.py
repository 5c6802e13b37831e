"""The teacher's kit: the student edition, the slides, the points, and that all is found from the page."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import SlidesExporter

import checks
import course
import grade
import student

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
TEACHER = NOTEBOOKS / "teacher"
PAGE = (TEACHER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", course.NAMES.values())
def test_the_student_edition_has_no_solution_and_the_same_exercises(name, tmp_path):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    before = grade.exercise_cells(NOTEBOOKS / f"{name}.ipynb")
    handed_out = student.student_edition(notebook, "../notebooks")
    nbformat.write(handed_out, tmp_path / "copy.ipynb")
    text = (tmp_path / "copy.ipynb").read_text(encoding="utf-8")
    assert "Solution</summary>" not in text
    assert grade.exercise_cells(tmp_path / "copy.ipynb") == before
    assert not any(c.get("outputs") for c in json.loads(text)["cells"])
    nbformat.validate(handed_out)


def test_links_of_the_student_edition_lead_somewhere(tmp_path):
    out = ROOT / "notebooks" / "no_such_folder"
    for name in course.NAMES.values():
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        edition = student.student_edition(notebook, "../../notebooks")
        for cell in edition.cells:
            if cell.cell_type == "markdown":
                for target in student.LINK.findall(cell.source):
                    there = NOTEBOOKS / target if target.endswith(".ipynb") else out / target
                    assert there.resolve().exists(), (name, target)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", str(NOTEBOOKS)], "a folder of its own inside"),
        (["--out", "/tmp/elsewhere"], "a folder of its own inside"),
        (["--out", str(ROOT / "student"), "no_such"], "no notebook is called 'no_such'"),
        (["--out", str(ROOT / "README.md")], "is a file, and a folder is needed"),
    ],
)
def test_the_student_edition_overwrites_nothing(arguments, says):
    command = [sys.executable, str(NOTEBOOKS / "student.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and says in done.stderr


def test_every_exercise_has_points_and_the_page_says_which():
    assert set(checks.POINTS) == set(checks.all_exercises())
    said = dict(re.findall(r"(\d\d[a-z]?\.\d): (\d)\b", PAGE))
    assert {number: str(points) for number, points in checks.POINTS.items()} == said


def test_the_slides_are_slides():
    page, _ = SlidesExporter(exclude_input=True).from_filename(str(TEACHER / "slides.ipynb"))
    assert page.count("<section>") >= 13
    kinds = [
        c.metadata["slideshow"]["slide_type"]
        for c in nbformat.read(TEACHER / "slides.ipynb", as_version=4).cells
    ]
    assert kinds.count("notes") >= 5 and kinds.count("slide") == 13
    assert "VOTE" in page and "Board:" in page


def test_lecture_and_lab_are_planned_to_the_minute():
    for title, minutes in (("The lecture (90 minutes)", 90), ("The lab (3 hours)", 180)):
        part = PAGE.split(f"## {title}")[1].split("\n## ")[0]
        spans = [tuple(map(int, m)) for m in re.findall(r"^\| (\d+) - (\d+) \|", part, re.M)]
        assert spans[0][0] == 0 and spans[-1][1] == minutes
        assert all(one[1] == two[0] for one, two in zip(spans, spans[1:], strict=False))


def test_the_course_page_leads_to_everything_a_teacher_needs():
    front = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    doors = front.split("\n## ")[0]
    for word in ("lecture", "lab", "slides", "student edition", "grad", "rubric"):
        assert word in doors.lower(), word
