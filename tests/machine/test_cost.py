"""machine/cost.py: the arithmetic of a step's time, by hand."""

from dataclasses import replace

import pytest

from machine.cost import CARDS, step_seconds, table
from machine.plan import cache_bytes, weight_bytes
from machine.shapes import PUBLISHED
from settings import GPU_BASE, Settings, resolve

SHAPE = PUBLISHED[GPU_BASE]
SETTINGS = resolve(Settings(model=GPU_BASE, gpu_memory=12.0))[0]


def test_a_step_by_hand():
    """128 completions in 4 lots of 32, 1,024 tokens each; learning: 2 N operations a token, 4 passes.

    A micro-batch of 4 of a group's 16 reads their prompt once: 4 times a group.
    """
    sampling, learning = step_seconds(SHAPE, SETTINGS, CARDS[0])
    read = weight_bytes(SHAPE, "nf4") + cache_bytes(SHAPE, 32, 512 + 512)
    assert sampling == pytest.approx(4 * 1024 * read / 180e9)
    parameters = weight_bytes(SHAPE, "none") / 2
    assert 3.0e9 < parameters < 3.2e9
    tokens = 128 * 1024 + 8 * 4 * 512
    assert learning == pytest.approx(tokens * 2 * parameters * 4 / 12.8e12)


def test_time_grows_with_the_batch_and_shrinks_with_the_card():
    twice = replace(SETTINGS, prompts=16)
    for card in CARDS:
        one, two = step_seconds(SHAPE, SETTINGS, card), step_seconds(SHAPE, twice, card)
        assert two == pytest.approx((2 * one[0], 2 * one[1]))
    assert sum(step_seconds(SHAPE, SETTINGS, CARDS[1])) < sum(
        step_seconds(SHAPE, SETTINGS, CARDS[0])
    )


def test_the_table_names_both_cards_and_what_does_not_fit():
    text = table(SHAPE, SETTINGS)
    assert "12 GB  GeForce RTX 3060" in text and "24 GB  GeForce RTX 4090" in text
    assert "nothing fits" in table(SHAPE, replace(SETTINGS, max_new_tokens=32_000, quant="none"))
