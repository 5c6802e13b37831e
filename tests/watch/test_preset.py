"""watch/preset.py: what the paper gives is what the preset sets, and a flag still overrides it."""

import pytest

from settings import Settings, resolve
from watch.command_line import parse
from watch.evaluation_options import parse as parse_evaluation
from watch.preset import GIVEN, NOT_GIVEN, paper_settings, table_of_paper


def test_the_preset_sets_what_the_paper_gives(capsys):
    given = parse(["--preset", "paper"])
    wanted = {"prompts": 512, "group_size": 8, "alpha": 0.001, "kl_form": "sampled", "arm": "rapo"}
    wanted |= {"phi": "inverse", "tau_max": 2.2, "data": "simplerl-8k"}
    wanted |= {"prompt_template": "qwen-boxed", "model": "Qwen/Qwen2.5-3B"}
    assert {name: getattr(given, name) for name in wanted} == wanted
    assert resolve(given)[0].phi_min == pytest.approx(0.455, abs=1e-3)
    screen = capsys.readouterr().out
    assert "the paper gives" in screen and "--prompts            512" in screen


def test_the_preset_says_what_the_paper_does_not_give(capsys):
    parse(["--preset", "paper"])
    screen = capsys.readouterr().out
    ours = screen[screen.index("does not give") :]
    for name in ("beta", "lr", "clip-eps", "temperature", "max-new-tokens", "seed", "steps"):
        assert f"--{name} " in ours, name
    assert not set(GIVEN) & set(NOT_GIVEN)


@pytest.mark.parametrize(
    ("model", "phi"),
    [
        ("Qwen/Qwen2.5-3B", "inverse"),
        ("Qwen/Qwen2.5-7B", "tanh"),
        ("a/14B-model", "tanh"),
        ("somewhere/else", "inverse"),
    ],
)
def test_phi_goes_by_the_size_of_the_model(model, phi):
    assert parse(["--preset", "paper", "--model", model]).phi == phi


def test_a_flag_overrides_the_preset_and_the_table_says_so(capsys):
    given = parse(["--preset", "paper", "--prompts", "8", "--lr=1e-4"])
    assert (given.prompts, given.lr, given.group_size) == (8, 1e-4, 8)
    screen = capsys.readouterr().out
    assert "(changed here; the preset has 512)" in screen and screen.count("changed here") == 2


def test_without_the_preset_nothing_changes(capsys):
    assert parse([]) == Settings() and parse(["--preset", "none"]) == Settings()
    assert capsys.readouterr().out == ""


def test_every_row_is_a_setting():
    settings = paper_settings()
    for name in GIVEN | NOT_GIVEN:
        assert hasattr(settings, name), name
    assert "changed" not in table_of_paper(settings)


def test_a_preset_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="--preset thesis"):
        parse(["--preset", "thesis"])
    with pytest.raises(ValueError, match="--preset thesis"):
        parse_evaluation(["--adapter", "x", "--preset=thesis"])


@pytest.mark.parametrize("flag", ["--top-p", "--top-k=5", "--min-p"])
def test_training_refuses_a_truncated_distribution_and_says_why(flag):
    with pytest.raises(ValueError, match="log pi_old"):
        parse([flag, "0.9"])
