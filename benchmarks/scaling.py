"""How a step's time and memory grow with the group, the completion, the prompts and the model.

    python benchmarks/scaling.py                       # all four axes, on the CPU or the card in it
    python benchmarks/scaling.py --axes group_size     # one of them

From one base point one thing at a time is doubled. Weights are random and no token ends a completion, so
that every completion has its full length; a cell is a process of its own, so that its peak of memory is
its own. The slope is that of log(time) over log(what was doubled), from the first cell to the last: 1 is
in proportion. Beside it stands the slope of the arithmetic: the multiplications that the cell asks for.
Where the time grows more slowly, small cells wait for something other than arithmetic.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import tyro

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gpu import rollout_of, seconds, with_acting_lora  # noqa: E402

from machine.loading import compute_dtype, quiet_libraries  # noqa: E402
from machine.plan import lora_parameters  # noqa: E402
from machine.shapes import Shape, config_of, shape_of  # noqa: E402
from policy import Policy, made_ready, sampling_weights  # noqa: E402
from sampler import Completions, sample  # noqa: E402
from settings import BUNDLED_BASE, Settings, resolve  # noqa: E402
from step import learn, make_optimizer  # noqa: E402

SIZES = {
    "0.8M": shape_of(str(BUNDLED_BASE)),
    "5M": Shape(1024, 256, 768, 6, 4, 2, 64, tied=True, biases=True, context=2048),
    "25M": Shape(1024, 512, 1536, 8, 8, 4, 64, tied=True, biases=True, context=2048),
    "135M": Shape(49152, 576, 1536, 30, 9, 3, 64, tied=True, biases=True, context=2048),
}
Axis = Literal["group_size", "new_tokens", "prompts", "size"]
DOUBLED = {"group_size": (4, 8, 16, 32), "new_tokens": (16, 32, 64, 128), "prompts": (2, 4, 8, 16)}
MIB = 2**20


@dataclass(frozen=True)
class Cell:
    """One point: a step of P prompts x G completions x T tokens."""

    size: Literal["0.8M", "5M", "25M", "135M"] = "0.8M"
    """Parameters of the model."""
    prompts: int = 8
    """P."""
    group_size: int = 16
    """G."""
    new_tokens: int = 32
    """T, the length of every completion."""
    prompt_tokens: int = 24
    """L, the length of every prompt."""
    steps: int = 3
    """Steps that are timed, after one that is not."""
    threads: int = 0
    """CPU threads; 0: PyTorch's choice."""


@dataclass(frozen=True)
class Options(Cell):
    """Time and memory of a training step against G, T, P and the size of the model."""

    axes: tuple[Axis, ...] = ("group_size", "new_tokens", "prompts", "size")
    """What is doubled, one after the other."""
    cell: bool = False
    """Measure the base point alone, in this process, and print it as JSON."""


# ---------------------------------------------------------------- one cell


def random_policy(shape: Shape, settings: Settings, device: str) -> Policy:
    """A model of this shape with random weights and an adapter that does something."""
    from transformers import Qwen2ForCausalLM

    config = config_of(replace(shape, context=2048))
    model = Qwen2ForCausalLM(config).to(device, compute_dtype(device))
    model.requires_grad_(False)
    adapter = made_ready(with_acting_lora(model, settings))
    return Policy(adapter, None, "none", settings.checkpoint_layers)


def sampled(policy: Policy, ids: torch.Tensor, settings: Settings, step: int) -> Completions:
    """Completions of full length. ids (P, L)."""
    with sampling_weights(policy) as model:
        return sample(
            model,
            ids,
            torch.ones_like(ids),
            group_size=settings.group_size,
            max_new_tokens=settings.max_new_tokens,
            temperature=1.0,
            end_ids=[-1],  # no token
            pad_id=0,
            generator=torch.Generator().manual_seed(step),
            rows_at_once=settings.sample_rows,
            fixed=settings.fixed_decode,
        )


def measure(cell: Cell) -> dict:
    """Seconds of sampling and learning (least), and MiB that a step takes beside what lay there."""
    quiet_libraries()
    if cell.threads:
        torch.set_num_threads(cell.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings, _ = resolve(
        Settings(
            model=str(BUNDLED_BASE),
            prompts=cell.prompts,
            group_size=cell.group_size,
            max_new_tokens=cell.new_tokens,
            out="-",
        )
    )
    shape = SIZES[cell.size]
    policy = random_policy(shape, settings, device)
    optimizer = make_optimizer(policy, settings)
    torch.manual_seed(0)
    ids = torch.randint(1, shape.vocabulary, (cell.prompts, cell.prompt_tokens), device=device)
    before, times = memory_now(device), {"sample": [], "learn": []}
    for step in range(cell.steps + 1):
        sample_s, drawn = seconds(lambda s=step: sampled(policy, ids, settings, s), device)
        rolled = rollout_of(ids, drawn, settings)
        learn_s, learned = seconds(lambda r=rolled: learn(policy, optimizer, r, settings), device)
        assert not learned.metrics["skipped"], learned.metrics
        times["sample"].append(sample_s)
        times["learn"].append(learn_s)
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "sample": min(times["sample"][1:]),
        "learn": min(times["learn"][1:]),
        "mib": (memory_peak(device) - before) / MIB,
    }


def memory_now(device: str) -> int:
    """Bytes of tensors on the card, or of this process."""
    if device == "cuda":
        return torch.cuda.memory_allocated()
    import psutil

    return psutil.Process().memory_info().rss


def memory_peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# ---------------------------------------------------------------- the axes


def operations(cell: Cell) -> tuple[float, float]:
    """Multiplications and additions of sampling and of learning a step, each.

    A token costs two for each weight, the head's included; attention four for each number of a query
    and each token that it sees, in every layer. Learning passes: reference, policy, gradients of the
    activations; LoRA's own gradients are two products with each of its matrices.
    """
    shape, rows = SIZES[cell.size], cell.prompts * cell.group_size
    weights = shape.layers * sum(out * into for out, into in shape.linears())
    seen = 4 * shape.layers * shape.heads * shape.head_dim  # for each token that a token sees
    prompt, new = cell.prompt_tokens, cell.new_tokens
    read = cell.prompts * prompt * (2 * weights + seen * prompt / 2)  # the prompts, once each
    written = rows * new * (2 * weights + seen * (prompt + new / 2))
    head = rows * new * 2 * shape.hidden * shape.vocabulary
    own = 4 * lora_parameters(shape, 16) * (cell.prompts * prompt + rows * new)
    return read + written + head, 3 * (read + written + head) + own


def measured_apart(cell: Cell) -> dict:
    """`measure` in a process of its own."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(cell).items()]
    done = subprocess.run(
        [sys.executable, __file__, *flags, "--cell"], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def slope(first: float, last: float, doublings: float) -> float:
    """The exponent of a power law through two points.

    >>> slope(1.0, 64.0, 3)
    2.0
    """
    return math.log2(last / first) / doublings


def along(axis: Axis, base: Cell) -> str:
    """One axis as a Markdown table with its slopes."""
    values = tuple(SIZES) if axis == "size" else DOUBLED[axis]
    cells = [replace(base, **{axis: value}) for value in values]
    found = [measured_apart(cell) for cell in cells]
    lines = [f"| {axis} | sampling, s | learning, s | MiB |", "|---|---|---|---|"]
    for value, row in zip(values, found, strict=True):
        lines.append(f"| {value} | {row['sample']:.3f} | {row['learn']:.3f} | {row['mib']:.0f} |")
    if axis == "size":
        weights = [sum(out * into for out, into in s.linears()) * s.layers for s in SIZES.values()]
        doublings = math.log2(weights[-1] / weights[0])
    else:
        doublings = len(values) - 1
    took = [slope(found[0][verb], found[-1][verb], doublings) for verb in ("sample", "learn")]
    ends = (operations(cells[0]), operations(cells[-1]))
    says = [slope(one, other, doublings) for one, other in zip(*ends, strict=True)]
    lines.append(f"| slope | {took[0]:.2f} | {took[1]:.2f} | |")
    lines.append(f"| of the arithmetic | {says[0]:.2f} | {says[1]:.2f} | |")
    return "\n".join(lines)


def main(options: Options) -> int:
    base = Cell(**{name: getattr(options, name) for name in Cell.__dataclass_fields__})
    if options.cell:
        print(json.dumps(measure(base)))
        return 0
    for axis in options.axes:
        print(f"{along(axis, base)}\n", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=Options.__doc__)))
