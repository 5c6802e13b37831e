"""The figures: whoever sees colours as most colour-blind people do can tell their lines apart."""

from itertools import combinations

import pytest
from colour_vision import ENOUGH, alike, apart, told_apart
from matplotlib.figure import Figure

from compare.plan import CONTENDERS
from objective import ARMS
from problems import TIERS
from watch.figures import COLOURS, DASHES, draw_by_tier, draw_pass_at_k

LOOKS = {name: (COLOURS[name], DASHES[name]) for name in COLOURS}
CONTENDERS_LOOK = {name: (c.colour, c.dashes) for name, c in CONTENDERS.items()}


@pytest.mark.parametrize("looks", [LOOKS, CONTENDERS_LOOK], ids=["arms", "contenders"])
def test_any_two_are_told_apart_by_everyone(looks):
    """Base and RAPO are both solid lines, so it is their colours that have to do it; and so on."""
    for one, two in combinations(looks, 2):
        assert told_apart(looks[one], looks[two]), (one, two)


def test_the_simulation_says_what_is_known():
    """Greens and reds of one lightness fall together for a deuteranope, blue and yellow do not."""
    green, pink = COLOURS["grpo-unbiased"], COLOURS["reverse-kl"]
    assert apart(green, pink, "no deficiency") > 80 and apart(green, pink, "deuteranopia") < ENOUGH
    assert apart("blue", "yellow", "deuteranopia") > 100
    assert apart("blue", "yellow", "tritanopia") < apart("blue", "yellow", "no deficiency")


@pytest.mark.parametrize("arm", ARMS)
def test_base_and_trained_in_the_picture_of_a_run(arm):
    axes = Figure().subplots()
    row = {"mean": 0.5, "low": 0.4, "high": 0.6}
    rows = {str(k): {"full": {"base": row, "trained": row}} for k in (1, 2, 4)}
    draw_pass_at_k(axes, {"pass_at_k": rows, "problems": 8}, arm)
    assert len(axes.lines) == 2 and alike(axes) == []


def test_tiers_in_the_picture_of_a_run():
    axes, tiers = Figure().subplots(), dict.fromkeys(TIERS.values(), 0.5)
    draw_by_tier(axes, [{"step": s, "rule_chosen": tiers} for s in (0, 1)], "rule_chosen", "p")
    assert len(axes.lines) == len(tiers) and alike(axes) == []
    axes.figure.canvas.draw()
    assert all(tick == int(tick) for tick in axes.get_xticks()), "there is no half step"


def test_what_looks_alike_is_found():
    axes = Figure().subplots()
    orange, vermilion = COLOURS["grpo"], COLOURS["no-kl"]
    axes.plot([0, 1], "-", color=orange)
    axes.plot([0, 1], "--", color=vermilion)
    axes.plot([0, 1], "-", color="black", alpha=0.1)
    assert alike(axes) == []
    axes.plot([0, 1], "-", color=vermilion)
    assert len(alike(axes)) == 1
