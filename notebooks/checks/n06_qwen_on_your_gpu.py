"""Checks of notebook 06: four bits and back, bits a weight, LoRA's parameters, the key/value cache."""

from __future__ import annotations

from dataclasses import replace

import torch

from checks import Answer, NotYet, close, exercise
from machine.plan import GIB, cache_bytes, lora_parameters, shape_of
from settings import GPU_BASE

# Levels with gaps of different width, as NF4's: at the 16 quantiles of a normal distribution.
LEVELS = torch.distributions.Normal(0, 1).icdf(torch.linspace(0.03, 0.97, 16, dtype=torch.float64))
LEVELS = LEVELS / LEVELS.abs().max()


@exercise("06.1", "my_quantise")
def four_bits(answer: Answer) -> str:
    block = 0.3 * torch.randn(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = block.abs().max()
    nearest = (block[:, None] / scale - LEVELS).abs().argmin(dim=-1)
    truth = LEVELS[nearest] * scale
    try:
        got = answer.tensor(block, LEVELS, shape=(64,))
    except NotYet as sentence:
        if "IndexError" in str(sentence):
            raise NotYet(
                f"{sentence}. Does argmin run over the levels, the last dimension?"
            ) from None
        raise
    answer.need(
        not close(got, nearest),
        "those are the levels' numbers; the weights they stand for are wanted",
    )
    answer.need(not close(got, LEVELS[nearest]), "it is not scaled back to the weights' own size")
    unscaled = LEVELS[(block[:, None] - LEVELS).abs().argmin(dim=-1)]
    answer.need(
        not close(got, unscaled) and not close(got, unscaled * scale),
        "the block is not scaled before the levels are chosen: divide by its largest ABSOLUTE value",
    )
    signed = block.max()
    by_max = LEVELS[(block[:, None] / signed - LEVELS).abs().argmin(dim=-1)] * signed
    answer.need(
        not close(got, by_max) or close(by_max, truth),
        "the scale is the largest weight; it has to be the largest absolute value, or negative weights "
        "fall outside [-1, 1]",
    )
    answer.need(
        not close(got, block), "the block came back unchanged: nothing was rounded to a level"
    )
    for weight, mine, right in zip(block.tolist(), got.tolist(), truth.tolist(), strict=True):
        answer.need(
            close(mine, right),
            f"the weight {weight:.4f} becomes {mine:.4f}, and {right:.4f} is right",
        )
    return "right. One number in each block is kept exactly: which one?"


@exercise("06.2", "my_bits")
def bits(answer: Answer) -> str:
    answer.need(
        isinstance(answer.value, dict) and {"plain", "double"} <= set(answer.value),
        "my_bits has to hold plain and double",
    )
    truth = {"plain": 4 + 32 / 64, "double": 4 + 8 / 64 + 32 / (64 * 256)}
    for name, right in truth.items():
        got = Answer(f"my_bits[{name!r}]", answer.value[name]).number()
        answer.need(
            not close(got, right - 4, 1e-6),
            f"{name}: the four bits of the weight itself are missing",
        )
        answer.need(
            not close(got, 4 + (32 if name == "plain" else 8), 1e-6),
            f"{name}: one scale serves 64 weights; divide by 64",
        )
        answer.need(
            not close(got, 4 + (right - 4) / 8, 1e-6),
            f"{name}: 32 bits are four bytes, but what is asked for are bits",
        )
        answer.need(
            not close(got, 64 * right, 1e-6),
            f"{name}: that is a whole block; divide by its 64 weights",
        )
        answer.need(
            name == "plain" or not close(got, 4 + 8 / 64, 1e-6),
            "double: nearly. Every 256 scales share a float32 number of their own",
        )
        answer.need(
            name == "plain" or not close(got, 4 + 8 / 64 + 32 / 256, 1e-6),
            "double: the float32 number serves 256 scales, that is 256 * 64 weights",
        )
        answer.need(
            not close(got, right / 8, 1e-3),
            f"{name}: those are bytes, and what is asked for are bits",
        )
        answer.need(abs(got - right) < 5e-3, f"{name} is not {got:g}")  # 4.13 is as good
    return "right: 4.5 and 4.127 bits. The dry run counts with the second."


@exercise("06.3", "my_lora_parameters")
def adapter(answer: Answer) -> str:
    shape = shape_of(GPU_BASE)
    for shapes, r in (([(8, 5)], 3), ([(8, 5), (16, 9)], 3), (shape.linears(), 16)):
        got, truth = answer.number(shapes, r), sum(r * (out + into) for out, into in shapes)
        ends = [r * (out + into) for out, into in (shapes[0], shapes[-1])]
        answer.need(
            len(shapes) == 1 or got not in ends, "only one of the list's matrices is counted"
        )
        answer.need(
            got != sum(out + into for out, into in shapes),
            "A has r rows and B has r columns: where is r?",
        )
        answer.need(
            got != sum(out * into for out, into in shapes), "that counts W itself, which is frozen"
        )
        answer.need(
            got != sum(r * out * into for out, into in shapes),
            "A is r x in and B is out x r: their numbers are added, not multiplied",
        )
        answer.need(
            got not in (sum(r * out for out, _ in shapes), sum(r * into for _, into in shapes)),
            "only one of the two matrices A and B is counted",
        )
        answer.need(
            got == truth, f"for {shapes[:2]} and r = {r} it gives {got:g}, {truth} is right"
        )
    assert shape.layers * truth == lora_parameters(shape, 16)
    return f"right. On the {shape.layers} layers of Qwen2.5-3B: {shape.layers * truth:,} numbers."


@exercise("06.4", "my_cache_gib")
def cache(answer: Answer) -> str:
    shape = shape_of(GPU_BASE)
    small = replace(shape, layers=3, kv_heads=5, head_dim=7)  # no factor is another one here
    for model, rows, tokens in ((small, 11, 13), (shape, 32, 1536), (shape, 1, 100)):
        sizes = {"layers": model.layers, "kv_heads": model.kv_heads, "head_dim": model.head_dim}
        sizes |= {"rows": rows, "tokens": tokens}
        got = answer.number(*sizes.values())
        truth = cache_bytes(model, rows, tokens) / GIB
        factors = {
            0.5: "half of it is missing: a key AND a value, or two bytes for a number of 16 bits",
            0.25: "a quarter of what it is: a key AND a value, and two bytes for each number",
            2.0: "twice what it is: 16 bits are two bytes, not four",
            8.0: "eight times what it is: bits were counted, not bytes",
            4.0: "four times what it is: bits were counted, not bytes, and a key without its value",
            1024.0: "those are MiB; divide by 2**30",
            GIB: "those are bytes; divide by 2**30",
            1.073741824: "GiB are 2**30 bytes, not 10**9",
        }
        factors |= {
            1 / size: f"{name} is missing" for name, size in sizes.items() if model is small
        }
        for factor, sentence in factors.items():
            answer.need(not close(got / truth, factor, 1e-6), sentence)
        answer.need(
            close(got / truth, 1.0, 1e-6),
            f"for {', '.join(f'{name} {size}' for name, size in sizes.items())} it gives {got:.4g} GiB, "
            f"and {truth:.4g} is right",
        )
    return f"right: {cache_bytes(shape, 32, 1536) / GIB:.2f} GiB for 32 texts, as in the dry run."
