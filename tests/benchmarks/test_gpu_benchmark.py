"""benchmarks/gpu.py end to end on the CPU, and that its random model is what it stands for."""

import json
import sys
from pathlib import Path

import pytest
import torch
import tyro
import warm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import gpu as room  # noqa: E402

from machine import plan  # noqa: E402
from machine.shapes import shape_of_config  # noqa: E402
from settings import Settings, resolve  # noqa: E402

SMALL = (
    "--shape tiny --device cpu --steps 2 --prompts 2 --group-size 3 --prompt-tokens 12 "
    "--max-new-tokens 20 --sample-rows 4 --micro-batch 2 --chunk-tokens 16"
)


def run(*flags):
    return warm.run(ROOT / "benchmarks" / "gpu.py", *flags)


def test_it_runs_through_and_prints_each_number(tmp_path):
    done = run(*SMALL.split(), "--out", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    for part in (
        "CPU, 20",
        "tokens/s",
        "a step:",
        "transformers' generate",
        "bandwidth",
        "on cuda only",
    ):
        assert part in done.stdout, part
    found = json.loads((tmp_path / "found.json").read_text())
    assert 0 < found["parity_mean"] < 0.01, "bfloat16"
    assert found["times_generate"] > 0 and 0 < found["share_of_bandwidth_limit"] < 1
    assert found["planned_tensors"] < found["planned_total"] and found["measured_tensors"] is None


def test_first_contact_runs_on_the_cpu_and_says_what_it_cannot_show(capsys):
    options = tyro.cli(room.Options, args=[*SMALL.split(), "--first-contact"])
    assert room.main(options) == 0
    lines = capsys.readouterr().out.splitlines()
    verdicts = [line[:6].strip() for line in lines]
    assert verdicts == ["-", "ok", "ok", "-", "ok", "-", "ok", "ok", "ok"], lines
    for line, part in zip(
        lines,
        (
            "no card",
            "4 rows",
            "8 rows",
            "CUDA graphs",
            "completions of 20 tokens",
            "measured on cuda only",
            "attention while learning: flash",
            "sampler and trainer",
            "target of noise",
        ),
        strict=True,
    ):
        assert part in line, line


def test_first_contact_says_what_it_could_not_build(capsys, monkeypatch):
    def missing(*_):
        raise ImportError("no bitsandbytes")

    monkeypatch.setattr(room, "random_policy", missing)
    assert room.main(tyro.cli(room.Options, args=[*SMALL.split(), "--first-contact"])) == 0
    assert "look  building the model ended: no bitsandbytes" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA GPU is here")
def test_without_a_gpu_it_says_so():
    done = run()
    assert done.returncode == 2 and "--device cpu" in done.stderr and "Traceback" not in done.stderr


def test_the_random_model_has_the_shape_and_the_bytes_that_are_planned():
    shape = room.SHAPES["tiny"]
    settings, _ = resolve(Settings(dry_run=True))
    policy = room.random_policy(shape, "cpu", torch.bfloat16, settings)
    assert shape_of_config(policy.model.config) == shape
    held = 0
    for name, p in policy.model.named_parameters():
        if "lora_" in name:
            assert p.requires_grad and p.dtype == torch.float32
            continue
        assert not p.requires_grad and p.device.type == "cpu"
        held += p.nbytes
        if (state := getattr(p, "quant_state", None)) is not None:
            parts = (state.absmax, state.offset, state.code, state.state2.absmax, state.state2.code)
            held += sum(part.nbytes for part in parts)
    assert held == plan.weight_bytes(shape, "nf4")
    assert sum(p.numel() for p in policy.trainable()) == plan.lora_parameters(shape, 16)


def test_a_decode_step_reads_the_weights_once_and_the_cache_of_every_row():
    shape = room.SHAPES["3b"]
    settings, _ = resolve(Settings(dry_run=True))
    few, many = (room.decode_bytes(shape, settings, 256, rows) for rows in (1, 3))
    assert many - few == 2 * plan.cache_bytes(shape, 1, 256 + 512)
    assert few > plan.weight_bytes(shape, "nf4")


def test_the_plan_in_the_docs_is_the_programs():
    options = room.Options()
    names = (
        "prompts",
        "group_size",
        "max_new_tokens",
        "sample_rows",
        "micro_batch",
        "chunk_tokens",
    )
    given = Settings(dry_run=True, gpu_memory=8.0, max_prompt_tokens=options.prompt_tokens)
    given = resolve(room.replace(given, **{name: getattr(options, name) for name in names}))[0]
    planned = plan.plan(room.SHAPES["3b"], given).tensors / plan.GIB
    assert f"the plan says {planned:.2f}" in (ROOT / "docs" / "benchmarks.md").read_text()
