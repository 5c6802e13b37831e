"""Inputs that would make a run wrong without a word, or end it in a traceback: one sentence each."""

import gzip
import json
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

import pass_at_k
import rapo_mini
from faults.runs import metrics_of, process, run, sentence
from machine.loading import find_model, load_base
from pass_at_k import Evaluation
from problems import Problem, both_sides, problems_that_fit
from settings import Settings, resolve
from worlds.files import read_own


def rows(count):
    return [{"problem": f"What comes next: {n}, 5, 8?", "answer": str(n)} for n in range(count)]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# ---------------------------------------------------------------- 8: held-out problems are held out


def test_a_file_is_split_and_the_same_problem_always_stands_on_the_same_side(tmp_path, capsys):
    data = str(jsonl(tmp_path / "mine.jsonl", rows(200)))
    settings, _ = resolve(Settings(data=data, seed=3))
    train, held_out = both_sides(settings)
    assert not {p.problem for p in train} & {p.problem for p in held_out}
    assert len(train) + len(held_out) == 200 and 10 <= len(held_out) <= 45
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(train)} to train on, {len(held_out)} held out" in said and "--eval-data" in said
    jsonl(tmp_path / "mine.jsonl", rows(300))
    more_train, more_held_out = both_sides(settings)
    assert set(train) <= set(more_train) and set(held_out) <= set(more_held_out)


def test_eval_data_leaves_the_whole_file_to_training(tmp_path):
    data, other = (str(jsonl(tmp_path / f"{n}.jsonl", rows(n))) for n in (60, 30))
    train, measured = both_sides(resolve(Settings(data=data, eval_data=other))[0])
    assert (len(train), len(measured)) == (60, 30)


def test_a_file_that_is_too_small_to_split_asks_for_eval_data(tmp_path, capsys):
    data = str(jsonl(tmp_path / "two.jsonl", rows(2)))
    assert run(tmp_path / "run", data=data, eval_problems=5) == 2
    assert "--eval-data" in sentence(capsys)


def test_pass_at_k_of_such_a_run_measures_what_was_held_out(tmp_path, capsys):
    data = str(jsonl(tmp_path / "mine.jsonl", rows(60)))
    assert run(tmp_path / "run", data=data, eval_problems=2, eval_samples=2) == 0
    held_out = [r for r in rows(60) if r["problem"] in asked_of(tmp_path / "run", 99)]
    capsys.readouterr()
    assert pass_at_k.main(Evaluation(str(tmp_path / "run"), data=data, n=2, max_new_tokens=4)) == 0
    assert f"Full: {len(held_out)} problems" in capsys.readouterr().out


def asked_of(out, count):
    from dataclasses import replace

    from watch.run_folder import load_config

    return {p.problem for p in both_sides(replace(load_config(out), eval_problems=count))[1]}


# ---------------------------------------------------------------- 9: adapters


@pytest.fixture
def adapter(undisturbed, tmp_path):
    import shutil

    return shutil.copytree(undisturbed[1] / "adapter", tmp_path / "adapter")


@pytest.mark.parametrize(
    ("how", "names"),
    [
        (lambda t: {}, "lacks"),
        (lambda t: dict(list(t.items())[1:]), "lacks"),
        (lambda t: t | {"base_model.model.other.lora_A.weight": torch.ones(1)}, "no base_model"),
        (lambda t: {f"x.{n}": v for n, v in t.items()}, "lacks"),
        (lambda t: {n: v * float("nan") for n, v in t.items()}, "not finite"),
        (lambda t: {n: v[:1] for n, v in t.items()}, "adapter"),
    ],
)
def test_an_adapter_with_other_tensors_is_refused(adapter, tmp_path, capsys, how, names):
    path = adapter / "adapter_model.safetensors"
    save_file({n: v.contiguous() for n, v in how(load_file(path)).items()}, path)
    assert pass_at_k.main(Evaluation(str(adapter), n=2, problems=2)) == 2
    said = sentence(capsys, "pass_at_k")
    assert "--adapter" in said and names in said


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
@pytest.mark.parametrize("left", [0, 60])
def test_a_truncated_adapter_is_a_sentence(adapter, tmp_path, capsys, name, left):
    (adapter / name).write_bytes((adapter / name).read_bytes()[:left])
    assert run(tmp_path / "run", adapter=str(adapter)) == 2
    assert "--adapter" in sentence(capsys) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_truncated_base_is_a_sentence(small_base, tmp_path, capsys, name):
    import shutil

    base = shutil.copytree(small_base, tmp_path / "base")
    (base / name).write_bytes((base / name).read_bytes()[:60])
    assert run(tmp_path / "run", model=str(base), data="puzzles") == 2
    assert "--model" in sentence(capsys) and not (tmp_path / "run").exists()


# ---------------------------------------------------------------- 10 and 15: files of one's own


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        float("nan"),
        float("inf"),
        {"a": 1},
        [1],
        "",
        "\ud800",
        "it is more than what one might expect",
        "so we get \\boxed{14}",
    ],
)
def test_a_gold_answer_that_none_can_match_is_refused_with_its_line(tmp_path, answer):
    lines = rows(5)
    lines[1]["answer"] = lines[3]["answer"] = answer
    path = jsonl(tmp_path / "mine.jsonl", lines)
    with pytest.raises(ValueError, match=r"line 2: .*2 lines in all: 2, 4; 3 others.*--data"):
        read_own(str(path), "--data")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ('{"problem": "é?", "answer": "1"}\n'.encode("latin-1"), "line 1: is not UTF-8"),
        ('{"problem": "1?", "answer": "1"}\n'.encode("utf-16"), "UTF-16"),
        (gzip.compress(b'{"problem": "1?", "answer": "1"}\n', mtime=0), "gzip"),
        (b'{"problem": "", "answer": "1"}\n', "line 1: the problem"),
        (b'{"problem": "\\ud800", "answer": "1"}\n', "surrogate"),
        (b"[" * 100_000, "line 1"),
        (b'{"problem": "1?", "answer": ' + b"1" * 5000 + b"}", "line 1"),
        (b'\n\n{"problem": "1?"', "line 3"),
        (b"", "no problem"),
    ],
)
def test_a_file_that_is_no_jsonl_is_named_for_what_it_is(tmp_path, content, names):
    (tmp_path / "mine.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=names) as error:
        read_own(str(tmp_path / "mine.jsonl"), "--data")
    assert "--data" in str(error.value) and len(str(error.value)) < 500


def test_a_byte_order_mark_is_no_fault(tmp_path):
    content = '\ufeff{"problem": "1?", "answer": 1.5}\n'
    (tmp_path / "mine.jsonl").write_text(content, encoding="utf-8")
    assert read_own(str(tmp_path / "mine.jsonl"), "--data") == [("1?", "1.5", "", {})]


def test_a_line_of_ten_megabytes_is_refused_at_once(tmp_path):
    jsonl(tmp_path / "mine.jsonl", [{"problem": "1?", "answer": "1" * 10_000_000}])
    began = time.perf_counter()
    with pytest.raises(ValueError, match=r"line 1: has 10,000,0\d\d bytes"):
        read_own(str(tmp_path / "mine.jsonl"), "--data")
    assert time.perf_counter() - began < 2


def test_a_prompt_without_a_token_is_a_sentence():
    bare = [Problem("\u200b", "1")]
    with pytest.raises(ValueError, match="no token"):
        problems_that_fit(bare, [0], max_prompt_tokens=0, max_new_tokens=4, context=9)


# ---------------------------------------------------------------- 13: no code of a model, no question


def test_the_code_of_a_model_is_never_run_and_nobody_is_asked(small_base, tmp_path, monkeypatch):
    import shutil

    base = shutil.copytree(small_base, tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}
    (base / "config.json").write_text(json.dumps(config))
    ran = tmp_path / "ran"
    (base / "mine.py").write_text(f"open({str(ran)!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on stdin"))
    from machine.shapes import shape_of

    for load in (lambda: load_base(str(base), "none"), lambda: shape_of(str(base))):
        with pytest.raises(ValueError, match="--model"):
            load()
    assert not ran.exists()


# ---------------------------------------------------------------- 15: numbers out of range


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"seed": 20261124120000}, "--seed 20261124120000 must lie between -9000000000000"),
        ({"temperature": 1e-45}, "--temperature 1e-45"),
        ({"threads": 100_000}, "--threads 100000"),
        ({"alpha": float("inf")}, "--alpha inf"),
        ({"prompt_template": "\udcff {problem}"}, "--prompt-template"),
    ],
)
def test_a_number_that_crashes_a_library_is_refused(tmp_path, capsys, wrong, names):
    assert run(tmp_path / "run", **wrong) == 2
    assert names in sentence(capsys) and not (tmp_path / "run").exists()


def test_the_largest_seed_runs(tmp_path):
    assert run(tmp_path / "run", seed=9 * 10**12, steps=1, eval_problems=1, eval_samples=2) == 0


def test_a_policy_of_nan_ends_by_the_rule_of_three_steps(tmp_path, capsys):
    assert run(tmp_path / "run", lr=1e30, steps=20, eval_problems=2, eval_samples=2) == 1
    assert "--lr" in capsys.readouterr().out


def test_every_file_is_json_that_every_reader_reads(tmp_path):
    """11: a number that is not finite is null, and comes back as NaN."""
    run(tmp_path / "run", lr=1e30, steps=20, eval_problems=2, eval_samples=2)
    texts = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    texts.append((tmp_path / "run" / "summary.json").read_text())

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    found = [json.loads(text, parse_constant=refuse) for text in texts]
    assert found[-2]["loss"] is None and len(found) - 1 == len(metrics_of(tmp_path / "run"))
    assert rapo_mini.main(Settings(resume=str(tmp_path / "run"), steps=20)) == 1


# ---------------------------------------------------------------- a model that is not there


def test_a_model_that_is_not_there_is_said_first_and_once(tmp_path, capsys):
    assert run(tmp_path / "run", model="nosuch", data="simplerl-8k") == 2
    assert "--model" in sentence(capsys)


@pytest.mark.faults
def test_without_a_network_the_answer_comes_at_once(tmp_path):
    """A process of its own, which is not told that there is no network."""
    began = time.perf_counter()
    environment = {"PATH": "/usr/bin", "HF_ENDPOINT": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    done = process("--model", "nosuch", "--out", tmp_path / "x", env=environment)
    _, error = done.communicate(timeout=120)
    assert done.returncode == 2 and time.perf_counter() - began < 60
    assert len(error.strip().splitlines()) == 1 and "--model" in error and "Retry" not in error


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"config.json"):
        find_model(str(tmp_path))
