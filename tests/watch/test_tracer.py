"""watch/tracer.py: the files of a trace, what they survive, and the view in the terminal."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import warm

import rapo_mini
from settings import Settings
from watch import run_folder
from watch import tracer as room
from watch.run_folder import load_config
from watch.view import what_moved

pytestmark = pytest.mark.usefixtures("no_picture")
ROOT = Path(rapo_mini.__file__).parent
SMALL = {"prompts": 2, "group_size": 4, "max_new_tokens": 48, "show_every": 0, "threads": 1}
SMALL |= {"eval_problems": 0}


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """The command itself: three steps, each traced."""
    folder = tmp_path_factory.mktemp("traced")
    flags = [x for k, v in SMALL.items() for x in ("--" + k.replace("_", "-"), v)]
    given = ("--steps", 3, "--trace", "out", "--out", "run", *flags)
    done = warm.run(ROOT / "rapo_mini.py", *given, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def steps_in(folder):
    return [record["step"] for record in room.read_trace(folder)]


# ---------------------------------------------------------------- trace.json and trace.html


def test_the_traced_numbers_are_those_of_metrics_jsonl(traced):
    folder, screen = traced
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    records = room.read_trace(folder / "out")
    assert [r["metrics"] for r in records] == [json.loads(line) for line in lines]
    for record in records:
        assert sum(record["rows"]["share"]) == pytest.approx(record["metrics"]["loss"], abs=1e-6)
    assert "out/trace.html" in screen and "python -m watch out" in screen


class Parts(HTMLParser):
    """The elements of a page that could fetch something, and the texts of its scripts."""

    def __init__(self):
        super().__init__()
        self.fetching, self.scripts, self.open = [], [], None

    def handle_starttag(self, tag, attributes):
        if {"src", "href", "srcset", "data", "action"} & {name for name, _ in attributes}:
            self.fetching.append(tag)
        self.open = dict(attributes) if tag == "script" else None

    def handle_data(self, text):
        if self.open is not None:
            self.scripts.append((self.open, text))

    def handle_endtag(self, tag):
        self.open = None


def parts_of(html):
    parser = Parts()
    parser.feed(html)
    return parser


def test_the_page_holds_the_records_and_asks_for_nothing(traced):
    folder, _ = traced
    html = (folder / "out" / "trace.html").read_text(encoding="utf-8")
    parts = parts_of(html)
    held = [
        json.loads(text)
        for attributes, text in parts.scripts
        if attributes.get("class") == "record"
    ]
    assert held == room.read_trace(folder / "out")
    assert not parts.fetching and "@@" not in html
    assert not re.search(r"https?://|@import|url\(", html)


def test_no_text_can_end_its_script(traced):
    folder, _ = traced
    record = room.read_trace(folder / "out")[0]
    hostile = "</script><script>alert(1)</script><!-- & @@style@@"
    record["completions"][0]["text"] = record["prompt"]["text"] = hostile
    parts = parts_of(room.page([room.as_json(record)]))
    held = [
        json.loads(text)
        for attributes, text in parts.scripts
        if attributes.get("class") == "record"
    ]
    assert len(parts.scripts) == 3 and held[0]["prompt"]["text"] == hostile


def test_a_record_is_on_disk_as_soon_as_it_is_made(tmp_path):
    trace = room.Trace(tmp_path / "deep" / "out")
    trace.check_free()
    for step in (0, 7):
        trace.add({"step": step, "completions": [], "loss": float("nan")})
        assert steps_in(trace.folder)[-1] == step
        assert f'"step":{step}' in (trace.folder / "trace.html").read_text()
    assert {p.name for p in trace.folder.iterdir()} == {"trace.json", "trace.html"}
    assert room.read_trace(trace.folder)[0]["loss"] is None


def test_a_kill_while_writing_leaves_the_trace_before(tmp_path, monkeypatch):
    trace = room.Trace(tmp_path)
    trace.add({"step": 0, "completions": []})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_folder.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        trace.add({"step": 1, "completions": []})
    assert steps_in(tmp_path) == [0]


# ---------------------------------------------------------------- the command's settings


def test_a_resumed_run_goes_on_with_its_trace(tmp_path):
    """Traced in two halves it is the trace of the whole, and a record past the saved step is dropped."""
    whole, half = tmp_path / "whole", tmp_path / "half"
    common = SMALL | {"trace_at": "1,2"}
    assert rapo_mini.main(Settings(**common, steps=3, out=f"{whole}/r", trace=f"{whole}/t")) == 0
    run = rapo_mini.start(Settings(**common, steps=3, out=f"{half}/r", trace=f"{half}/t"))
    state = half / "r" / "state.pt"
    before = state.read_bytes()
    rapo_mini.train(run)
    run.owner.release()
    state.write_bytes(before)  # as if killed before the next save
    assert rapo_mini.main(Settings(resume=f"{half}/r", steps=3)) == 0
    assert steps_in(half / "t") == [1, 2]

    def timeless(folder):
        records = room.read_trace(folder)
        for record in records:
            record["metrics"] = {k: v for k, v in record["metrics"].items() if "second" not in k}
        return records

    assert timeless(half / "t") == timeless(whole / "t")
    assert load_config(half / "r").trace_at == "1,2"


def test_a_longer_resumed_run_traces_its_new_last_step(tmp_path):
    out, trace = str(tmp_path / "r"), str(tmp_path / "t")
    assert rapo_mini.main(Settings(**SMALL, steps=2, out=out, trace=trace)) == 0
    assert rapo_mini.main(Settings(resume=out, steps=4)) == 0
    assert steps_in(tmp_path / "t") == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"trace_at": "0,9"}, "--trace-at 9"),
        ({"trace_at": "0,two"}, "'two'"),
        ({"trace_at": "-1"}, "'-1'"),
        ({"trace_at": ""}, "--trace-at"),
        ({"trace_at": "0", "trace": None}, "--trace DIR"),
        ({"trace": "{file}"}, "--trace"),
        ({"trace": "{taken}"}, "already holds a trace"),
    ],
)
def test_bad_settings_are_named(tmp_path, capsys, wrong, names):
    (tmp_path / "file").touch()
    room.Trace(tmp_path / "taken").add({"step": 0, "completions": []})
    before = (tmp_path / "taken" / "trace.json").read_bytes()
    given = {"trace": "{new}", "steps": 3} | wrong
    if given["trace"]:
        given["trace"] = str(tmp_path / given["trace"].strip("{}"))
    assert rapo_mini.main(Settings(**SMALL, out=str(tmp_path / "run"), **given)) == 2
    error = capsys.readouterr().err
    assert error.startswith("rapo_mini: ") and names in error and len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "taken" / "trace.json").read_bytes() == before


# ---------------------------------------------------------------- the terminal


def view(*args):
    return warm.run("-m", "watch", *args)


def test_the_view_shows_the_equation_the_group_and_a_token(traced):
    folder, _ = traced
    done = view(folder / "out", "--step", 1, "--completion", 2, "--token", 3)
    assert done.returncode == 0, done.stderr
    record = room.read_trace(folder / "out")[1]
    c = record["completions"][2]
    k = c["columns"]
    assert "step 1, update 1 of 1 (rapo, KL exact)" in done.stdout
    for number in (-record["metrics"]["loss"], c["advantage"], -c["share"]):
        assert f"{number:+.4g}" in done.stdout
    row = [line for line in done.stdout.splitlines() if re.match(r" *3 +\S+ +-", line)][-1]
    assert row.split()[2:6] == [
        f"{k[name][3]:.4g}" for name in ("logp", "logp_old", "logp_ref", "logp_target")
    ]
    drawn = next(line for line in done.stdout.splitlines() if "◂ drawn" in line)
    place = k["likely"][3].index(k["token"][3])
    assert [float(x) for x in re.findall(r"\d\.\d{4}", drawn)] == [
        pytest.approx(k[name][3][place], abs=1e-4)
        for name in ("p_policy", "p_after", "p_ref", "p_target")
    ]


def test_what_the_step_moved_is_said_in_words(traced):
    record = room.read_trace(traced[0] / "out")[0]
    k, names = record["completions"][0]["columns"], {"7": "growing", "8": "common", "9": "rare"}
    record["vocabulary"] |= names
    k["likely"][0], k["p_policy"][0], k["p_after"][0] = [7, 8, 9], [0.3, 0.6, 0.1], [0.3, 0.6, 0.1]
    assert "moved nothing here" in what_moved(record, 0, 0)
    k["p_after"][0] = [0.3 * math.exp(0.058), 0.6 * math.exp(-0.041), 0.1]
    assert what_moved(record, 0, 0) == (
        "The step made growing likelier by 0.058 and common less likely by 0.041 (nats of log π); "
        "nothing else moved."
    )
    k["p_after"][0] = [0.4, 0.5, None]
    assert "growing likelier by 0.288" in what_moved(record, 0, 0)


# ---------------------------------------------------------------- two traces of one step


@pytest.fixture(scope="module")
def arms(tmp_path_factory):
    """Step 0 of two arms with the same seed, and of a run with another."""
    out = tmp_path_factory.mktemp("arms")
    for name, changed in {"rapo": {}, "grpo": {"arm": "grpo"}, "other": {"seed": 1}}.items():
        settings = Settings(
            **SMALL, steps=1, out=f"{out}/{name}-run", trace=f"{out}/{name}", **changed
        )
        assert rapo_mini.main(settings) == 0
    return out


def test_two_arms_of_one_step_share_a_page(arms):
    done = view(arms / "rapo", "--beside", arms / "grpo")
    assert done.returncode == 0, done.stderr
    assert "side by side" in done.stdout
    parts = parts_of((arms / "rapo" / "beside.html").read_text(encoding="utf-8"))
    held = {a["class"]: json.loads(text) for a, text in parts.scripts if "class" in a}
    assert held["record"] == room.read_trace(arms / "rapo")[0]
    assert held["beside"] == room.read_trace(arms / "grpo")[0]
    mine, theirs = (
        [c["columns"]["token"] for c in held[side]["completions"]] for side in ("record", "beside")
    )
    assert mine == theirs, "the same attempts"


def test_traces_of_different_steps_are_not_put_side_by_side(arms):
    done = view(arms / "rapo", "--beside", arms / "other")
    assert done.returncode == 2 and "--beside" in done.stderr and "--seed" in done.stderr
    assert not (arms / "other" / "beside.html").exists()


def test_the_view_writes_the_page_anew(traced):
    folder, _ = traced
    html = folder / "out" / "trace.html"
    before = html.read_text()
    html.unlink()
    assert view(folder / "out").returncode == 0
    assert html.read_text() == before


def test_no_control_character_reaches_the_terminal(traced, tmp_path):
    record = room.read_trace(traced[0] / "out")[0]
    record["completions"][0]["text"] = "\x1b[2J[red]x[/red]"
    record["vocabulary"][str(record["completions"][0]["columns"]["token"][0])] = "\x1b]0;owned\x07"
    record["prompt"]["answer"] = "[bold]1\x1b"
    room.Trace(tmp_path).add(record)
    done = view(tmp_path, "--completion", 0)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout and "\x07" not in done.stdout
    assert "␛[2J[red]x[/red]" in done.stdout and "[bold]1" in done.stdout


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--step", 9], "--step 9"),
        (["--completion", 4], "--completion 4"),
        (["--token", 999], "--token 999"),
        (["--tokens", -1], "--tokens -1"),
    ],
)
def test_what_is_not_there_is_named(traced, flags, names):
    done = view(traced[0] / "out", *flags)
    assert done.returncode == 2 and names in done.stderr and "Traceback" not in done.stderr


def test_a_trace_of_an_earlier_format_is_named_in_a_sentence(traced, tmp_path):
    record = room.read_trace(traced[0] / "out")[0]
    del record["format"]
    (tmp_path / "trace.json").write_text(json.dumps([record]))
    done = view(tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "format 1" in done.stderr and "--trace DIR" in done.stderr


@pytest.mark.parametrize("content", [None, "{", "{}", "[1]", '[{"step": 1}]'])
def test_a_folder_without_a_trace_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "trace.json").write_text(content)
    done = view(tmp_path)
    assert done.returncode == 2 and str(tmp_path) in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("arm", ["grpo", "no-kl"])
def test_the_view_of_other_arms(tmp_path, arm):
    settings = Settings(
        **SMALL, steps=1, arm=arm, out=str(tmp_path / "r"), trace=str(tmp_path / "t")
    )
    assert rapo_mini.main(settings) == 0
    done = view(tmp_path / "t")
    assert done.returncode == 0, done.stderr
    assert ("w = π_ref/π_θ" in done.stdout) == (arm == "grpo")
    assert ("α" in done.stdout) == (arm == "grpo")
