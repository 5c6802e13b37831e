"""python -m use merge: the same model in other clothes, whole or not at all, and its loss measured."""

import errno
import shutil

import pytest
import torch
from small_models import let_the_adapter_act
from transformers import AutoModelForCausalLM, AutoTokenizer

import rapo_mini
from policy import encode_prompts, load_policy
from settings import BUNDLED_BASE, Settings
from use import merge as room
from use.__main__ import main
from use.merge import Merge, merge
from watch.run_folder import save_adapter

TEXT = "What comes next: 2, 5, 8, 11?\n"


def logits_of(folder, texts=(TEXT,)):
    """What the standard four lines give for a folder."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(input_ids=tokenizer(list(texts), return_tensors="pt").input_ids).logits.float()


def logits_of_run(run, quant="none"):
    policy = load_policy(str(BUNDLED_BASE), quant=quant, adapter=run)
    with torch.no_grad():
        return policy.model(input_ids=encode_prompts(policy, [TEXT])[0]).logits


def test_in_float32_the_merged_model_is_the_policy(finished_run, tmp_path, capsys):
    found = merge(Merge(str(finished_run), str(tmp_path / "out"), dtype="float32"))
    assert torch.allclose(logits_of(tmp_path / "out"), logits_of_run(finished_run), atol=1e-4)
    assert found.largest < 1e-3 and found.tokens > 8
    assert not torch.allclose(
        logits_of(BUNDLED_BASE), logits_of_run(finished_run), atol=1e-2
    )  # the adapter does something
    assert "at most" in capsys.readouterr().out


def test_what_is_measured_is_what_16_bits_cost(finished_run, tmp_path):
    """mean and max |delta log p| against a float32 policy, on the completions it sampled."""
    found = merge(Merge(str(finished_run), str(tmp_path / "out")))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.bfloat16 and not hasattr(model, "peft_config")
    exact = merge(Merge(str(finished_run), str(tmp_path / "exact"), dtype="float32"))
    assert 0 < exact.mean <= exact.largest < found.mean <= found.largest < 1
    assert exact.tokens == found.tokens


def test_the_folder_holds_a_whole_model_and_names_no_path(finished_run, tmp_path):
    assert main(Merge(str(finished_run), str(tmp_path / "out"), completions=0)) == 0
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors"} <= names
    assert {"tokenizer.json", "tokenizer_config.json", "word_tokenizer.py"} <= names
    for path in (tmp_path / "out").glob("*.json"):
        assert str(BUNDLED_BASE.parent) not in path.read_text() and "quanti" not in path.read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"out"}, "no lock, nothing half written"


@pytest.fixture(scope="module")
def four_bit_run(tmp_path_factory):
    """A run on the bundled base in 4 bits whose adapter does something."""
    out = tmp_path_factory.mktemp("four") / "run"
    few = {"steps": 1, "prompts": 1, "group_size": 2, "eval_problems": 0, "max_new_tokens": 8}
    assert rapo_mini.main(Settings(**few, quant="nf4", threads=1, out=str(out))) == 0
    save_adapter(let_the_adapter_act(load_policy(str(BUNDLED_BASE), quant="nf4")).model, out)
    return out


def test_a_four_bit_base_is_merged_as_it_was_trained_on(four_bit_run, tmp_path):
    """Dequantised, it is the policy; onto the weights before quantisation it is another model."""
    ours = merge(Merge(str(four_bit_run), str(tmp_path / "ours"), dtype="float32"))
    other = merge(
        Merge(str(four_bit_run), str(tmp_path / "other"), dtype="float32", onto="original")
    )
    assert torch.allclose(
        logits_of(tmp_path / "ours"), logits_of_run(four_bit_run, "nf4"), atol=1e-3
    )
    assert ours.largest < 1e-3 and other.mean > 100 * ours.mean
    full = merge(  # the same adapter on the base as it is
        Merge(str(four_bit_run), str(tmp_path / "full"), dtype="float32", quant="none")
    )
    assert full.largest < 1e-3
    assert torch.equal(logits_of(tmp_path / "full"), logits_of(tmp_path / "other"))
    assert "quanti" not in (tmp_path / "ours" / "config.json").read_text()


def test_a_tokenizer_that_auto_tokenizer_reads_in_another_way_is_told(
    qwen_like_base, finished_run, tmp_path, capsys
):
    """A base of the class Qwen2 whose own tokenizer is not Qwen's, and whose folder does not say so."""
    base = shutil.copytree(BUNDLED_BASE, tmp_path / "base", ignore=lambda *_: ["__pycache__"])
    config = base / "tokenizer_config.json"
    config.write_text(config.read_text().replace("auto_map", "no_map"))
    adapter = shutil.copytree(finished_run / "adapter", tmp_path / "adapter")
    assert main(Merge(str(adapter), str(tmp_path / "out"), model=str(base), completions=1)) == 0
    assert "PreTrainedTokenizerFast" in capsys.readouterr().out


def test_problems_that_cannot_be_had_any_more_are_replaced_by_ours(finished_run, monkeypatch):
    def gone(_settings):
        raise ValueError("no such file (--data)")

    settings = room.find(str(finished_run)).settings
    assert len(room.problems_of(settings)) == 4 and room.problems_of(settings) != room.PROBLEMS
    monkeypatch.setattr(room, "both_sides", gone)
    assert room.problems_of(settings) == room.PROBLEMS


# ---------------------------------------------------------------- what goes wrong in the middle


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt])
def test_a_failure_in_the_middle_leaves_nothing(finished_run, tmp_path, monkeypatch, capsys, error):
    monkeypatch.setattr(room, "copy_tokenizer", failing_with(error))
    status = main(Merge(str(finished_run), str(tmp_path / "out"), completions=0))
    assert status == (130 if error is KeyboardInterrupt else 1)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err.count("\n") == 1


def failing_with(error):
    def fail(*_given):
        raise error

    return fail


def test_what_a_killed_attempt_left_is_removed_by_the_next_one(finished_run, tmp_path):
    left = tmp_path / "out.123-0123abcd.part"
    left.mkdir()
    (left / "model.safetensors").write_text("half")
    mine = tmp_path / "out.notes.part"
    mine.write_text("not ours")
    assert main(Merge(str(finished_run), str(tmp_path / "out"), completions=0)) == 0
    assert not left.exists() and mine.read_text() == "not ours"


# ---------------------------------------------------------------- what is refused


def test_a_merge_never_writes_over_anything(finished_run, tmp_path, capsys):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("used", "file"):
        assert main(Merge(str(finished_run), str(tmp_path / name))) == 2
        assert "OUT" in sentence(capsys)
    assert (tmp_path / "file").read_text() == (tmp_path / "used" / "notes").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert main(Merge(str(finished_run), str(tmp_path / "empty"), completions=0)) == 0


BAD = {
    "run": ("runs/nowhere", "RUN"),
    "out": ("no/such/folder/out", "OUT"),
    "completions": (-1, "--completions"),
    "onto": ("original", "--onto original"),
    "model": ("not/here/at/all", "--model"),
    "threads": (-1, "--threads"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_argument_is_a_sentence_that_names_it(finished_run, tmp_path, capsys, name):
    value, word = BAD[name]
    given = {"run": str(finished_run), "out": str(tmp_path / "out")} | {name: value}
    assert main(Merge(**given)) == 2
    assert word in sentence(capsys) and not (tmp_path / "out").exists()


def test_a_base_that_is_another_one_is_a_sentence(finished_run, small_base, tmp_path, capsys):
    assert main(Merge(str(finished_run), str(tmp_path / "out"), model=str(small_base))) == 2
    assert "another hash" in sentence(capsys)


def test_an_adapter_of_another_base_is_a_sentence(finished_run, small_base, tmp_path, capsys):
    adapter = shutil.copytree(finished_run / "adapter", tmp_path / "adapter")
    assert main(Merge(str(adapter), str(tmp_path / "out"), model=str(small_base))) == 2
    assert "does not fit" in sentence(capsys) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["torn", "lost", "not finite"])
def test_damaged_weights_are_a_sentence(finished_run, tmp_path, capsys, damage):
    from safetensors.torch import load_file, save_file

    run = shutil.copytree(finished_run, tmp_path / "run")
    weights = run / "adapter" / "adapter_model.safetensors"
    if damage == "torn":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "lost":
        weights.unlink()
    else:
        tensors = load_file(weights)
        next(iter(tensors.values()))[0, 0] = float("nan")
        save_file(tensors, weights)
    assert main(Merge(str(run), str(tmp_path / "out"))) == 2
    assert "does not fit" in sentence(capsys) and not (tmp_path / "out").exists()


def test_a_number_that_float16_cannot_hold_is_a_sentence(finished_run, tmp_path, capsys):
    from safetensors.torch import load_file, save_file

    run = shutil.copytree(finished_run, tmp_path / "run")
    weights = run / "adapter" / "adapter_model.safetensors"
    save_file({name: 1e4 * t for name, t in load_file(weights).items()}, weights)
    given = Merge(str(run), str(tmp_path / "out"), dtype="float16", completions=0)
    assert main(given) == 2
    assert "--dtype bfloat16" in sentence(capsys) and {p.name for p in tmp_path.iterdir()} == {
        "run"
    }


def sentence(capsys) -> str:
    """The one line on stderr; a traceback is no sentence."""
    error = capsys.readouterr().err
    assert error.startswith("use: ") and error.count("\n") == 1 and "Traceback" not in error, error
    return error
