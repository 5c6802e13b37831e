"""The bundled base and an adapter of it, loaded by transformers and PEFT as anybody would."""

import json
import shutil

import pytest
import torch
import warm
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from machine.loading import adapter_in, load_tokenizer
from policy import encode_prompts, load_policy
from problems import puzzles
from settings import BUNDLED_BASE
from tiny_base.pretrain import make_tokenizer, save_tokenizer
from watch.run_folder import known_name

TEXTS = [p.problem + "\n" for p in puzzles("test", 40)] + [
    "common difference 11-8=3, 11+3=14. \\boxed{14}<eos>",
    "An unknown word, an é and a tab\t; (2x+1)/3",
    "",
]


@pytest.mark.parametrize("trust", [None, False, True])
def test_auto_tokenizer_makes_the_tokens_of_the_project(trust, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path))
    theirs = AutoTokenizer.from_pretrained(str(BUNDLED_BASE), trust_remote_code=trust)
    ours = load_tokenizer(str(BUNDLED_BASE))
    for text in TEXTS:
        assert theirs.encode(text) == ours.encode(text), text
        assert theirs.decode(theirs.encode(text)) == ours.decode(ours.encode(text))
    assert theirs.decode(theirs.encode(TEXTS[0])) == TEXTS[0]
    for name in ("padding_side", "eos_token_id", "pad_token_id", "model_max_length"):
        assert getattr(theirs, name) == getattr(ours, name)


def test_a_new_base_is_saved_with_a_tokenizer_that_auto_tokenizer_reads(tmp_path):
    """The way that `tiny_base/pretrain.py` saves it, beside the config of the class Qwen2."""
    tokenizer = make_tokenizer()
    shutil.copy(BUNDLED_BASE / "config.json", tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    theirs = AutoTokenizer.from_pretrained(str(tmp_path))
    assert all(theirs.encode(text) == tokenizer.encode(text) for text in TEXTS)


def test_the_bundled_tokenizer_is_what_pretrain_saves(tmp_path):
    save_tokenizer(load_tokenizer(str(BUNDLED_BASE)), tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (BUNDLED_BASE / path.name).read_text(), path.name


def test_the_standard_four_lines_give_the_log_probs_of_the_policy(finished_run):
    tokenizer = AutoTokenizer.from_pretrained(str(BUNDLED_BASE))
    base = AutoModelForCausalLM.from_pretrained(str(BUNDLED_BASE))
    model = PeftModel.from_pretrained(base, str(finished_run / "adapter"))

    policy = load_policy(str(BUNDLED_BASE), adapter=finished_run)
    ids, _ = encode_prompts(policy, TEXTS[:1])
    assert tokenizer(TEXTS[0], return_tensors="pt").input_ids.tolist() == ids.tolist()
    with torch.no_grad():
        ours, theirs = policy.model(input_ids=ids).logits, model(input_ids=ids).logits
        with model.disable_adapter():
            assert (model(input_ids=ids).logits - theirs).abs().max() > 1e-3
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_saved_adapter_names_no_path_of_this_disk(finished_run):
    saved = {p.name: p.read_bytes() for p in (finished_run / "adapter").iterdir()}
    assert json.loads(saved["adapter_config.json"])["base_model_name_or_path"] == "tiny_base"
    assert set(saved) == {"adapter_config.json", "adapter_model.safetensors"}
    for name, content in saved.items():
        assert str(BUNDLED_BASE.parent).encode() not in content, name


def test_a_base_is_named_as_others_know_it(tmp_path):
    (tmp_path / "my-base").mkdir()
    cached = tmp_path / "hub" / "models--Qwen--Qwen2.5-3B" / "snapshots" / "3aab1f"
    cached.mkdir(parents=True)
    assert known_name(str(BUNDLED_BASE)) == "tiny_base"
    assert known_name(str(tmp_path / "my-base")) == "my-base"
    assert known_name(str(cached)) == "Qwen/Qwen2.5-3B"
    assert known_name("Qwen/Qwen2.5-3B") == "Qwen/Qwen2.5-3B"


def test_the_runs_folder_will_do_wherever_an_adapter_is_asked_for(finished_run, tmp_path):
    """In `load_policy`, which notebooks, benchmarks and `python -m scale` load adapters by."""
    assert adapter_in(finished_run) == str(finished_run / "adapter")
    assert adapter_in(finished_run / "adapter") == str(finished_run / "adapter")
    one, two = (
        {n: p for n, p in load_policy(str(BUNDLED_BASE), adapter=f).model.named_parameters()}
        for f in (finished_run, finished_run / "adapter")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_loading_an_adapter_asks_no_hub(finished_run, tmp_path):
    """PEFT asks the hub for the base's config where the name in the adapter is no folder."""
    (tmp_path / "load.py").write_text(
        "import huggingface_hub, peft.utils.save_and_load as room\n"
        "def asked(*given, **more): raise AssertionError('the hub was asked')\n"
        "room.check_file_exists_on_hf_hub = asked\n"
        "from policy import load_policy\n"
        "from watch.run_folder import save_adapter\n"
        "from pathlib import Path\n"
        f"policy = load_policy({str(BUNDLED_BASE)!r}, adapter={str(finished_run)!r})\n"
        "save_adapter(policy.model, Path('.'))\n"
    )
    done = warm.run("load.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny_base"
