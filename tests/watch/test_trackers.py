"""--report-to: what a tracker is told is what metrics.jsonl has, and none that fails ends a run."""

import json
import re
import sqlite3
import subprocess
import sys

import pytest
from faults.runs import MEASURED, ROOT, flags, metrics_of, process, resume, run, sentence

from watch import trackers

REPORTED = MEASURED | {"show_every": 2}
TIMED = ("seconds_sample", "seconds_verify", "seconds_learn", "tokens_per_second")


def logged(out):
    """The numbers of metrics.jsonl by step, as a tracker should have them."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {row.pop("step"): trackers.flat(row) for row in rows}


class Fake:
    """A client that keeps what it is told, and fails where it is asked to."""

    def __init__(self, settings, out, run_id, step, fails=()):
        self.began, self.fails, self.told, self.closed = (run_id, step), fails, [], 0

    def tell(self, *what):
        if what[0] in self.fails:
            raise RuntimeError("\x1b[2Jno route to host")
        self.told.append(what)

    def numbers(self, step, values):
        self.tell("numbers", step, values)

    def table(self, step, rows):
        self.tell("table", step, rows)

    def picture(self, step, path):
        assert path.read_bytes().startswith(b"\x89PNG")
        self.tell("picture", step)

    def close(self):
        self.closed += 1
        self.tell("close")


@pytest.fixture
def fake(monkeypatch):
    """Puts a client in the place of TensorBoard's; the clients that were made."""
    made = []

    def install(fails=(), begins=True):
        def client(*given):
            if not begins:
                raise SystemExit("not logged in")
            made.append(Fake(*given, fails=fails))
            return made[-1]

        monkeypatch.setitem(trackers.CLIENTS, "tensorboard", client)
        monkeypatch.setattr(trackers, "find_spec", lambda _name: True)
        return made

    return install


def test_a_tracker_is_told_what_the_log_has(tmp_path, fake):
    made = fake()
    assert run(tmp_path / "run", report_to="tensorboard", **REPORTED) == 0
    (client,) = made
    numbers = {step: values for kind, step, *values in told(client) if kind == "numbers"}
    end = numbers.pop(4)[0]
    assert {step: values for step, (values,) in numbers.items()} == logged(tmp_path / "run")
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["evaluation"]["pass_at_k"]
    assert end["pass@2/full/trained"] == found["2"]["full"]["trained"]["mean"]
    assert [step for kind, step, *_ in told(client) if kind == "table"] == [0, 2]
    rows = next(rows for kind, _, *rows in told(client) if kind == "table")[0]
    assert len(rows) == 2 and all(len(row) == len(trackers.COLUMNS) for row in rows)
    assert client.told[-2:] == [("picture", 4), ("close",)] and client.closed == 1


def told(client):
    return [t for t in client.told if len(t) > 1]


def test_a_resumed_run_goes_on_under_the_same_id(tmp_path, fake):
    made = fake()
    assert run(tmp_path / "run", report_to="tensorboard", **REPORTED | {"steps": 2}) == 0
    assert resume(tmp_path / "run", steps=4) == 0
    first, second = made
    assert first.began[0] == second.began[0] and (first.began[1], second.began[1]) == (0, 2)
    assert [t[1] for t in told(second) if t[0] == "numbers"][:2] == [2, 3]


@pytest.mark.parametrize("fails", [("numbers",), ("table",), ("picture",), ("close",), None])
def test_a_tracker_that_fails_is_said_once_and_ends_no_run(tmp_path, fake, capsys, fails):
    made = fake(fails or (), begins=fails is not None)
    assert run(tmp_path / "run", report_to="tensorboard", **REPORTED) == 0
    said = capsys.readouterr().out
    assert said.count("--report-to tensorboard failed") == 1 and "\x1b" not in said
    assert len(metrics_of(tmp_path / "run")) == 4
    assert (tmp_path / "run" / "summary.json").exists()
    if fails == ("numbers",):
        assert made[0].told == [], "it is asked nothing more"


def test_a_run_that_is_refused_or_stopped_lets_go_of_its_tracker(tmp_path, fake, monkeypatch):
    made = fake()
    monkeypatch.setattr(
        "rapo_mini.train_step", lambda _run: (_ for _ in ()).throw(OSError(28, "full"))
    )
    assert run(tmp_path / "run", report_to="tensorboard", **REPORTED) == 1
    assert made[0].closed == 1


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_one_sentence(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(trackers, "find_spec", lambda _name: None)
    assert run(tmp_path / "run", report_to=name) == 2
    assert f"--report-to {name} needs the package {name}: pip install {name}" in sentence(capsys)
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_there_is_not_is_refused_by_the_command_line(capsys):
    from watch.command_line import parse

    with pytest.raises(SystemExit) as error:
        parse(["--report-to", "mlflow"])
    assert error.value.code == 2 and "report-to" in capsys.readouterr().err


# ---------------------------------------------------------------- the clients themselves


def reported(tmp_path, name, **environment):
    """A run in a process of its own, as its user starts it: its folder and what it showed."""
    import os

    out = tmp_path / f"run-{name}"
    places = {"TRACKIO_DIR": str(tmp_path / "trackio"), "WANDB_MODE": "offline"}
    places |= {"WANDB_CACHE_DIR": str(tmp_path), "WANDB_CONFIG_DIR": str(tmp_path)}
    env = {**os.environ, **places, **environment}
    started = process("--out", out, "--report-to", name, *flags(REPORTED), env=env)
    try:
        said, errors = started.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        started.kill()
        raise
    assert started.returncode == 0, errors
    return out, said + errors


def test_tensorboards_event_file_is_read_back(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run(tmp_path / "run", report_to="tensorboard", **REPORTED | {"steps": 2}) == 0
    assert resume(tmp_path / "run", steps=4) == 0
    everything = EventAccumulator(
        str(tmp_path / "run" / "tensorboard"), size_guidance={"tensors": 0}
    )
    everything.Reload()
    numbers = logged(tmp_path / "run")
    for name in ("reward", "kl", "ended", "skipped", "seconds_learn"):
        events = everything.Scalars(name)
        assert [e.step for e in events] == [0, 1, 2, 3]
        assert [e.value for e in events] == pytest.approx([n[name] for n in numbers.values()])
    names = everything.Tags()
    assert {"pass@1/full/base", "reward"} <= set(names["scalars"]) and "curves" in names["images"]
    samples = everything.Tensors("samples/text_summary")
    assert [e.step for e in samples] == [0, 2]
    text = samples[0].tensor_proto.string_val[0].decode()
    assert text.startswith("| step | problem | gold | completion |") and "What comes next" in text


def served(folder):
    """TensorBoard on a free port of this machine, as the README starts it: its process and address."""
    line = "tensorboard --logdir runs"
    assert f"\n{line}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "tensorboard.main", *line.split()[1:], "--port", "0"]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if found := re.search(r"http://\S+", line.partition(" at ")[2]):
            return server, found[0]
    raise AssertionError("TensorBoard has ended")


def test_a_browser_shows_the_run_in_tensorboard(tmp_path, browser):
    """The page itself: the run by its name, metrics under their names, samples, the curves."""
    pytest.importorskip("tensorboard")
    assert run(tmp_path / "runs" / "watched", report_to="tensorboard", **REPORTED) == 0
    server, address = served(tmp_path)
    try:
        page = browser.new_page()
        page.goto(address)
        page.get_by_text("watched/tensorboard").first.wait_for(timeout=60_000)
        for name in ("effective_sample_size", "curves", "completion_tokens"):
            assert page.get_by_text(name, exact=True).count(), name
        page.get_by_role("tab", name="Text").click()
        page.get_by_text("What comes next").first.wait_for(timeout=60_000)
        assert page.get_by_text("samples/text_summary").count()
        page.get_by_role("tab", name="Images").click()
        picture = page.locator("img").first
        picture.wait_for(timeout=60_000)
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
        page.close()
    finally:
        server.terminate()
        server.wait(timeout=60)


def test_a_table_in_markdown_is_shown_as_it_is():
    pytest.importorskip("tensorboard")
    from html import unescape

    from tensorboard.plugin_util import markdown_to_safe_html

    text = r"60 is 2*3*10, 2_3_4 <b>x</b> a|b `q` [l](http://x) &amp; \boxed{120/8}"
    shown = unescape(markdown_to_safe_html(trackers.markdown(["a", "b"], [[text, 1.0]])))
    assert f"<td>{text}</td>" in shown


def test_wandb_offline_keeps_the_run(tmp_path):
    pytest.importorskip("wandb")
    out, _ = reported(tmp_path, "wandb")
    run_id = json.loads((out / "config.json").read_text())["run"]["id"]
    (kept,) = out.glob(f"wandb/offline-run-*-{run_id}/run-{run_id}.wandb")
    record = kept.read_bytes()
    for name in (b"groups_with_signal", b"reasons", b"pass@1", b"curves"):
        assert name in record, name
    tables = sorted(out.glob("wandb/offline-run-*/files/media/table/samples_*.json"))
    rows = [json.loads(path.read_text()) for path in tables]
    assert [r["columns"] for r in rows] == [trackers.COLUMNS] * 2
    assert len(rows[0]["data"]) == 2


def test_wandb_without_an_account_ends_no_run(tmp_path):
    pytest.importorskip("wandb")
    out, said = reported(
        tmp_path,
        "wandb",
        WANDB_MODE="online",
        WANDB_API_KEY="",
        HOME=str(tmp_path),
        NETRC=str(tmp_path),
    )
    assert "--report-to wandb failed" in " ".join(said.split())
    assert len(metrics_of(out)) == 4


def test_trackios_database_is_read_back(tmp_path):
    pytest.importorskip("trackio")
    out, _ = reported(tmp_path, "trackio")
    with sqlite3.connect(tmp_path / "trackio" / "rapo-mini.db") as database:
        rows = database.execute(
            "select run_name, step, metrics from metrics order by id"
        ).fetchall()
    kept = [(name, step, json.loads(found)) for name, step, found in rows]
    assert {name for name, *_ in kept} == {out.name}
    steps = {step: found for _, step, found in kept if "reward" in found}
    for step, numbers in logged(out).items():
        assert {k: v for k, v in steps[step].items() if k not in TIMED} == pytest.approx(
            {k: v for k, v in numbers.items() if k not in TIMED}
        )
    assert [s for _, s, found in kept if "samples" in found] == [0, 2]
    assert any("curves" in found for *_, found in kept)
    assert any("pass@1/full/base" in found for *_, found in kept)
