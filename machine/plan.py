"""What fits: memory on the GPU predicted from the config and the settings, before anything is loaded.

    python rapo_mini.py --dry-run --gpu-memory 8

A step has two phases that never overlap, so the peak is what always lies there (weights, adapter,
gradient, optimizer) plus the larger of the two:

    sampling   the key/value cache at its longest, and one prefill or one draw of tokens
    learning   the inputs of the checkpointed layers, the attention mask, and the larger of: one layer
               computed again with its graph, one chunk of logits with its graph

Counts of parameters, 4-bit weights and the cache are exact. Bytes of a layer and of a logit were counted
with the real code on the CPU, as tests/machine/test_plan.py does again. Two numbers are assumptions,
as no GPU run has been measured yet: CONTEXT and SLACK.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from machine.devices import may_take
from machine.fixed_decode import power_of_two
from machine.shapes import Shape, shape_of
from settings import Settings

GIB = 2**30
CONTEXT = 0.5 * GIB  # the CUDA context, its libraries' code and workspaces [assumed]
SLACK = 1.08  # of a phase's tensors: blocks that PyTorch's allocator cannot use again [assumed]
HALF, FULL = 2, 4  # bytes of a 16-bit number (activations, embeddings), of a float32 (LoRA)
KNOBS = {  # what changes memory, speed and last digits, and the sizes that are tried
    "sample_rows": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "micro_batch": (1, 2, 4, 8, 16, 32),
    "chunk_tokens": (16, 32, 64, 128, 256),
}
CARDS = (8, 12, 16, 24)  # GB, as they are sold; a card of 8 GB has 8 GiB


# ---------------------------------------------------------------- what always lies there


def nf4_bytes(out: int, into: int) -> int:
    """A matrix in NF4 with double quantisation, 4.127 bits a weight and two small tables.

    Half a byte a weight; a scale in 8 bits for 64 of them; for 256 scales one in float32, an offset.

    >>> round(8 * nf4_bytes(11008, 2048) / (11008 * 2048), 3)
    4.127
    """
    weights, tables = out * into, 4 * (16 + 256)
    scales = ceil(weights / 64)
    return ceil(weights / 2) + scales + 4 * ceil(scales / 256) + 4 + tables


def weight_bytes(shape: Shape, quant: str) -> int:
    """The frozen base: linear layers in NF4 or 16 bits; embeddings, head, norms, biases in 16 bits."""
    block = sum(nf4_bytes(*m) if quant == "nf4" else HALF * m[0] * m[1] for m in shape.linears())
    small = shape.layers * shape.small() + shape.hidden  # norms and biases, the last norm
    tables = (1 if shape.tied else 2) * shape.vocabulary * shape.hidden
    return shape.layers * block + HALF * (small + tables)


def lora_parameters(shape: Shape, lora_r: int) -> int:
    """A (r, in) and B (out, r) on each linear layer but the head."""
    return shape.layers * sum(lora_r * (out + into) for out, into in shape.linears())


def adapter_bytes(shape: Shape, lora_r: int, optimizer: str) -> int:
    """The adapter and its gradient in float32, and AdamW's two moments in 32 or 8 bits."""
    moments = 2 * FULL if optimizer == "adamw" else 2 * (1 + FULL / 256)  # a scale for 256 numbers
    return ceil(lora_parameters(shape, lora_r) * (2 * FULL + moments))


# ---------------------------------------------------------------- the two phases


def cache_bytes(shape: Shape, rows: int, tokens: int) -> int:
    """Keys and values of `rows` texts of `tokens` tokens, 16 bits, only for the key/value heads."""
    return 2 * HALF * shape.layers * shape.kv_heads * shape.head_dim * rows * tokens


def workspace_bytes(shape: Shape, quant: str) -> int:
    """The largest 4-bit matrix in 16 bits, for as long as it is multiplied with."""
    return HALF * max(out * into for out, into in shape.linears()) if quant == "nf4" else 0


def sampling_bytes(shape: Shape, rows: int, prompts: int, prompt: int, new: int) -> dict[str, int]:
    """The cache of `rows` texts, and the larger of a prefill of their prompts and a draw of tokens."""
    cache = cache_bytes(shape, rows, prompt + new)
    prefill = prompts * prompt * (12 * shape.hidden + 12 * shape.intermediate + prompt)
    draw = rows * shape.vocabulary * (2 * HALF + 20)  # log-probs and their sum in 64 bits
    moved = cache // shape.layers  # a layer's cache, copied when rows leave
    return {
        f"key/value cache, {rows} x {prompt + new} tokens": cache,
        "prefill, or drawing tokens": max(prefill, draw, moved),
    }


def learning_bytes(
    shape: Shape, tokens: int, chunk: int, form: str, checkpointed: bool, lora_r: int
) -> dict[str, int]:
    """A micro-batch of `tokens` tokens with its graph, and a chunk of logits with its own.

    The bytes for each number of a row (hidden, intermediate, key/value, logit) are counts of what the
    real code keeps: 16-bit activations, the adapter's matrices in 16 bits, their gradients.
    """
    q, kv = (heads * shape.head_dim for heads in (shape.heads, shape.kv_heads))
    # By one layer: for a token's gradient; the adapter's rounded matrices (`machine/thin_lora.py`).
    kept = 8 * shape.hidden + 8 * q + 8 * shape.intermediate + 4 * kv + 300
    kept += 2 * HALF * q  # keys and values, repeated for every head of their group
    thin = HALF * lora_parameters(shape, lora_r) // shape.layers
    passing = 4 * shape.hidden + 3 * shape.intermediate  # while its gradient is computed
    states = 6 * HALF * shape.hidden  # last hidden states: policy's, reference's, gradients
    logit = {"exact": 28, "sampled": 24, "none": 20}[form]
    one_chunk = chunk * shape.vocabulary * logit
    if not checkpointed:
        lasting = tokens * (shape.layers * kept + passing + states) + shape.layers * thin
        return {f"activations of {tokens} tokens": lasting, "one logits chunk": one_chunk}
    again = max(tokens * (kept + passing) + thin, one_chunk)
    return {
        f"inputs of checkpointed layers, {tokens} tokens": tokens
        * (HALF * shape.layers * shape.hidden + states),
        "one layer again, or one logits chunk": again,
    }


def mask_bytes(rows: int, new: int, length: int) -> int:
    """What each of a completion's `new` tokens may look at, of `length`: 16 bits for each pair."""
    return HALF * rows * new * length


# ---------------------------------------------------------------- the plan


@dataclass(frozen=True)
class Plan:
    """Bytes by part. The peak is lasting + the larger phase with its slack + the context."""

    lasting: dict[str, int]
    sampling: dict[str, int]
    learning: dict[str, int]

    @property
    def peak_phase(self) -> str:
        return max(("sampling", "learning"), key=lambda name: sum(getattr(self, name).values()))

    @property
    def tensors(self) -> float:
        """What torch.cuda.max_memory_allocated should say, without slack."""
        return sum(self.lasting.values()) + sum(getattr(self, self.peak_phase).values())

    @property
    def total(self) -> float:
        phase = sum(getattr(self, self.peak_phase).values())
        return sum(self.lasting.values()) + SLACK * phase + CONTEXT

    def table(self, card: float) -> str:
        """Every part in GiB; card: bytes."""
        lines = []
        for phase in ("lasting", "sampling", "learning"):
            for name, size in getattr(self, phase).items():
                lines.append(f"  {phase:<9} {name:<52}{size / GIB:>7.2f}")
        lines.append(f"  {'':<9} {'CUDA context and slack (assumed)':<52}{self.spare / GIB:>7.2f}")
        verdict = "fits" if self.total <= card else "does not fit"
        lines.append(
            f"  at most {self.total / GIB:.2f} GiB, while {self.peak_phase}; the card has "
            f"{card / GIB:.2f}: it {verdict}"
        )
        return "\n".join(lines)

    @property
    def spare(self) -> float:
        return self.total - self.tensors


def plan(shape: Shape, settings: Settings) -> Plan:
    """The plan of a training run; settings are resolved.

    Raises ValueError if the completions alone fill the model's context.
    """
    new = settings.max_new_tokens
    if new >= shape.context:
        raise ValueError(
            f"--max-new-tokens {new} leaves no room for a prompt in the model's context of "
            f"{shape.context}: lower it"
        )
    prompt = min(settings.max_prompt_tokens or 512, shape.context - new)
    batch = settings.prompts * settings.group_size
    rows = power_of_two(min(settings.sample_rows or batch, batch))
    prompts = min(settings.prompts, ceil(rows / settings.group_size))
    sampling = sampling_bytes(shape, rows, prompts, prompt, new)
    learned = min(settings.micro_batch, batch)
    chunk = min(settings.chunk_tokens, learned * new)
    kept = (settings.kl_form, settings.checkpoint_layers, settings.lora_r)
    learning = learning_bytes(shape, learned * (prompt + new), chunk, *kept)
    learning["what each token may look at"] = mask_bytes(learned, new, prompt + new)
    if settings.quant == "nf4":
        for phase in (sampling, learning):
            phase["one 4-bit matrix in 16 bits"] = workspace_bytes(shape, settings.quant)
    adapter = adapter_bytes(shape, settings.lora_r, settings.optimizer)
    lasting = {
        f"weights, {settings.quant}": weight_bytes(shape, settings.quant),
        f"LoRA r={settings.lora_r}, gradient, {settings.optimizer}": adapter,
    }
    if settings.refresh_reference:
        copy = FULL * lora_parameters(shape, settings.lora_r)
        lasting["reference: a copy of the adapter"] = copy
    return Plan(lasting, sampling, learning)


def largest_that_fits(shape: Shape, settings: Settings, card: float) -> Settings | None:
    """The settings with the largest --sample-rows, --micro-batch and --chunk-tokens that fit, or None.

    The phases do not overlap, so each is tried for itself; the micro-batch goes before the chunk.
    """
    batch = settings.prompts * settings.group_size
    best = replace(settings, **{name: sizes[0] for name, sizes in KNOBS.items()})
    if plan(shape, best).total > card:
        return None
    for name, sizes in KNOBS.items():
        for size in sizes:
            tried = replace(best, **{name: size})
            possible = name == "chunk_tokens" or size <= batch
            if possible and plan(shape, tried).total <= card:
                best = tried
    return best


def fitted(settings: Settings, given: Settings, card: float) -> Settings:
    """The settings with what `given` leaves open chosen for a card of `card` bytes.

    As many --sample-rows as fit: more rows are fewer passes over the weights. No --checkpoint-layers
    where the activations fit: each layer then runs once forward, not twice. Where nothing fits,
    `check_fits` says what to lower.
    """
    shape, batch = shape_of(settings.model), settings.prompts * settings.group_size
    changes = []
    if given.sample_rows is None:
        sizes = [min(rows, batch) for rows in KNOBS["sample_rows"] if rows < 2 * batch]
        settings = replace(settings, sample_rows=1)
        changes += [{"sample_rows": rows} for rows in sizes]
    if given.checkpoint_layers is None:
        changes.append({"checkpoint_layers": False})
    for change in changes:
        tried = replace(settings, **change)
        if plan(shape, tried).total <= card:
            settings = tried
    return settings


def table_of_cards(shape: Shape, settings: Settings) -> str:
    """For each size of card the largest settings that fit, as text."""
    flags = "".join(f"{'--' + name.replace('_', '-'):>16}" for name in KNOBS)
    lines = [f"  {'card':>6}{flags}{'GiB':>8}"]
    for gib in CARDS:
        best = largest_that_fits(shape, settings, gib * GIB)
        if best is None:
            lines.append(f"  {gib:>3} GB  nothing fits at these lengths")
            continue
        values = "".join(f"{getattr(best, name):>16}" for name in KNOBS)
        lines.append(f"  {gib:>3} GB{values}{plan(shape, best).total / GIB:>8.2f}")
    return "\n".join(lines)


def report(settings: Settings, card: float) -> str:
    """The plan against a card of `card` bytes, and the largest settings for each size of card."""
    shape = shape_of(settings.model)
    return (
        f"memory for {settings.model}, GiB:\n{plan(shape, settings).table(card)}\n"
        f"{settings.prompts} x {settings.group_size} completions of {settings.max_new_tokens} tokens; "
        f"the largest that fit:\n{table_of_cards(shape, settings)}"
    )


def check_fits(settings: Settings, card: float) -> None:
    """Raise ValueError, naming what to lower and to what, if the plan is larger than `card` bytes."""
    shape = shape_of(settings.model)
    planned = plan(shape, settings)
    if planned.total <= card:
        return
    best = largest_that_fits(shape, settings, card)
    if best is None:
        advice = "even one completion is too much: lower --max-new-tokens or --max-prompt-tokens"
        if not settings.checkpoint_layers:
            advice += ", or add --checkpoint-layers True"
    else:
        lower = [
            f"--{name.replace('_', '-')} {getattr(best, name)}"
            for name in KNOBS
            if getattr(best, name) < (getattr(settings, name) or float("inf"))
        ]
        advice = f"lower to {' '.join(lower)}, or lower --max-new-tokens {settings.max_new_tokens}"
    raise ValueError(
        f"the run needs {planned.total / GIB:.2f} GiB while {planned.peak_phase} and the card has "
        f"{card / GIB:.2f}: {advice}"
    )


def card_bytes(settings: Settings) -> float:
    """The card of --gpu-memory, else what a run may take of the one in this machine, context included."""
    if settings.gpu_memory is not None:
        return settings.gpu_memory * GIB
    return may_take() + CONTEXT
