"""machine/limit.py: a step that ran out of memory gives the numbers of an undisturbed one."""

import pytest
import torch

import policy as policy_room
import rapo_mini
import sampler
import step
from machine import limit as room
from settings import Settings, resolve

SMALL = {"prompts": 2, "group_size": 4, "max_new_tokens": 48, "threads": 1, "eval_problems": 0}
CLOCK = ("seconds_sample", "seconds_verify", "seconds_learn", "tokens_per_second")


def new_run(out, **changed):
    return rapo_mini.Run(resolve(Settings(**(SMALL | {"out": str(out), "lr": 1e-3} | changed)))[0])


def without_clock(metrics):
    return {k: v for k, v in metrics.items() if k not in CLOCK}


def weights(run):
    return [p.detach().clone() for p in run.policy.trainable()]


def full_above(monkeypatch, *, rows=10**9, learned=10**9, chunk=10**9):
    """A GPU that has room for so many rows of the model at once, and for chunks of so many tokens."""
    body = policy_room.completion_states
    sample, score = sampler.sample, step.score

    def states(model, prompt_ids, *rest):
        if len(prompt_ids) > learned and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return body(model, prompt_ids, *rest)

    def scored_in_small_chunks(*args, terms, **options):
        def token_terms(logits, *rest):
            if len(logits) > chunk:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return terms(logits, *rest)

        return score(*args, terms=token_terms, **options)

    def sampled(*args, rows_at_once, **options):
        done = sample(*args, rows_at_once=rows_at_once, **options)  # the noise is drawn first
        if rows_at_once > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return done

    monkeypatch.setattr(policy_room, "completion_states", states)
    monkeypatch.setattr(step, "score", scored_in_small_chunks)
    monkeypatch.setattr(sampler, "sample", sampled)


def test_a_run_that_runs_out_of_memory_is_the_undisturbed_one(tmp_path, monkeypatch, capsys):
    plain = new_run(tmp_path / "plain")
    expected = [rapo_mini.train_step(plain)[0] for _ in range(3)]
    tight = new_run(tmp_path / "tight")
    got = [rapo_mini.train_step(tight)[0]]
    full_above(monkeypatch, rows=3, learned=2)
    got += [rapo_mini.train_step(tight)[0] for _ in range(2)]
    said = capsys.readouterr().out
    assert said.count("--sample-rows 4") == said.count("--sample-rows 2") == 1, (
        "said once, then kept"
    )
    assert said.count("--micro-batch 2") == 1 and said.count("out of memory") == 2 + 2
    assert (got[2]["sample_rows"], got[2]["micro_batch"]) == (2, 2)
    for one, two in zip(got, expected, strict=True):
        for name in set(without_clock(two)) - {"sample_rows", "micro_batch", "parity_max"}:
            assert one[name] == pytest.approx(two[name], rel=1e-4, abs=1e-6), name
    for one, two in zip(weights(tight), weights(plain), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_memory_that_runs_out_half_way_leaves_no_half_gradient(tmp_path, monkeypatch):
    """The third micro-batch fails, after two have left their gradients."""
    plain, tight = new_run(tmp_path / "a", micro_batch=1), new_run(tmp_path / "b", micro_batch=2)
    score, calls = step.score, []

    def third_fails(*args, **options):
        calls.append(len(args[1]))
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return score(*args, **options)

    rapo_mini.train_step(plain)
    monkeypatch.setattr(step, "score", third_fails)
    metrics = rapo_mini.train_step(tight)[0]
    assert calls == [2, 2, 2, *8 * [1]] and metrics["micro_batch"] == 1
    for one, two in zip(weights(tight), weights(plain), strict=True):
        assert torch.equal(one, two)


def test_with_a_micro_batch_of_one_the_chunk_is_halved(tmp_path, monkeypatch, capsys):
    plain = new_run(tmp_path / "a", micro_batch=1, chunk_tokens=5)
    rapo_mini.train_step(plain)
    tight = new_run(tmp_path / "b", micro_batch=1, chunk_tokens=20)
    full_above(monkeypatch, chunk=5)
    assert rapo_mini.train_step(tight)[0]["chunk_tokens"] == 5
    assert "--chunk-tokens 10" in capsys.readouterr().out
    for one, two in zip(weights(tight), weights(plain), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("full", [{"rows": 0}, {"chunk": 0}])
def test_where_nothing_can_be_halved_the_run_is_saved_and_named(
    tmp_path, monkeypatch, capsys, full
):
    full_above(monkeypatch, **full)
    given = Settings(**SMALL, out=str(tmp_path), steps=2)
    assert rapo_mini.main(given) == 1
    assert "--max-new-tokens" in capsys.readouterr().err
    assert (tmp_path / "state.pt").exists() and (tmp_path / "adapter").exists()


def test_another_error_is_not_swallowed():
    def broken(_size):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        room.within_memory(broken, 4, room.sample_less)


def test_what_is_lowered_first():
    pieces, names = room.Pieces(sample_rows=8, micro_batch=3, chunk_tokens=2), []
    with pytest.raises(room.OutOfPieces):
        while True:
            pieces, sentence = room.learn_less(pieces)
            names.append(sentence.split("--")[1])
    assert names == ["micro-batch 1", "chunk-tokens 1"]
    assert room.learn_less(pieces._replace(micro_batch=9))[0].micro_batch == 4


@pytest.mark.parametrize(("reserved", "said"), [(5.0, True), (4.1, False)])
def test_much_memory_in_small_blocks_is_said_with_its_remedy(monkeypatch, capsys, reserved, said):
    """4 GiB in tensors when it ran out; afterwards, when they are freed, the figure would be another."""
    allocated = [4 * 2**30, 0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: int(reserved * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: allocated.pop(0))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)

    def attempt(size):
        if size > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    room.within_memory(attempt, 2, lambda size: (size // 2, "again"))
    screen = capsys.readouterr().out
    assert "out of memory: again" in screen
    assert ("expandable_segments:True" in screen) == ("1.0 GiB" in screen) == said
