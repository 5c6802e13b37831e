"""settings.py: what is left open is decided, what makes no sense is refused by name."""

from dataclasses import asdict, fields, replace

import pytest

from objective import ARMS
from settings import Settings, learning_rate, resolve
from watch.command_line import parse, resumed
from watch.files import whole
from watch.run_folder import load_config, save_config

LEFT_OPEN = {"adapter", "config", "data_dir", "gpu_memory", "resume", "trace"}
LEFT_OPEN |= {"problem_column", "answer_column"}


def test_everything_left_open_is_decided():
    for arm in ARMS:
        settings, _ = resolve(Settings(arm=arm))
        open_ones = [
            f.name for f in fields(settings) if getattr(settings, f.name) in (None, "auto")
        ]
        assert set(open_ones) <= LEFT_OPEN, open_ones
        for name in ("alpha", "beta", "phi_min", "fork_entropy"):
            assert getattr(settings, name) == getattr(ARMS[arm], name)


def test_what_is_given_is_kept():
    given = Settings(alpha=0.7, beta=0.3, phi_min=0.2, lr=1e-4, max_new_tokens=9, out="here")
    settings, _ = resolve(given)
    assert (
        replace(settings, **{k: v for k, v in asdict(given).items() if v is not None}) is not None
    )
    assert (settings.alpha, settings.beta, settings.phi_min) == (0.7, 0.3, 0.2)
    assert (settings.lr, settings.max_new_tokens, settings.out) == (1e-4, 9, "here")


def objective_of(**given):
    settings, _ = resolve(Settings(**given))
    names = ("kl_form", "alpha", "phi", "phi_min", "plausible", "fork_entropy")
    return tuple(getattr(settings, name) for name in names)


def test_rapo_on_another_base_is_as_published_among_plausible_tokens():
    there = {"model": "some/model"}
    assert objective_of() == ("exact", 0.1, "linear", 0.3, 0.01, 1.0)
    published = ("sampled", 0.001, "inverse", pytest.approx(1 / 2.2), 0.01, 0.0)
    assert objective_of(**there) == objective_of(**there, kl_form="sampled") == published
    assert objective_of(**there, phi_min=0.5) == ("sampled", 0.001, "linear", 0.5, 0.01, 0.0)
    calm = ("exact", 0.03, "linear", 0.7, 0.01, 0.0)
    assert objective_of(**there, kl_form="exact") == calm
    assert objective_of(**there, plausible=0.0, alpha=0.5)[1::3] == (0.5, 0.0)


@pytest.mark.parametrize("arm", [name for name in ARMS if name != "rapo"])
def test_the_other_arms_are_the_same_on_every_base(arm):
    assert objective_of(arm=arm, model="some/model") == objective_of(arm=arm)


def test_the_sampled_kl_is_flattened_everywhere_as_published():
    settings, _ = resolve(Settings(kl_form="sampled"))
    assert (settings.plausible, settings.fork_entropy) == (0, 0)


def test_the_weight_on_right_answers_is_that_on_wrong_ones_unless_given():
    assert resolve(Settings(alpha=0.4))[0].alpha_right == 0.4
    assert resolve(Settings(alpha_right=0.1))[0].alpha_right == 0.1


def test_the_papers_phi_says_where_it_begins():
    assert resolve(Settings(phi="inverse"))[0].phi_min == pytest.approx(1 / 2.2)
    assert resolve(Settings(phi="tanh"))[0].phi_min == 0.5


def test_the_first_line_says_which_model_and_why():
    assert "bundled base" in resolve(Settings())[1] and "no CUDA GPU" in resolve(Settings())[1]
    assert "--model" in resolve(Settings(model="some/model"))[1]


def test_another_model_gets_its_own_defaults():
    settings, _ = resolve(Settings(model="some/model"))
    assert (settings.max_new_tokens, settings.prompt_template) == (1024, "qwen-boxed")


def test_the_learning_rate_knows_nothing_of_the_last_step():
    """Warm-up, then shrinking; the same at a step however long the run is to be; 0: constant."""
    short, long = (Settings(steps=steps, lr=1e-3, lr_decay_steps=40) for steps in (20, 2000))
    rates = [learning_rate(short, step) for step in range(20)]
    assert rates == [learning_rate(long, step) for step in range(20)]
    assert rates[0] < rates[9] and rates[10] > rates[19] > 0
    constant = replace(short, lr_decay_steps=0)
    assert learning_rate(constant, 500) == constant.lr


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"steps": 0}, "--steps 0"),
        ({"group_size": 1}, "--group-size 1"),
        ({"arm": "pass-at-k", "group_size": 4}, "--group-size 4"),
        ({"temperature": 0.0}, "--temperature 0.0"),
        ({"temperature": float("nan")}, "--temperature nan"),
        ({"lr": -1.0}, "--lr -1.0"),
        ({"lr_decay_steps": -1}, "--lr-decay-steps -1"),
        ({"phi_min": 1.5}, "--phi-min 1.5"),
        ({"alpha": -0.1}, "--alpha -0.1"),
        ({"beta": float("nan")}, "--beta nan"),
        ({"arm": "no-kl", "alpha": 0.1}, "--alpha 0.1"),
        ({"arm": "max-rl", "alpha_right": 0.1}, "--alpha-right 0.1"),
        ({"alpha_right": -1.0}, "--alpha-right -1.0"),
        ({"alpha": 0.3, "alpha_right": 0.1, "trace": "t"}, "--trace"),
        ({"fork_entropy": float("inf")}, "--fork-entropy inf"),
        ({"arm": "grpo", "phi_min": 0.5}, "--phi-min 0.5"),
        ({"arm": "rapo-light", "phi": "tanh"}, "--phi tanh"),
        ({"phi": "inverse", "phi_min": 0.5}, "--phi-min 0.5"),
        ({"phi": "inverse", "tau_max": 1.5}, "--tau-max 1.5"),
        ({"refresh_reference": -1}, "--refresh-reference -1"),
        ({"plausible": 1.0}, "--plausible 1.0"),
        ({"plausible": -0.1}, "--plausible -0.1"),
        ({"arm": "grpo", "plausible": 0.01}, "--plausible 0.01"),
        ({"arm": "rapo-light", "fork_entropy": 1.0}, "--fork-entropy 1.0"),
        ({"arm": "grpo", "kl_form": "exact"}, "--kl-form"),
        ({"max_new_tokens": 0}, "--max-new-tokens 0"),
        ({"micro_batch": 0}, "--micro-batch 0"),
        ({"eval_samples": 0}, "--eval-samples 0"),
    ],
)
def test_settings_without_sense_are_named_with_their_flag(wrong, names):
    with pytest.raises(ValueError) as error:
        resolve(Settings(**wrong))
    assert names in str(error.value)


def test_config_json_gives_back_the_settings(tmp_path):
    settings, _ = resolve(Settings(out=str(tmp_path)))
    save_config(settings, tmp_path)
    assert load_config(tmp_path) == settings


def test_resume_keeps_the_saved_settings_but_the_steps(tmp_path):
    settings, _ = resolve(Settings(seed=3, alpha=0.3, steps=50, out=str(tmp_path)))
    save_config(settings, tmp_path)
    assert resumed(Settings(resume=str(tmp_path), steps=77)) == replace(settings, steps=77)
    here = ["--resume", str(tmp_path)]
    assert resumed(parse([*here, "--steps", "77"])) == replace(settings, steps=77)
    assert resumed(parse([*here, "--seed", "3"])) == settings


def test_a_resumed_run_may_be_cut_into_other_pieces(tmp_path):
    settings, _ = resolve(Settings(seed=3, out=str(tmp_path)))
    save_config(settings, tmp_path)
    given = parse(["--resume", str(tmp_path), "--micro-batch", "2", "--fixed-decode", "True"])
    assert resumed(given) == replace(settings, micro_batch=2, fixed_decode=True)


@pytest.mark.parametrize("other", [["--alpha", "0.9"], ["--seed", "0"], ["--arm", "grpo"]])
def test_a_flag_that_would_change_a_resumed_run_is_refused(tmp_path, other):
    """Also where it asks for a default: a seed of 0 is not the saved 3."""
    settings, _ = resolve(Settings(seed=3, alpha=0.3, out=str(tmp_path)))
    save_config(settings, tmp_path)
    with pytest.raises(ValueError, match=f"{other[0]} {other[1]} differs"):
        parse(["--resume", str(tmp_path), *other])


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole(path) as part:
        part.write_text("half of the n")
        raise RuntimeError("killed")
    assert path.read_text() == "old"
    with whole(path) as part:
        part.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, "{", '{"steps": 1, "nonsense": 2}', "[]"])
def test_a_folder_without_a_run_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="--resume") as error:
        resumed(Settings(resume=str(tmp_path)))
    assert str(tmp_path) in str(error.value)
