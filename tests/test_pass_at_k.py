"""pass_at_k.py: the estimator against enumeration, the intervals against what they promise."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from pass_at_k import Comparison, bootstrap, parse, pass_at_k, powers_of_two, read_ks
from problems import Problem
from watch.figures import draw_run


@pytest.mark.parametrize("n", [1, 4, 7])
def test_pass_at_k_is_the_share_of_all_subsets_that_hold_a_right_one(n):
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        right = [1] * c + [0] * (n - c)
        subsets = [any(some) for some in itertools.combinations(right, k)]
        assert pass_at_k(n, np.array([c]), k)[0] == pytest.approx(np.mean(subsets))


def test_pass_at_k_is_unbiased():
    """The mean over many draws of n samples is the true 1 - (1-p)^k."""
    p, n, k = 0.13, 10, 4
    correct = np.random.default_rng(0).binomial(n, p, size=200_000)
    assert pass_at_k(n, correct, k).mean() == pytest.approx(1 - (1 - p) ** k, abs=3e-3)


@pytest.mark.parametrize("k", [0, 9])
def test_a_k_without_enough_samples_is_named(k):
    with pytest.raises(ValueError, match=r"--k"):
        pass_at_k(8, np.array([1]), k)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = []
    for i in range(300):
        estimate = bootstrap(rng.binomial(1, 0.3, size=120).astype(float), resamples=500, seed=i)
        covered.append(estimate.low <= 0.3 <= estimate.high)
    assert 0.91 <= np.mean(covered) <= 0.985


def test_powers_of_two_end_at_n():
    assert powers_of_two(64) == [1, 2, 4, 8, 16, 32, 64] and powers_of_two(63)[-1] == 32


@pytest.fixture
def comparison():
    kinds = ["a", "a", "b", "b"]
    return Comparison(
        [Problem(str(i), "0", kind) for i, kind in enumerate(kinds)],
        4,
        [1, 2, 4],
        chosen_by=np.array([4, 2, 0, 0]),
        base=np.array([4, 1, 1, 0]),
        trained=np.array([4, 4, 0, 2]),
    )


def test_hard_is_chosen_by_one_draw_and_scored_on_another(comparison):
    hard = comparison.estimates(1)["hard"]
    assert hard["base"].mean == pytest.approx(1 / 8), "not 0 by definition"
    assert hard["trained"].mean == pytest.approx(1 / 4)
    assert comparison.estimates(1)["easy"]["base"].mean == pytest.approx(5 / 8)
    assert comparison.estimates(1)["full"]["base"].mean == pytest.approx(3 / 8)


def test_the_papers_hard_is_chosen_by_the_samples_that_score_it(comparison):
    """The base's 0 is true by construction, at every k; the name says whose Hard it is."""
    for k in comparison.ks:
        paper = comparison.estimates(k)["hard_paper"]
        assert paper["base"].mean == 0
    assert paper["trained"].mean == 1, "only the last problem, which the second draw never solved"
    table = comparison.table()
    assert "Hard: 2 problems" in table and "Hard as the paper has it" in table
    assert "as the paper has it" not in comparison.table(("full", "hard"))


def test_the_preset_evaluates_as_section_4_1_does(capsys):
    asked = parse(["--adapter", "somewhere", "--preset", "paper"])
    assert (asked.n, asked.temperature, asked.top_p) == (2048, 0.6, 0.95)
    assert read_ks(asked.k) == [2**i for i in range(11)]
    assert (asked.max_new_tokens, asked.data) == (8192, "aime24")
    mine = parse(["--adapter", "somewhere", "--preset", "paper", "--n", "64", "--data", "aime25"])
    assert (mine.n, mine.data, mine.temperature) == (64, "aime25", 0.6)
    assert parse(["--adapter", "somewhere"]).n == 64
    with pytest.raises(SystemExit):
        parse(["--preset", "paper", "--help"])
    assert "default: 2048" in capsys.readouterr().out


def test_differences_are_paired(comparison):
    gap = comparison.estimates(4)["full"]["difference"]
    assert gap.mean == pytest.approx((0 + 0 - 1 + 1) / 4)
    same = Comparison(comparison.problems, 4, [1], *[comparison.base] * 3)
    gap = same.estimates(1)["full"]["difference"]
    assert gap.low == gap.high == 0, "the same answers leave no doubt about the difference"


def test_newly_solved_compares_as_many_samples_of_each(comparison):
    """What the base's other draw solves, of which Hard is made, would make it twice as many."""
    won = replace(comparison, chosen_by=np.ones(4, int), base=np.array([4, 1, 1, 0]))
    assert won.as_json()["newly_solved"] == 1 and won.as_json()["no_longer_solved"] == 1


def test_the_record_counts_what_was_won_and_lost(comparison):
    record = comparison.as_json()
    assert (record["newly_solved"], record["no_longer_solved"]) == (1, 1)
    assert record["split_sizes"] == {"full": 4, "easy": 2, "hard": 2, "hard_paper": 1}
    assert record["correct"]["trained"] == [4, 4, 0, 2]
    assert record["pass_at_k"]["1"]["hard"]["base"]["mean"] == pytest.approx(1 / 8)


def test_the_table_holds_every_split_k_and_kind(comparison):
    table = comparison.table()
    for part in ("Full: 4", "Easy: 2", "Hard: 2", "pass@4", "  a ", "  b ", "0.375 ["):
        assert part in table, part


def test_a_split_without_problems_is_said_not_averaged(comparison):
    solved = Comparison(comparison.problems, 4, [1], *[np.full(4, 4)] * 3)
    assert "Hard: 0 problems" in solved.table() and "nan" not in solved.table()


@pytest.mark.parametrize("wrong", ["x", "1,...", "0", "...,8", "-1"])
def test_a_list_of_k_that_cannot_be_read_is_named(wrong):
    with pytest.raises(ValueError, match="--k"):
        read_ks((wrong,))


def test_the_picture_is_drawn_with_and_without_an_evaluation(comparison, tmp_path):
    metrics = [{"step": i, "reward": 0.1 * i, "entropy": 1.0, "kl": 0.2} for i in range(5)]
    for name, given in (("with", comparison.as_json()), ("without", None)):
        path = tmp_path / f"{name}.png"
        draw_run(metrics, "rapo", path, given)
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 20_000
    assert not list(tmp_path.glob("*.part"))
