"""worlds/puzzles.py: the bundled world is what it says."""

import random
from collections import Counter
from fractions import Fraction

import pytest

from problems import Problem, puzzles, render_prompt
from verifier import extract_answer, verify
from worlds import puzzles as bundled
from worlds.puzzles import (
    KIND_WEIGHTS,
    RULES,
    Term,
    draw_puzzle,
    question,
    right_answers,
    split_of,
    terms_of,
    worked_answer,
)

DRAW = (
    bundled.puzzles
)  # bound before conftest.py remembers draws: those would agree with themselves


@pytest.fixture(autouse=True)
def drawn_each_time_anew(monkeypatch):
    monkeypatch.setattr(bundled, "puzzles", DRAW)


def integers(*values):
    return [Term(0, v) for v in values]


NEXT = {  # puzzles and answers made by hand
    "common difference": (integers(2, 5, 8, 11), "14"),
    "common ratio": (integers(3, 6, 12, 24), "48"),
    "growing difference": (integers(1, 3, 6, 10), "15"),
    "alternating step": (integers(1, 4, 5, 8), "9"),
    "cubes plus constant": (integers(3, 10, 29, 66), "127"),
    "cycle of three": (integers(7, 1, 4, 7), "1"),
    "double and add": (integers(1, 5, 13, 29), "61"),
    "sum of two": (integers(3, 4, 7, 11), "18"),
    "sum of three": (integers(2, 3, 4, 9), "16"),
    "mirror": (integers(8, 2, 5, 2), "8"),
    "halving step": (integers(1, 17, 25, 29), "31"),
}


@pytest.mark.parametrize("kind", list(RULES))
def test_each_rule_gives_the_next_term(kind):
    terms, answer = NEXT[kind]
    assert repr(RULES[kind].attempt(terms)[1]) == answer


def value(term, x=Fraction(7, 3)):
    return (term.x * x + term.one) / Fraction(term.over)


def follows(kind, t):
    """Do the values of five terms follow the rule? Said independently of how it is attempted."""
    d = [b - a for a, b in zip(t, t[1:], strict=False)]
    return {
        "common difference": lambda: len(set(d)) == 1,
        "common ratio": lambda: len({b / a for a, b in zip(t, t[1:], strict=False)}) == 1,
        "growing difference": lambda: len({b - a for a, b in zip(d, d[1:], strict=False)}) == 1,
        "alternating step": lambda: d[0] == d[2] and d[1] == d[3],
        "cycle of three": lambda: t[3] == t[0] and t[4] == t[1],
        "double and add": lambda: len({b - 2 * a for a, b in zip(t, t[1:], strict=False)}) == 1,
        "sum of two": lambda: all(t[i] == t[i - 1] + t[i - 2] for i in (2, 3, 4)),
        "sum of three": lambda: all(t[i] == t[i - 1] + t[i - 2] + t[i - 3] for i in (3, 4)),
        "mirror": lambda: t[3] == t[1] and t[4] == t[0],
        "halving step": lambda: all(2 * b == a for a, b in zip(d, d[1:], strict=False)),
    }[kind]()


@pytest.mark.parametrize("kind", [k for k in RULES if k != "cubes plus constant"])
def test_drawn_puzzles_follow_their_rule(kind):
    rng = random.Random(1)
    for _ in range(100):
        terms = draw_puzzle(rng, kind, "train")
        assert follows(kind, [value(t) for t in [*terms, RULES[kind].attempt(terms)[1]]])


def test_cubes_plus_constant_is_that():
    rng = random.Random(1)
    for _ in range(50):
        terms = draw_puzzle(rng, "cubes plus constant", "train")
        fifth = RULES["cubes plus constant"].attempt(terms)[1]
        scale = Fraction(1, terms[0].over)
        constants = {value(t) - n**3 * scale for n, t in enumerate([*terms, fifth], start=1)}
        assert len(constants) == 1


def test_no_more_familiar_rule_solves_a_puzzle():
    rng = random.Random(2)
    kinds = list(RULES)
    for kind in kinds:
        for _ in range(50):
            terms = draw_puzzle(rng, kind, "train")
            answer = RULES[kind].attempt(terms)[1]
            assert all(RULES[k].attempt(terms)[1] != answer for k in kinds[: kinds.index(kind)])


def test_a_worked_answer_is_accepted_and_no_other():
    """The whole chain on real texts: unreduced fractions and reordered expressions included."""
    rng = random.Random(3)
    unlike_gold = 0
    for kind in RULES:
        for _ in range(60):
            terms = draw_puzzle(rng, kind, "train")
            gold = RULES[kind].attempt(terms)[1].reduced()
            right = worked_answer(kind, terms, rng)
            unlike_gold += extract_answer(right) != gold
            assert verify(right, gold).reward == 1, (right, gold)
            off_by_one = (RULES[kind].attempt(terms)[1] + Term(0, 1, terms[0].over)).reduced()
            assert verify(right, off_by_one).reward == 0, (right, off_by_one)
    assert unlike_gold > 50, "string comparison must not be enough"


def test_every_rule_goes_through_on_every_kind_of_puzzle():
    """A wrong rule must end in some answer, or a base model could not be taught to try it."""
    rng = random.Random(4)
    for kind in RULES:
        for _ in range(40):
            terms = draw_puzzle(rng, kind, "train")
            for tried in RULES:
                assert extract_answer(worked_answer(tried, terms, rng))


def test_the_words_of_a_puzzle_give_back_its_terms():
    rng = random.Random(6)
    for kind in RULES:
        for _ in range(40):
            terms = draw_puzzle(rng, kind, "train")
            assert terms_of(question(terms)) == terms


def test_an_attempt_is_one_of_the_right_answers_and_both_are_written():
    rng, seen = random.Random(7), set()
    terms = [Term(1, n) for n in (1, 3, 5, 7)]
    right = right_answers("common difference", terms)
    for _ in range(40):
        seen.add(worked_answer("common difference", terms, rng))
    assert seen == set(right) and len(right) == 2


def test_the_tiers_have_their_shares():
    tiers = Counter(RULES[p.kind].tier for p in puzzles("test", 200))
    shares = {tier: round(100 * count / 200) for tier, count in tiers.items()}
    assert shares == {"common": 38, "rare": 25, "very rare": 22, "hidden": 15}


def test_splits_are_disjoint_and_reproducible():
    drawn = {split: puzzles(split, 400, seed=1) for split in ("train", "validation", "test")}
    drawn |= {split: puzzles(split, 150, seed=1) for split in ("easy", "hard")}
    texts = {split: {p.problem for p in found} for split, found in drawn.items()}
    assert all(len(texts[split]) == len(drawn[split]) for split in drawn)
    for held_out in ("validation", "test", "easy", "hard"):
        assert not texts["train"] & texts[held_out]
    assert not texts["validation"] & (texts["test"] | texts["easy"] | texts["hard"])
    assert not texts["easy"] & texts["hard"]
    assert puzzles("train", 400, seed=1) == drawn["train"]
    assert puzzles("train", 400, seed=2) != drawn["train"]
    assert {RULES[p.kind].tier for p in drawn["easy"]} == {"common"}
    assert {RULES[p.kind].tier for p in drawn["hard"]} == {"rare", "very rare", "hidden"}


def test_kinds_come_in_proportion_and_fewer_puzzles_are_the_first():
    """So two seeds differ in their puzzles and not in how hard the mix is."""
    many = puzzles("train", 1200, seed=3)
    assert puzzles("train", 90, seed=3) == many[:90]
    for count in (600, 1200):
        kinds = Counter(p.kind for p in many[:count])
        for kind, rule in RULES.items():
            assert kinds[kind] == count // 600 * KIND_WEIGHTS[rule.tier]


def test_a_puzzle_alone_decides_its_split():
    rng = random.Random(5)
    for split in ("train", "validation", "test"):
        assert split_of(draw_puzzle(rng, "sum of two", split)) == split


def test_all_forms_of_terms_occur():
    texts = " ".join(p.problem + p.answer for p in puzzles("train", 200))
    assert "/" in texts and "x+" in texts


def test_a_hint_names_the_rule():
    asked = "What comes next by sum of two"
    assert question(integers(1, 2), asked) == "What comes next by sum of two: 1, 2?"


@pytest.mark.parametrize(
    ("split", "count", "names"), [("exam", 3, "exam"), ("validation", 100_000, "100000")]
)
def test_impossible_splits_are_named(split, count, names):
    with pytest.raises(ValueError, match=names):
        puzzles(split, count)


def test_prompt_templates():
    problem = Problem("1+{1}?", "2")
    assert render_prompt("plain", problem) == "1+{1}?\n"
    assert r"\boxed{}" in render_prompt("qwen-boxed", problem)
    assert render_prompt("Q: {problem} {}", problem) == "Q: 1+{1}? {}"
    with pytest.raises(ValueError, match="--prompt-template"):
        render_prompt("no place for it", problem)
