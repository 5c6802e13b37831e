"""python -m use push: the files, the card, and a hub that answers (`fake_hub.py`)."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch
import yaml
from fake_hub import TOKEN, fake_hub
from huggingface_hub import constants

import rapo_mini
from machine.loading import load_tokenizer
from policy import encode_prompts, load_policy
from settings import BUNDLED_BASE, Settings, resolve
from use import push as room
from use.__main__ import main
from use.card import BUNDLED_LICENCE, Base, card, command_of
from use.push import Push
from use.trained import find
from watch.command_line import parse

ROOT = BUNDLED_BASE.parent


@pytest.fixture(scope="module")
def looked_at(finished_run, tmp_path_factory):
    """What a dry run writes."""
    out = tmp_path_factory.mktemp("look") / "look"
    assert main(Push(str(finished_run), "me/my-model", dry_run=str(out))) == 0
    return out


def test_a_dry_run_writes_what_would_be_uploaded(looked_at, finished_run):
    names = {str(p.relative_to(looked_at)) for p in looked_at.rglob("*") if p.is_file()}
    assert {"README.md", "curves.png", "metrics.jsonl", "adapter/adapter_config.json"} <= names
    assert {"adapter/adapter_model.safetensors", "tiny_base/model.safetensors"} <= names
    assert not any(name.endswith(".pt") or "state" in name for name in names)
    same = (looked_at / "curves.png").read_bytes() == (finished_run / "curves.png").read_bytes()
    assert same and {p.name for p in looked_at.parent.iterdir()} == {"look"}


def test_nothing_that_is_uploaded_names_a_path_of_this_disk(looked_at, finished_run):
    for path in looked_at.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(ROOT).encode() not in content, path
            assert str(finished_run.parent).encode() not in content, path
    config = json.loads((looked_at / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny_base"


def test_the_card_says_task_results_command_seed_and_licence(looked_at, finished_run):
    text = (looked_at / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    data = yaml.safe_load(head)
    assert data["license"] == BUNDLED_LICENCE and data["library_name"] == "peft"
    assert "base_model" not in data, "the bundled base is on no hub"
    evaluation = json.loads((finished_run / "summary.json").read_text())["evaluation"]
    for k, splits in evaluation["pass_at_k"].items():
        base, trained = splits["full"]["base"], splits["full"]["trained"]
        assert f"| {k} | {base['mean']:.3f} [{base['low']:.3f}, " in body
        assert f"| {trained['mean']:.3f} [{trained['low']:.3f}, " in body
    told = data["model-index"][0]["results"][0]["metrics"]
    means = [s["full"]["trained"]["mean"] for s in evaluation["pass_at_k"].values()]
    assert [m["value"] for m in told] == pytest.approx(means, abs=1e-4)
    assert "![" in body and "(curves.png)" in body and "puzzles" in body and "seed 0" in body
    assert "`mit`" in body and "`rapo`" in body and "3 steps" in body


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def test_the_cards_own_lines_load_the_policy(looked_at, finished_run, monkeypatch, capsys):
    """Run as they stand, in a folder where me/my-model is what was uploaded."""
    (looked_at.parent / "me").mkdir(exist_ok=True)
    shutil.copytree(looked_at, looked_at.parent / "me" / "my-model", dirs_exist_ok=True)
    monkeypatch.chdir(looked_at.parent)
    load, sample = python_blocks((looked_at / "README.md").read_text())
    assert len([line for line in load.splitlines() if " = " in line]) == 3
    there = {}
    exec(load, there)
    exec(sample, there)
    assert capsys.readouterr().out.strip()
    policy = load_policy(str(BUNDLED_BASE), adapter=finished_run)
    ids, _ = encode_prompts(policy, [there["prompt"]])
    assert there["ids"].tolist() == ids.tolist()
    with torch.no_grad():
        ours, theirs = policy.model(input_ids=ids).logits, there["model"](input_ids=ids).logits
    assert torch.allclose(ours, theirs, atol=1e-5)


# ---------------------------------------------------------------- cards of other runs


def card_of(run, base, **changed) -> str:
    trained = find(str(run))
    trained = replace(trained, settings=replace(trained.settings, **changed))
    return card(trained, base, "me/my-model", curves=False)


QWEN = Base("Qwen/Qwen2.5-3B", "Qwen/Qwen2.5-3B", None)


def test_a_base_on_the_hub_is_named_in_the_card(finished_run):
    text = card_of(finished_run, QWEN, model="Qwen/Qwen2.5-3B", prompt_template="qwen-boxed")
    data = yaml.safe_load(text.split("---\n")[1])
    assert data["base_model"] == "Qwen/Qwen2.5-3B" and "license" not in data
    assert 'AutoTokenizer.from_pretrained("Qwen/Qwen2.5-3B")' in text
    assert "See the page of `Qwen/Qwen2.5-3B`" in text and "curves.png" not in text
    load, sample = python_blocks(text)
    compile(load, "card", "exec")
    prompt = sample.splitlines()[0]
    assert "<|im_start|>user" in prompt and "{problem}" not in prompt


def test_an_adapter_on_4_bits_is_loaded_onto_4_bits(finished_run):
    load = python_blocks(card_of(finished_run, QWEN, quant="nf4"))[0]
    compile(load, "card", "exec")
    assert "load_in_4bit=True" in load and "quantization_config=bits" in load


def test_a_run_that_was_not_measured_says_so(finished_run, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    (run / "summary.json").unlink()
    assert "Nothing was measured." in card_of(run, QWEN)
    alone = shutil.copytree(finished_run / "adapter", tmp_path / "mine")
    text = card_of(alone, QWEN)
    assert "Nothing was measured." in text and "without the folder of its run" in text


RUNS = [
    {"steps": 7, "lr": 0.02, "prompts": 2, "seed": 5},
    {"arm": "grpo", "alpha": 0.1, "checkpoint_layers": True},
    {"arm": "no-kl"},
    {"kl_form": "sampled", "tau_max": 3.0},
    {"phi": "inverse", "prompt_template": "Q: {problem}\nA:", "temperature": 0.7},
    {"reward": ("verify", "verify=0.5"), "right_at": 0.5},
    {"phi_min": 0.3, "eval_problems": 0, "quant": "nf4", "updates": 2, "adapter": "runs/first"},
]


@pytest.mark.parametrize("given", RUNS)
def test_the_cards_command_makes_the_same_run(finished_run, tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)  # where no tiny_base lies
    settings, _ = resolve(Settings(**given))
    words = shlex.split(command_of(replace(find(str(finished_run)), settings=settings)))
    assert words[:2] == ["python", "rapo_mini.py"] and str(ROOT) not in " ".join(words)
    again, _ = resolve(parse(words[2:]))
    ours, theirs = asdict(settings), asdict(again)
    assert {k: v for k, v in ours.items() if k != "out"} == {
        k: v for k, v in theirs.items() if k != "out"
    }
    chosen = sum(len(v) if isinstance(v, tuple) else 1 for v in given.values())
    assert len(words) <= 4 + 2 * chosen, words  # only what was chosen


def test_a_reward_of_ones_own_is_named_with_its_weight_and_hash(finished_run, tmp_path):
    """By names, never by a path; and it says so where a file is not what was trained with."""
    mine = tmp_path / "mine.py"
    mine.write_text("raise SystemExit('nobody runs this')\n")
    sha256 = hashlib.sha256(mine.read_bytes()).hexdigest()
    own = {"reward": ("verify", f"{mine}:even=0.5"), "right_at": 0.5}
    text = card_of(finished_run, QWEN, **own)
    assert f"| `mine.py:even` | 0.5 | {sha256} |" in text
    assert "| `verify` (the built-in verifier) | 1 |  |" in text
    assert "--reward verify --reward mine.py:even=0.5 " in text and "--right-at 0.5" in text
    assert "that get a reward of at least 0.5" in text and "final answer is right" not in text
    assert str(tmp_path) not in text and "not as they were" not in text
    mine.unlink()
    assert "| `mine.py:even` | 0.5 | the file is not there any more |" in card_of(
        finished_run, QWEN, **own
    )
    assert "What it was rewarded for" not in card_of(finished_run, QWEN)


def test_a_card_says_that_a_rewards_file_has_changed_since_the_run(tmp_path):
    (tmp_path / "mine.py").write_text("def even(completion, problem): return 1.0\n")
    own = {"reward": (f"{tmp_path}/mine.py:even",), "out": str(tmp_path / "run"), "steps": 1}
    small = {"prompts": 1, "group_size": 2, "max_new_tokens": 4, "threads": 1, "eval_problems": 0}
    assert rapo_mini.main(Settings(**own, **small)) == 0
    began = json.loads((tmp_path / "run" / "config.json").read_text())["run"]["inputs"]["reward"]
    assert began not in card_of(tmp_path / "run", QWEN)
    with (tmp_path / "mine.py").open("a") as file:
        file.write("# changed\n")
    text = card_of(tmp_path / "run", QWEN)
    assert "not as they were when the run began" in text and began in text


def test_a_path_in_the_command_is_a_name(finished_run, tmp_path):
    settings, _ = resolve(Settings(data=str(tmp_path / "mine.jsonl")))
    command = command_of(replace(find(str(finished_run)), settings=settings))
    assert "--data mine.jsonl" in command and str(tmp_path) not in command


# ---------------------------------------------------------------- a hub


def pushed(run, hub):
    """The command as a process, with a hub on this machine."""
    settings = {"HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    settings |= {"HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "use", "push", str(run), "me/my-model", "--private"]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)


@pytest.fixture
def reached(monkeypatch):
    """Let this process speak to a hub as one does whose environment names it: what was read at import."""

    def let(hub, token=TOKEN, offline=False):
        monkeypatch.setattr(constants, "ENDPOINT", hub.address if hub else "http://127.0.0.1:9")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", "no/such/file")
        monkeypatch.setenv("HF_TOKEN", token)

    return let


def test_what_is_uploaded_is_what_the_dry_run_shows(finished_run, looked_at, reached, capsys):
    with fake_hub() as hub:
        done = pushed(finished_run, hub)
        assert done.returncode == 0, done.stderr
        assert f"shared: {hub.address}/me/my-model" in done.stdout
        there = hub.repositories["me/my-model"]
        here = {p.relative_to(looked_at).as_posix(): p.read_bytes() for p in files(looked_at)}
        assert there == here and hub.private["me/my-model"]
        reached(hub)
        assert main(Push(str(finished_run), "me/my-model")) == 2 and "--update" in sentence(capsys)
        assert main(Push(str(finished_run), "me/my-model", update=True)) == 0


def files(folder):
    return [p for p in folder.rglob("*") if p.is_file()]


@pytest.mark.parametrize("wrong", ["refused", "token", "unreachable", "offline", "no token"])
def test_what_a_hub_says_is_a_sentence(finished_run, reached, capsys, wrong):
    said = {"refused": "does not let you", "token": "does not know your token"}
    said |= {"unreachable": "cannot be reached", "offline": "offline", "no token": "log in"}
    token = {"token": "hf_another", "no token": ""}.get(wrong, TOKEN)
    with fake_hub() as hub:
        hub.refuse = 403
        reached(None if wrong == "unreachable" else hub, token, offline=wrong == "offline")
        assert main(Push(str(finished_run), "me/my-model")) == 2
    error = sentence(capsys)
    assert said[wrong] in error and "nothing was uploaded" in error
    assert not token or token not in error


# ---------------------------------------------------------------- what is refused

NAMES = ["my-model", "me/my/model", "me/", "../me", "me/my model", "me/my--model", "me/" + "a" * 99]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_hub_has_is_a_sentence(finished_run, tmp_path, capsys, name):
    assert main(Push(str(finished_run), name, dry_run=str(tmp_path / "look"))) == 2
    assert "NAME" in sentence(capsys)


BAD = {
    "run": ("runs/nowhere", "RUN"),
    "base_model": ("only-a-name", "--base-model"),
    "dry_run": ("no/such/folder/look", "--dry-run"),
    "model": ("not/here/at/all", "--model"),
}


@pytest.mark.parametrize("empty", ["dry_run", "base_model", "license", "model"])
def test_an_empty_value_is_refused_and_never_uploads(finished_run, monkeypatch, capsys, empty):
    """As where a script's variable is not set: `--dry-run "$FOLDER"`."""
    monkeypatch.setattr(room, "check_login", lambda name: None)
    monkeypatch.setattr(room, "upload", lambda *given: pytest.fail("uploaded"))
    assert main(Push(str(finished_run), "me/mine", **{empty: ""})) == 2
    assert f"--{empty.replace('_', '-')} is empty" in sentence(capsys)


@pytest.mark.parametrize("which", BAD)
def test_a_bad_argument_is_a_sentence_that_names_it(finished_run, tmp_path, capsys, which):
    value, word = BAD[which]
    given = {"run": str(finished_run), "name": "me/mine", "dry_run": str(tmp_path / "look")}
    assert main(Push(**(given | {which: value}))) == 2
    assert word in sentence(capsys) and not (tmp_path / "look").exists()


def test_a_dry_run_never_writes_over_anything(finished_run, tmp_path, capsys):
    (tmp_path / "notes").write_text("mine")
    assert main(Push(str(finished_run), "me/mine", dry_run=str(tmp_path))) == 2
    assert "--dry-run" in sentence(capsys) and (tmp_path / "notes").read_text() == "mine"


def test_a_base_in_a_folder_of_this_disk_needs_its_name(
    finished_run, small_base, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(room, "licence_on_hub", lambda name: f"the licence of {name}")
    adapter = shutil.copytree(finished_run / "adapter", tmp_path / "mine")
    given = Push(str(adapter), "me/mine", model=str(small_base), dry_run=str(tmp_path / "look"))
    assert main(given) == 2
    assert "--base-model" in sentence(capsys)
    assert main(replace(given, base_model="Qwen/Qwen2.5-3B")) == 0
    config = json.loads((tmp_path / "look" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "Qwen/Qwen2.5-3B"
    assert "the licence of Qwen/Qwen2.5-3B" in (tmp_path / "look" / "README.md").read_text()
    assert not (tmp_path / "look" / "tiny_base").exists()


def test_what_was_shared_is_talked_to_again(looked_at, capsys):
    """Downloaded, the folder is a RUN like any other."""
    from use.talk import Talk

    assert main(Talk(str(looked_at), "What comes next: 2, 5, 8, 11?", n=1)) == 0
    assert "trained" in capsys.readouterr().out


def test_a_damaged_summary_is_a_sentence(finished_run, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    (run / "summary.json").write_text("{")
    assert main(Push(str(run), "me/mine", dry_run=str(tmp_path / "look"))) == 2
    assert "summary" in sentence(capsys) and not (tmp_path / "look").exists()


def sentence(capsys) -> str:
    """The one line on stderr; a traceback is no sentence."""
    error = capsys.readouterr().err
    assert error.startswith("use: ") and error.count("\n") == 1 and "Traceback" not in error, error
    return error


def test_the_tokenizer_that_travels_with_the_base_is_the_projects(looked_at):
    text = "What comes next: 2, 5, 8, 11?\n"
    there = load_tokenizer(str(looked_at / "tiny_base"))
    assert there.encode(text) == load_tokenizer(str(BUNDLED_BASE)).encode(text)
