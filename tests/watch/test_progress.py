"""The screen: one group whole, the bar, the short table, what to do next; all in 80 columns."""

import io
import shlex
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from faults.runs import MEASURED, run

import pass_at_k
from machine.chat import chat_template
from machine.loading import load_tokenizer
from pass_at_k import Comparison
from problems import EXAMPLES, Problem
from settings import Settings, resolve
from verifier import Verdict
from watch import progress
from watch.tables import in_words
from watch.terminal import ASCII_BLOCKS, BLOCKS, cut, sparkline, wrapped


def group_of(verdicts, texts, problem="What comes next: 2, 5?", gold="8"):
    """A rollout of two prompts; the second one's rewards differ."""
    size = len(verdicts)
    plain = [Verdict(0.0, "wrong", "1", "rational")] * size
    return SimpleNamespace(
        problems=[Problem("other", "0"), Problem(problem, gold)],
        reward=torch.tensor([[0.0] * size, [v.reward for v in verdicts]]),
        verdicts=[*plain, *verdicts],
        texts=["other"] * size + texts,
    )


RIGHT, WRONG = Verdict(1.0, "correct", "8", "string"), Verdict(0.0, "wrong", "7", "rational")
NONE = Verdict(0.0, "no_answer", None, None)


def test_a_group_is_shown_whole_with_marks_and_counts():
    rolled = group_of([WRONG, RIGHT, RIGHT, NONE], ["7, so", "it is 8", "8", "well\nno"])
    lines = progress.one_group(rolled, 50, 1.0).splitlines()
    assert lines[0] == "step 50, one group: What comes next: 2, 5?"
    assert lines[1].strip() == "gold 8; 2 of 4 right, 3 different answers:"
    assert lines[2].split() == ["+", "2", "x", "8", "correct", "it", "is", "8"]
    assert [line.split()[:4] for line in lines[3:]] == [["-", "1", "x", "7"], ["-", "1", "x", "no"]]
    assert "well no" in lines[4]


def test_right_is_what_right_at_says_and_other_rewards_are_shown():
    half = Verdict(0.5, "short", "8", None)
    shown = progress.one_group(group_of([half, WRONG], ["8", "7"]), 0, 0.5)
    assert "1 of 2 right" in shown and "+   1 x 8              0.5 short" in shown
    assert "0 of 2 right" in progress.one_group(group_of([half, WRONG], ["8", "7"]), 0, 1.0)


def test_a_gold_answer_that_nobody_grades_by_is_not_shown():
    shown = progress.one_group(group_of([WRONG, RIGHT], ["7", "8"]), 0, 1.0, graded=False)
    assert "gold" not in shown and "  1 of 2 right, 2 different answers:" in shown


def test_many_answers_are_counted_and_nothing_is_wider_than_80_columns():
    evil = "\x1b[2J" + "漢字" * 90
    many = [Verdict(float(i == 0), "correct" * 9, f"{i}{evil}", None) for i in range(30)]
    rolled = group_of(many, [evil] * 30, problem=evil, gold=evil)
    shown = progress.one_group(rolled, 50, 1.0)
    assert "... and 22 more, in 22 of the 30" in shown and "\x1b" not in shown
    for line in shown.splitlines():
        wide = sum(1 + (c in "漢字") for c in line)
        assert wide <= 80, line


def test_a_sparkline_rises_as_the_values_do_and_knows_its_stream():
    assert sparkline([0, 0.5, 1.0], stream=io.StringIO()) == BLOCKS[0] + BLOCKS[3] + BLOCKS[7]
    assert sparkline(list(range(800)), stream=io.StringIO()) == BLOCKS
    assert sparkline([], stream=io.StringIO()) == "" and len(sparkline([0.0, float("nan")])) == 1
    old = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert sparkline(list(range(8)), stream=old) == ASCII_BLOCKS


def test_sentences_are_broken_between_words_and_never_inside_a_flag():
    text = wrapped("lower --max-prompt-tokens " * 9 + "/a/very/long-path" * 8)
    assert all(len(line) <= 80 for line in text.splitlines()[:-1])
    assert "--max-prompt-tokens" in text.splitlines()[0] and "/a/very/long-path" * 8 in text
    assert cut("é" * 80, 80) == "é" * 80 and cut("\x1b", 5) == "␛"


# ---------------------------------------------------------------- the end


def comparison_of(base, trained, problems=60, n=64):
    counts = {k: np.full(problems, v) for k, v in (("base", base), ("trained", trained))}
    noise = np.arange(problems) % 3
    ks = [2**i for i in range(n.bit_length())]
    kinds = [Problem(str(i), "1", "a" if i % 2 else "b") for i in range(problems)]
    return Comparison(
        kinds, n, ks, counts["base"] + noise, counts["base"] + noise, counts["trained"] + noise
    )


def ks_of(lines):
    return [line.split("pass@")[1].split()[0] for line in lines if "pass@" in line]


def test_the_short_table_has_three_k_marks_what_is_sure_and_says_what_it_means():
    lines = comparison_of(8, 30).summary().splitlines()
    assert ks_of(lines) == ["1", "8", "64"]  # Full alone: no problem is Hard, so Easy is the same
    assert sum(line.endswith("*") for line in lines) == 2  # at 64 both solve everything
    assert "the interval excludes 0" in " ".join(lines)
    split = comparison_of(0, 30).summary().splitlines()
    assert ks_of(split) == ["1", "8", "64"] * 3  # Full, Easy, Hard
    assert sum(line.endswith("*") for line in split) == 8  # of Easy the base solves all in 64
    assert all(len(line) <= 80 for line in lines + split)
    equal = comparison_of(8, 8).summary()
    assert "*" not in equal and "excludes" not in equal, "no mark, and none explained"
    full = comparison_of(8, 30).table().splitlines()
    assert all(len(line) <= 80 for line in full) and any("By kind" in line for line in full)


def test_over_a_handful_of_problems_nothing_is_sure():
    """All five of them gain: by chance alone that comes once in sixteen, up or down."""

    def five(count):
        problems = [Problem(str(i), "1") for i in range(count)]
        none, all_of_them = np.zeros(count, dtype=int), np.full(count, 8)
        return Comparison(problems, 8, [1, 8], none, none, all_of_them).summary()

    assert "*" not in five(5) and "too close for 5 problems to tell" in " ".join(five(5).split())
    assert "*" in five(6) and "a real difference" in " ".join(five(6).split())


@pytest.mark.parametrize(
    ("base", "trained", "means"),
    [
        (8, 30, "so it solves what the base solves, only more often"),
        (8, 8, "too close for 60 problems to tell"),
        (30, 8, "a real difference"),
    ],
)
def test_the_sentence_says_what_the_numbers_mean(base, trained, means):
    assert means in in_words(comparison_of(base, trained))


def test_more_and_fewer_problems_in_many_attempts_are_said():
    base, trained = np.repeat([0, 20], 30), np.repeat([5, 20], 30)
    problems = [Problem(str(i), "1") for i in range(60)]
    up = Comparison(problems, 64, [1, 64], base, base, trained)
    down = Comparison(problems, 64, [1, 64], trained, trained, base)
    assert "so it solves what the base does not" in in_words(up)
    assert "so it has lost what the base solves" in in_words(down)


def test_a_whole_run_fits_into_80_columns_and_ends_with_three_commands(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    bars = []
    monkeypatch.setattr(pass_at_k, "tqdm", lambda **kw: bars.append(kw["desc"]) or NoBar())
    assert (
        run(
            "r",
            steps=2,
            show_every=1,
            max_new_tokens=40,
            **{k: MEASURED[k] for k in ("eval_problems", "eval_samples")},
        )
        == 0
    )
    screen = capfd.readouterr()
    for line in [*screen.out.splitlines(), *screen.err.replace("\r", "\n").splitlines()]:
        assert len(line) <= 80 or "bitsandbytes" in line, line
    assert "tok/s" in screen.err and any(block in screen.err for block in BLOCKS)
    assert bars == [
        "sampling the base, to choose Hard",
        "sampling the base, to score it",
        "sampling what was trained",
    ]
    commands = [
        line.strip() for line in screen.out.split("Next:")[1].splitlines() if "python" in line
    ]
    assert commands[0].startswith("python -m use talk r 'What comes next:")
    assert commands[1:] == [
        "python pass_at_k.py --adapter r --n 8 --problems 3 --max-new-tokens 40",
        "python rapo_mini.py --resume r --steps 4",
    ]


class NoBar:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, _):
        pass


def test_the_commands_name_what_the_defaults_would_not_find():
    settings, _ = resolve(Settings(model="tiny_base", data="mine.csv", out="r", steps=5))
    tokenizer = load_tokenizer("tiny_base")
    elsewhere = progress.what_next(
        replace(settings, model="some/base"), 3, [Problem("x" * 60, "1")], tokenizer
    )
    long, _ = resolve(Settings(model="some/base"))
    assert "--max-prompt-tokens 512" in progress.measure_command(long, 8, tokenizer)
    assert "--model some/base" in elsewhere and "--data mine.csv" in elsewhere
    assert elsewhere.endswith("--resume r") and "use talk r\n" in elsewhere
    as_trained = {"eval_problems": 40, "temperature": 0.8, "prompt_template": "{problem} = "}
    asked = replace(settings, **as_trained, eval_data="sums")
    command = progress.measure_command(asked, 64, tokenizer).replace("\\\n", "")
    assert pass_at_k.parse(shlex.split(command)[2:]) == pass_at_k.Evaluation(
        "r", data="sums", n=64, problems=40, temperature=0.8, prompt_template="{problem} = "
    )
    ill = progress.what_next(settings, 3, [Problem("x", "1")], tokenizer, healthy=False)
    assert "--resume" not in ill and "use talk" in ill, "a resumed run keeps the flags to change"


def test_a_chat_template_is_named_only_where_it_is_not_the_models_own():
    tokenizer = load_tokenizer("tiny_base")
    tokenizer.chat_template = "{% for turn in messages %}<{{ turn.content }}>{% endfor %}"
    asked, _ = resolve(Settings(model="some/base", data="sums", out="r"))
    for example, named in ((EXAMPLES["sums"], False), (None, True)):
        chat = replace(asked, prompt_template=chat_template(tokenizer, example))
        assert ("--prompt-template" in progress.measure_command(chat, 64, tokenizer)) == named


def test_the_full_table_stands_behind_a_flag(tmp_path, capsys):
    assert run(tmp_path / "run", **MEASURED | {"table": "full"}) == 0
    shown = capsys.readouterr().out
    assert "Full: 3 problems" in shown and "pass@2" in shown
