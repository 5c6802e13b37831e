"""What all notebooks share: the versions they ran with, and one look for all figures.

No mathematics and no model: those stand in the rooms of the project, which the notebooks import.
"""

from __future__ import annotations

import os
import platform
import warnings
from importlib.metadata import version
from pathlib import Path

from watch.figures import COLOURS, DASHES  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "OWNER/rapo-mini"  # on GitHub; python notebooks/address.py sets it everywhere
NAMES = {  # the one list of them; the checks of 03_kl stand in checks/n03_kl.py
    "00": "00_start",
    "01": "01_verifier",
    "02": "02_sampling",
    "03": "03_kl",
    "04": "04_rapo_loss",
    "04b": "04b_rule_bandit",
    "05": "05_train",
    "06": "06_qwen_on_your_gpu",
    "07": "07_theory",
    "08": "08_your_own_step",
}
LOOP = {  # what one step of training does, in its order, and which notebook takes it apart
    "prompt": "",
    "group": "02",
    "reward": "01",
    "A and φ": "04",
    "KL": "03",
    "loss": "04",
    "step": "06",
    "again, 200 times": "05",
}
HERE = {  # which of them a notebook is about, where it is not the one above
    "00": tuple(LOOP),
    "04b": ("A and φ", "KL"),
    "05": ("again, 200 times",),
    "07": ("KL",),
    "08": tuple(LOOP),
}

warnings.filterwarnings("ignore", "IProgress not found")  # bars of text serve as well

# In the pictures a thing has the colour of the arm it belongs to.
REFERENCE = COLOURS["base"]  # pi_ref, and the base model
FORWARD = COLOURS["rapo"]  # the forward KL, and RAPO
REVERSE = COLOURS["reverse-kl"]  # the reverse KL
K3 = COLOURS["grpo"]  # k3, and GRPO
OTHER = COLOURS["no-kl"]  # k1, no KL, and what goes wrong


def loop_map(notebook: str) -> str:
    """The loop in one line of Markdown, with a notebook's own place in bold: each begins with it.

    >>> loop_map("01")[:70]
    '**The loop:** prompt → group (02) → **▶ reward (01)** → A and φ (04) →'
    """
    here = HERE.get(notebook) or [name for name, of in LOOP.items() if of == notebook]
    parts = []
    for name, of in LOOP.items():
        words = f"{name} ({of})" if of else name
        parts.append(f"**▶ {words}**" if name in here and len(here) < len(LOOP) else words)
    return f"**The loop:** {' → '.join(parts)}"


def use_cpu() -> None:
    """Hide a GPU and use one thread: the notebooks' numbers are those of float32 on the CPU.

    The models are so small that a second thread only waits. To be called before torch sees the GPU.
    """
    import torch

    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)


def show_versions(*more: str) -> None:
    """One line with the versions of what the outputs depend on."""
    names = ("torch", "transformers", "peft", "numpy", "matplotlib", *more)
    shown = [f"{name} {version(name)}" for name in names]
    print(", ".join([f"Python {platform.python_version()}", *shown]))


def probability(p: float) -> str:
    """Three decimals, or what is left of it: 0.000 would say that it is none.

    >>> probability(0.25), probability(0.00002)
    ('0.250', '2e-05')
    """
    return f"{p:.3f}" if p >= 0.0005 else f"{p:.0e}"


def whole_numbers(axes) -> None:
    """Ticks of the x axis at whole numbers: half a step or half a token is none."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def style() -> None:
    """Figures as everywhere in the project: no frame, a faint grid, letters large enough to read."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "figure.dpi": 90,
            "figure.constrained_layout.use": True,
            "font.size": 12,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.alpha": 0.25,
            "axes.titlelocation": "left",
            "axes.titlesize": 13,
            "lines.linewidth": 2,
            "legend.frameon": False,
        }
    )
