"""--reward in all three places: in rapo_mini.py, in `python -m scale`, and in TRL's own trainer."""

import json

import pytest

pytest.importorskip("trl")

from datasets import Dataset
from transformers import AutoModelForCausalLM

import rapo_mini
from machine.loading import load_tokenizer
from problems import Judge, both_sides, render_prompt
from scale import command
from scale.options import Options
from settings import BUNDLED_BASE, Settings, resolve
from watch.run_folder import save_config, trained_on_a_part
from worlds.rewards import Rewards

KINDS = {
    "ours": """
def share(completion, problem):
    seen.append((problem["prompt"], completion, problem["level"], worth(completion)))
    return worth(completion), "by digits"
""",
    "TRL's": """
def share(prompts, completions, level, **columns):
    found = [worth(completion) for completion in completions]
    seen.extend(zip(prompts, completions, level, found))
    return found
""",
}
SHARED = """
seen = []

def worth(completion):
    return sum(c.isdigit() for c in completion) / max(len(completion), 1)
"""
ROWS = [{"problem": f"What comes next: {n}, 5, 8?", "answer": "11", "level": n} for n in range(24)]
SMALL = {"prompts": 2, "group_size": 4, "max_new_tokens": 24, "threads": 1}


@pytest.fixture(params=KINDS)
def mine(request, tmp_path):
    """--reward and --data: the same reward written in each of the two kinds."""
    (tmp_path / "mine.py").write_text(SHARED + KINDS[request.param])
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return f"{tmp_path}/mine.py:share", f"{tmp_path}/mine.jsonl"


@pytest.fixture
def loaded(monkeypatch):
    """The functions that --reward has loaded, newest last."""
    found, load = [], Rewards.__init__

    def init(self, *given, **named):
        load(self, *given, **named)
        found.extend(term.function for term in self.terms if term.function)

    monkeypatch.setattr(Rewards, "__init__", init)
    return found


def graded(function, group=8):
    """The mean of each step's rewards, of `group` completions a step, by what the function noted."""
    noted = function.__globals__["seen"]
    asked = [row for row in noted if not row[1].startswith("The answer is")]  # the trial before it
    assert asked and len(asked) % group == 0
    for prompt, _, level, _ in asked:
        assert prompt == f"What comes next: {level}, 5, 8?\n", "each with its own problem's columns"
    worths = [row[3] for row in asked]
    return [sum(worths[i : i + group]) / group for i in range(0, len(worths), group)]


def rewards_in(out):
    return [json.loads(line)["reward"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_one_function_serves_this_command_and_scale(mine, loaded, tmp_path):
    reward, data = mine
    given = SMALL | {"reward": (reward,), "data": data, "steps": 2}
    few = {"eval_problems": 0, "show_every": 0}
    assert rapo_mini.main(Settings(**given, **few, out=str(tmp_path / "run"))) == 0
    assert rewards_in(tmp_path / "run") == pytest.approx(graded(loaded[-1]))
    assert command.main(Options(**given, out=str(tmp_path / "scale"))) == 0
    assert rewards_in(tmp_path / "scale") == pytest.approx(graded(loaded[-1]))
    assert len(loaded) == 2 and max(graded(loaded[-1])) > 0


def test_problems_that_pass_at_k_measures_were_not_trained_on(tmp_path):
    """The same half of one's own file is held out as by rapo_mini.py."""
    rows = [
        {"problem": f"What comes next: {i}, {i + 1}, {i + 2}?", "answer": i + 3} for i in range(60)
    ]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings, _ = resolve(Options(data=str(tmp_path / "mine.jsonl"), model="tiny_base"))
    tokenizer = load_tokenizer(settings.model)
    trained = command.training_rows(settings, tokenizer, 1024, Judge(settings))["prompt"]
    training, measured = both_sides(settings)
    assert [render_prompt("plain", p) for p in training] == list(trained) and measured
    save_config(settings, tmp_path)
    assert trained_on_a_part(str(tmp_path / "adapter"), settings.data)


def test_several_are_weighed_and_summed_by_scale_too(mine, loaded, tmp_path):
    reward, data = mine
    given = {
        "reward": (f"{reward}=-2", "verify"),
        "data": data,
        "steps": 1,
        "out": str(tmp_path / "r"),
    }
    assert command.main(Options(**SMALL, **given)) == 0
    (mean,) = rewards_in(tmp_path / "r")
    (share,) = graded(loaded[-1])
    right = mean + 2 * share  # what verify gave
    assert round(8 * right, 3) in range(9)


def test_trls_own_trainer_takes_it(mine, tmp_path):
    """`Rewards(...).as_trl()`, and a function of TRL's kind as it stands in its file."""
    from trl import GRPOConfig, GRPOTrainer

    wrapped = Rewards([mine[0]])
    (term,) = wrapped.terms
    functions = [wrapped.as_trl(), *([term.function] if term.by_batch else [])]
    few = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 24}
    config = GRPOConfig(
        str(tmp_path), **few, max_steps=1, logging_steps=1, report_to="none", use_cpu=True, seed=0
    )
    rows = [row | {"prompt": row["problem"] + "\n"} for row in ROWS]
    trainer = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(BUNDLED_BASE),
        functions,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(str(BUNDLED_BASE)),
    )
    trainer.train()
    logged = trainer.state.log_history[0]
    names = [f"rewards/{f.__name__}/mean" for f in functions]
    assert [logged[n] for n in names] == pytest.approx([graded(term.function)[0]] * len(names))


def test_a_function_that_fails_is_refused_by_scale_as_it_is_here(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("def share(completion, problem): return None\n")
    given = {"reward": (f"{tmp_path}/mine.py:share",), "steps": 1, "out": str(tmp_path / "run")}
    assert command.main(Options(**SMALL, **given)) == 2
    error = capsys.readouterr().err
    assert "returned None, not a number" in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()
