"""machine/slow.py: nothing at first, then a bar; sampling and learning are watched by it."""

import io
from dataclasses import replace

import torch

import sampler
import step
from machine import slow as room
from machine.slow import slow
from problems import Problem
from settings import Settings, resolve


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_comes_only_after_a_while(monkeypatch):
    for seconds, shown in ((3600, False), (0, True)):
        screen = Terminal()
        monkeypatch.setattr(room, "SECONDS", seconds)
        monkeypatch.setattr("sys.stderr", screen)
        assert list(slow(range(3), "learning")) == [0, 1, 2]
        assert ("learning" in screen.getvalue()) == shown


def test_decoded_tokens_and_micro_batches_are_watched(small_policy, tmp_path, monkeypatch):
    watched = {}

    def counted(work, said, total=None):
        for thing in work:
            watched[said] = watched.get(said, 0) + 1
            yield thing

    monkeypatch.setattr(sampler, "slow", counted)
    monkeypatch.setattr(step, "slow", counted)
    given = {"prompts": 2, "group_size": 3, "max_new_tokens": 6, "micro_batch": 2}
    settings, _ = resolve(Settings(**given, out=str(tmp_path)))
    rolled = step.rollout(small_policy, [Problem("1, 2", "3")] * 2, settings, 0)
    rolled = replace(rolled, reward=torch.eye(2, 3))
    step.learn(small_policy, step.make_optimizer(small_policy, settings), rolled, settings)
    assert watched["learning"] == 3 and 1 < watched["sampling 6 completions"] <= 6
