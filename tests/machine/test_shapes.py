"""machine/shapes.py: published counts of parameters, every family's config, refusals, dry runs."""

import json
import os
import subprocess
import sys

import pytest
import torch
from peft import get_peft_model_state_dict
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MixtralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

import rapo_mini
from machine import plan
from machine.loading import with_new_lora
from machine.shapes import PUBLISHED, config_of, shape_of, shape_of_config
from settings import BUNDLED_BASE, Settings, resolve

ROOT = BUNDLED_BASE.parent
COUNTS = {  # as the models are published
    "Qwen/Qwen2.5-3B": 3_085_938_688,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "HuggingFaceTB/SmolLM2-360M": 361_821_120,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
}
NARROW = {"vocab_size": 300, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 4}
NARROW |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
FAMILIES = {
    "Llama": LlamaConfig(**NARROW),
    "Llama, wide heads, untied": LlamaConfig(**NARROW, head_dim=32, tie_word_embeddings=False),
    "Qwen2": Qwen2Config(**NARROW, tie_word_embeddings=True),
    "Qwen3": Qwen3Config(**NARROW, head_dim=32, tie_word_embeddings=True),
    "Gemma": GemmaConfig(**NARROW, head_dim=32),
    "Gemma 2": Gemma2Config(**NARROW, head_dim=32, sliding_window=64),
    "Gemma 3": Gemma3TextConfig(**NARROW, head_dim=32, sliding_window=64),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_published_shape_has_the_published_number_of_parameters(name):
    shape = shape_of(name)
    assert shape is PUBLISHED[name] and plan.weight_bytes(shape, "none") == 2 * COUNTS[name]
    assert shape_of_config(config_of(PUBLISHED[name])) == shape


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_weights_and_lora_of_a_family_are_counted_exactly(config):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shape, numbers = shape_of_config(config), sum(p.numel() for p in model.parameters())
    assert plan.weight_bytes(shape, "none") == 2 * numbers
    head = model.get_output_embeddings()
    linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    four_bit = sum(plan.nf4_bytes(*m.weight.shape) for m in linears)
    rest = 2 * (numbers - sum(m.weight.numel() for m in linears))
    assert plan.weight_bytes(shape, "nf4") == four_bit + rest
    adapter = get_peft_model_state_dict(with_new_lora(model, 8, 0))
    assert plan.lora_parameters(shape, 8) == sum(p.numel() for p in adapter.values())


def test_a_layer_that_looks_back_less_far_bounds_the_text():
    assert shape_of_config(FAMILIES["Gemma"]).context == 512
    assert shape_of_config(FAMILIES["Gemma 2"]).context == 64


@pytest.mark.parametrize(
    "config",
    [
        Phi3Config(**NARROW, pad_token_id=0, bos_token_id=1, eos_token_id=2),
        MixtralConfig(**NARROW, num_local_experts=2),
    ],
    ids=["fused matrices", "experts"],
)
def test_a_block_that_is_built_in_another_way_is_refused(config):
    with pytest.raises(ValueError, match=rf"{config.model_type}.*q, k, v, o, gate, up and down"):
        shape_of_config(config)


# ---------------------------------------------------------------- dry runs


def dry_run(tmp_path, *flags):
    """(exit status, stdout, stderr, seconds of processor time) of a dry run without a network."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, str(ROOT / "rapo_mini.py"), "--dry-run", *flags]
    before = os.times()
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    spent = os.times().children_user - before.children_user
    return done.returncode, done.stdout, done.stderr, spent


@pytest.mark.parametrize("name", list(COUNTS)[1:])
def test_a_known_shape_is_planned_in_five_seconds_without_network(tmp_path, name):
    status, out, err, spent = dry_run(tmp_path, "--model", name, "--gpu-memory", "12")
    assert status == 0, err
    assert f"memory for {name}" in out and "the card has 12.00: it fits" in out and spent < 5
    assert not list(tmp_path.iterdir()), "nothing was written"


def test_any_other_is_planned_from_its_config_alone(tmp_path, capsys):
    file = tmp_path / "config.json"
    FAMILIES["Gemma"].save_pretrained(tmp_path)
    with_architecture = json.loads(file.read_text())
    assert with_architecture["model_type"] == "gemma"
    flags = ("--config", str(file), "--max-new-tokens", "200", "--max-prompt-tokens", "100")
    status, out, err, _ = dry_run(tmp_path, *flags)
    assert status == 0, err
    assert f"memory for {file}" in out and "the card has 8.00: it fits" in out
    file.write_text('{"model_type": "no-such"}')
    assert rapo_mini.main(Settings(config=str(file))) == 2
    err = capsys.readouterr().err
    assert "--config" in err and "Traceback" not in err


def test_a_config_is_for_a_dry_run():
    settings, sentence = resolve(Settings(config="some/config.json"))
    assert settings.dry_run and settings.model == "some/config.json" and "--config" in sentence
