"""--reward: one's own functions, ours and TRL's kind; what they may do wrong, and that it is said."""

import json
import re
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from accelerate import Accelerator
from faults.runs import metrics_of, resume, run, sentence

import pass_at_k
import rapo_mini
from objective import advantage_and_phi
from pass_at_k import Evaluation
from problems import Judge, Problem, load_problems
from settings import Settings, resolve
from step import rollout
from verifier import verify
from worlds.reward_files import read_term
from worlds.rewards import Rewards, within

MINE = r"""
import time
import numpy, torch

seen = []

def even(completion, problem):
    digits = [c for c in completion if c.isdigit()]
    return 1.0 if digits and int(digits[-1]) % 2 == 0 else 0.0

def words(completion, problem):
    seen.append(dict(problem))
    problem.clear()
    return (0.25, "too short") if len(completion) < 20 else (1, "long enough")

def trl_even(prompts, completions, **columns):
    return [even(c, None) for c in completions]

def trl_gold(completions, answer, level=None, **others):
    return [None if a == "x" else float(a in c) for a, c in zip(answer, completions)]

def numbers(completion, problem):
    return {"n": numpy.float32(0.5), "t": torch.tensor(0.5), "b": True}[problem["kind"]]

def centred(completion, problem):
    return 3.0 if "1" in completion else -1.0

def odd_ones(completion, problem):
    if "1" in completion:
        raise RuntimeError("\x1b[2J\x1b]0;owned\x07")
    return 1.0

class Unsayable(Exception):
    def __str__(self): raise RuntimeError("no words")

def raises(completion, problem): return 1 / 0
def unsayable(completion, problem): raise Unsayable
def closes(completion, problem): raise GeneratorExit
def deep(completion, problem): return deep(completion, problem)
def huge(completion, problem): return 10**400
def large(completion, problem): return 1e7
def triple(completion, problem): return (1.0, "a word", 2)
def a_list(completion, problem): return [1.0]
def yields(completion, problem): yield 1.0
def named(*, completion, problem): return 1.0
def long(prompts, completions, **columns): return [1.0] * (len(completions) + 1)
def lazy(prompts, completions, **columns): return (1.0 for _ in completions)
def leaves(completion, problem): raise SystemExit(3)
def key(completion, problem): return problem["target"]
def none(completion, problem): pass
def nan(completion, problem): return float("nan")
def inf(completion, problem): return float("inf")
def text(completion, problem): return "1"
def several(completion, problem): return torch.ones(2)
def short(prompts, completions, **columns): return [1.0]
def scalar(prompts, completions, **columns): return 1.0
def words_of(prompts, completions, **columns): return ["good"] * len(completions)
def nothing(prompts, completions, **columns): pass
def column(completions, target, **columns): return [1.0] * len(completions)
def one(completion): return 1.0
def ids(completions, completion_ids, **others): return [1.0] * len(completions)
async def later(completion, problem): return 1.0
class Kind: pass
number = 3

def hangs(completion, problem):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            if hasattr(hangs, "again"):
                raise
            hangs.again = True

def spins(completion, problem):
    while True:
        pass
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return f"{tmp_path}/mine.py"


ROW = {"prompt": "1, 2?\n", "problem": "1, 2?", "answer": "3", "kind": ""}


def rewards_of(given, texts, rows=None):
    return Rewards(given)(rows or [ROW] * len(texts), texts)


# ---------------------------------------------------------------- what is right


def test_without_a_reward_it_is_the_verifier_to_the_word():
    texts = ["The answer is 3.", "The answer is 4.", "3", r"\boxed{3"]
    verdicts, means = rewards_of((), texts)
    assert verdicts == [verify(text, "3") for text in texts] and means == {}
    settings, _ = resolve(Settings())
    assert Judge(settings)([Problem("1, 2?", "3")], texts) == (verdicts, {})


def test_several_are_weighed_and_summed_with_their_means(mine):
    texts = ["The answer is 3.", "The answer is 4.", "no"]
    verdicts, means = rewards_of(("verify=0.7", f"{mine}:even=0.2", f"{mine}:words=0.1"), texts)
    assert [v.reward for v in verdicts] == [0.7 + 0.025, 0.2 + 0.025, 0.025]
    assert means == pytest.approx({"verify": 1 / 3, "even": 1 / 3, "words": 0.25})
    assert [v.reason for v in verdicts] == [
        "correct",
        "wrong",
        "no_answer",
    ]  # the first that is given
    assert [v.answer for v in verdicts] == ["3", "4", None]
    (all_of_it,), _ = rewards_of(
        ("verify=0.7", f"{mine}:trl_gold=0.2", f"{mine}:words=0.1"), ["\\boxed{3}" * 4]
    )
    assert all_of_it.reward == 1.0  # 0.7 + 0.2 + 0.1 is 0.9999999999999999


def test_a_reason_is_the_functions_own_or_follows_the_reward(mine):
    assert [v.reason for v in rewards_of((f"{mine}:words",), ["a", "a" * 20])[0]] == [
        "too short",
        "long enough",
    ]
    verdicts, _ = rewards_of((f"{mine}:even=0.5", f"{mine}:trl_even=0.5"), ["2", "3"])
    assert [v.reason for v in verdicts] == ["correct", "wrong"]


def test_a_function_gets_every_column_and_cannot_change_the_problem(mine):
    problem = Problem("1, 2?", "3", "easy", {"level": 7})
    judge = Judge(resolve(Settings(reward=(f"{mine}:words",)))[0])
    judge([problem], ["a", "b"])
    seen = judge.rewards.terms[0].function.__globals__["seen"]
    everything = {
        "level": 7,
        "problem": "1, 2?",
        "answer": "3",
        "kind": "easy",
        "prompt": "1, 2?\n",
    }
    assert seen == [everything] * 2 and problem.columns == {"level": 7}


@pytest.mark.parametrize("kind", "ntb")
def test_a_reward_may_be_any_kind_of_number(mine, kind):
    assert rewards_of((f"{mine}:numbers",), ["x"], [ROW | {"kind": kind}])[0][0].reward in (
        0.5,
        1.0,
    )


def test_trls_kind_is_called_as_the_installed_trl_calls_it(mine):
    """The same file through TRL's own `_calculate_rewards`, ours wrapped for it, and here."""
    trl = pytest.importorskip("trl")
    completions, prompts = ["2", "3", "The answer is 4."], ["a", "b", "c"]
    inputs = [{"prompt": p, "answer": a} for p, a in zip(prompts, ["2", "x", "5"], strict=True)]
    rewards = [Rewards([f"{mine}:{name}"]) for name in ("even", "trl_even", "trl_gold")]
    plain = [r.terms[0].function for r in rewards[1:]]
    functions = [*plain, *(r.as_trl() for r in rewards), Rewards().as_trl()]
    trainer = SimpleNamespace(
        accelerator=Accelerator(cpu=True),
        args=SimpleNamespace(report_to=[]),
        reward_funcs=functions,
        reward_processing_classes=[None] * len(functions),
        reward_func_names=[f.__name__ for f in functions],
        state=SimpleNamespace(global_step=0),
        environments=None,
        _log_completion_extra=None,
        _log_metric=None,
    )
    theirs = trl.GRPOTrainer._calculate_rewards(trainer, inputs, prompts, completions, [[1]] * 3)
    even, gold = [1.0, 0.0, 1.0], [1.0, 0.0, 0.0]
    columns = theirs.nan_to_num(0.0).T.tolist()
    assert columns == [even, gold, even, even, gold, [0.0, 0.0, 0.0]]
    rows = [ROW | row for row in inputs]
    assert [[v.reward for v in r(rows, completions)[0]] for r in rewards] == [even, even, gold]


def test_the_advantage_takes_any_reward_and_phi_what_it_is_made_for(mine, small_policy, capsys):
    own = {"reward": (f"{mine}:centred",), "prompts": 2, "group_size": 8, "max_new_tokens": 24}
    settings, _ = resolve(Settings(**own))
    problems = load_problems("puzzles", "train", 2, 0, "--data")
    steps = (rollout(small_policy, problems, settings, step) for step in range(40))
    rolled = next(r for r in steps if set(r.reward.unique().tolist()) == {-1.0, 3.0})
    advantage, phi = advantage_and_phi(rolled.reward, settings)
    assert advantage.view(2, 8).mean(dim=1).abs().max() < 1e-6
    assert phi.unique().tolist() == pytest.approx([settings.phi_min, 1.0])
    said = capsys.readouterr().out
    assert "the advantage takes any numbers" in " ".join(said.split())
    assert max(map(len, said.splitlines())) < 80, "as all that a run shows"


# ---------------------------------------------------------------- what is wrong


ON_THE_LINE = {
    "no form": ("even", "must be verify or FILE.py:NAME"),
    "no name": ("{}:", "must be verify or FILE.py:NAME"),
    "a bad weight": ("{}:even=much", "weight 'much' must be a finite number"),
    "weight 0": ("{}:even=0", "weight '0' must be"),
    "weight nan": ("verify=nan", "weight 'nan' must be"),
    "no file": ("gone.py:even", "No such file"),
    "too much weight": ("{}:even=1e7", "weight '1e7' must be a finite number of at most 1,000,000"),
    "no function": ("{}:evil", r"no function evil; it has even, words, .* and \d+ more$"),
    "no callable": ("{}:number", "no function number"),
    "a class": ("{}:Kind", "is a class"),
    "async": ("{}:later", "is async"),
    "one argument": ("{}:one", r"takes \(completion\): it must take"),
    "token ids": ("{}:ids", "completion_ids"),
    "a missing column": ("{}:column", "asks for the column target; the data has problem, answer"),
    "raises": (
        "{}:raises",
        r"raised ZeroDivisionError\('division by zero'\) in line \d+; on the compl",
    ),
    "leaves": ("{}:leaves", "raised SystemExit"),
    "closes": ("{}:closes", "raised GeneratorExit"),
    "an exception without words": ("{}:unsayable", r"raised Unsayable\(\) in line \d+"),
    "without end": ("{}:deep", "raised RecursionError"),
    "a key": ("{}:key", "KeyError.* a problem has problem, answer, kind, prompt"),
    "None": ("{}:none", "returned None, not a number"),
    "nan": ("{}:nan", "returned nan, not a number"),
    "inf": ("{}:inf", "returned inf, not a number"),
    "too large for a float": ("{}:huge", "raised OverflowError"),
    "too large": ("{}:large", "returned 10000000.0, not a number of at most 1,000,000"),
    "three things": ("{}:triple", r"returned \(1.0, 'a word', 2\), not a number"),
    "a list for one": ("{}:a_list", r"returned \[1.0\], not a number"),
    "a generator": ("{}:yields", "returned <generator object"),
    "by name alone": ("{}:named", r"takes \(\*, completion, problem\): it must take"),
    "a string": ("{}:text", "returned '1', not a number"),
    "a tensor": ("{}:several", "raised "),
    "too few": (
        "{}:short",
        "1 rewards for 3 completions; on 3 completions, the first of them 'The",
    ),
    "too many": ("{}:long", "returned 4 rewards for 3 completions"),
    "a generator for a list": ("{}:lazy", "returned <generator object .* not a list of 3 numbers"),
    "no list": ("{}:scalar", "returned 1.0, not a list of 3 numbers"),
    "None for a list": ("{}:nothing", "returned None, not a list of 3 numbers"),
    "words": ("{}:words_of", "returned 'good', not a number"),
    "sleeps": ("{}:hangs", r"took longer than 0.2 s \(--reward-seconds\)"),
    "spins": ("{}:spins", r"took longer than 0.2 s \(--reward-seconds\)"),
}


@pytest.mark.parametrize("what", ON_THE_LINE)
def test_a_reward_that_cannot_work_is_one_sentence_and_exit_code_2(tmp_path, mine, capsys, what):
    given, names = ON_THE_LINE[what]
    began = time.perf_counter()
    assert run(tmp_path / "run", reward=(given.format(mine),), reward_seconds=0.2) == 2
    assert time.perf_counter() - began < 20 and not (tmp_path / "run").exists()
    said = sentence(capsys)
    assert re.search(names, said) and "--reward" in said, said


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(completion, problem: return 1", r"cannot be imported: SyntaxError.* in line 1"),
        ("import no_such_package", r"cannot be imported: ModuleNotFoundError\(.*in line 1"),
        ("x = 1\nraise SystemExit(0)", r"cannot be imported: SystemExit.*in line 2"),
        ("", "no function f; it has none"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_sentence(tmp_path, capsys, source, names):
    (tmp_path / "bad.py").write_text(source)
    assert run(tmp_path / "run", reward=(f"{tmp_path}/bad.py:f",)) == 2
    assert re.search(names, sentence(capsys))


@pytest.mark.parametrize(
    "flags", [{"reward_seconds": 0}, {"reward_seconds": float("nan")}, {"right_at": float("inf")}]
)
def test_a_limit_that_is_none_is_refused(tmp_path, capsys, flags):
    assert run(tmp_path / "run", **flags) == 2
    assert "--" + next(iter(flags)).replace("_", "-") in sentence(capsys)


def test_the_same_function_twice_is_refused(mine):
    with pytest.raises(ValueError, match="given twice"):
        Rewards((f"{mine}:even", f"{mine}:even=0.5"))


def test_what_fails_now_and_then_counts_as_0_and_is_said_once_and_harmlessly(mine, capsys):
    verdicts, _ = rewards_of((f"{mine}:odd_ones",), ["1 \x1b[31m", "2", "1", "11"])
    assert [(v.reward, v.reason) for v in verdicts] == [(0.0, "reward_error"), (1.0, "correct")] + [
        (0.0, "reward_error")
    ] * 2
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("raised RuntimeError") == 1 and "counts as 0" in said
    assert "\x1b" not in said and r"'1 \x1b[31m'" in said


def test_a_limit_leaves_no_timer_and_no_handler_behind():
    before = signal.getsignal(signal.SIGALRM)
    with within(5.0):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) is before


def test_outside_the_main_thread_there_is_no_limit_and_no_error(mine):
    found = []
    thread = threading.Thread(target=lambda: found.extend(rewards_of((f"{mine}:even",), ["2"])[0]))
    thread.start()
    thread.join()
    assert found[0].reward == 1.0


# ---------------------------------------------------------------- in a run


def test_a_run_names_its_rewards_and_refuses_a_changed_file(tmp_path, mine, capsys):
    own = {"reward": (f"{mine}:even=0.5", "verify"), "steps": 2, "max_new_tokens": 40}
    assert run(tmp_path / "whole", **own | {"steps": 4}) == 0
    assert run(tmp_path / "run", **own) == 0
    assert f"reward: {mine}:even=0.5 + verify" in " ".join(capsys.readouterr().out.split())
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (
        saved["reward"] == [f"{mine}:even=0.5", "verify"]
        and len(saved["run"]["inputs"]["reward"]) == 64
    )
    assert set(metrics_of(tmp_path / "run")[0]["rewards"]) == {"even", "verify"}
    assert resume(tmp_path / "run", steps=4) == 0
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "whole")
    capsys.readouterr()
    with open(mine, "a") as file:
        file.write("# changed\n")
    assert resume(tmp_path / "run", steps=6) == 2
    said = sentence(capsys)
    assert f"--reward {mine}:even=0.5 verify is not what the run" in said


def test_pass_at_k_takes_the_reward_of_the_run(tmp_path, mine, capsys):
    own = {"reward": (f"{mine}:centred",), "steps": 1, "eval_problems": 2, "eval_samples": 2}
    own |= {"max_new_tokens": 24}
    assert run(tmp_path / "run", right_at=3.0, **own) == 0
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["evaluation"]
    capsys.readouterr()
    asked = Evaluation(str(tmp_path / "run"), problems=2, n=2, max_new_tokens=24)
    assert pass_at_k.main(asked) == 0
    screen = " ".join(capsys.readouterr().out.split())
    assert f"reward: {mine}:centred, that of the run" in screen
    logs = [p.read_text().splitlines() for p in (tmp_path / "run" / "evaluations").glob("*.jsonl")]
    rows = [[json.loads(line) for line in log[1:]] for log in logs]
    for log in rows:
        for row in log:
            assert row["correct"] == sum(c["reward"] == 3.0 for c in row["completions"])
    assert [r["correct"] for r in rows[0]] == [r["correct"] for r in rows[1]]
    assert sum(found["correct"]["base"]) > 0


def test_a_resume_from_another_folder_finds_the_file(tmp_path, mine, monkeypatch):
    monkeypatch.chdir(Path(mine).parent)
    assert run(tmp_path / "run", reward=("mine.py:even",), steps=1) == 0
    monkeypatch.chdir("/")
    assert resume(tmp_path / "run", steps=2) == 0


def test_on_the_command_line_it_may_be_given_again_and_again():
    from watch.command_line import parse

    given = parse(["--reward", "verify=0.5", "--reward", "a.py:f"])
    assert given.reward == ("verify=0.5", "a.py:f") and parse([]).reward == ()
    assert rapo_mini.Settings().reward == () and read_term("verify").weight == 1
