"""machine/fixed_decode.py: the tokens of the growing cache, also where steps are replayed."""

import pytest
import torch
from live_bytes import LiveBytes

from machine import fixed_decode as room
from machine.fixed_decode import FixedDecoder
from policy import encode_prompts, load_policy, sampling_weights
from sampler import sample
from watch.command_line import guarded

ENDS = [7, 11, 30]  # several, so that rows leave at many lengths


@pytest.fixture(autouse=True)
def short_strides(monkeypatch):
    """Slots in strides of 16, so that a completion crosses several."""
    monkeypatch.setattr(room, "SLOTS", 16)
    monkeypatch.setattr(FixedDecoder, "broken", False)


def completions(policy, prompts, *, fixed, rows=0, seed=0):
    with sampling_weights(policy) as model:
        return sample(
            model,
            *prompts,
            group_size=4,
            max_new_tokens=40,
            temperature=0.8,
            end_ids=[*policy.end_ids, *ENDS],
            pad_id=policy.pad_id,
            generator=torch.Generator().manual_seed(seed),
            rows_at_once=rows,
            fixed=fixed,
        )


def assert_same(one, two):
    assert torch.equal(one.tokens, two.tokens) and torch.equal(one.mask, two.mask)
    assert torch.equal(one.ended, two.ended)
    torch.testing.assert_close(one.logp, two.logp, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [0, 1, 5, 8])
def test_the_same_tokens_as_the_growing_cache(small_policy, prompts, rows, monkeypatch):
    """B = 12, no power of two; rows leave, the block shrinks, the slots grow, groups are cut."""
    seen = set()
    forward = FixedDecoder.forward
    monkeypatch.setattr(
        FixedDecoder, "forward", lambda d, r, s: seen.add((r, s)) or forward(d, r, s)
    )
    for seed in range(3):
        expected = completions(small_policy, prompts, fixed=False, rows=rows, seed=seed)
        assert_same(completions(small_policy, prompts, fixed=True, rows=rows, seed=seed), expected)
        assert len(set(expected.mask.sum(dim=1).tolist())) > 4, "rows of one length prove little"
    assert len({s for _, s in seen}) > 2 and (rows == 1 or len({r for r, _ in seen}) > 2)


def test_the_same_tokens_over_four_bit_weights(small_base, prompts):
    policy = load_policy(str(small_base), quant="nf4", lora_r=4)
    for name, p in policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.05)
    assert_same(completions(policy, prompts, fixed=True), completions(policy, prompts, fixed=False))


class Recording:
    """What a CUDA graph is: the step bound to the tensors of its capture, whatever happens to names."""

    captured = 0

    def __init__(self, decoder, rows, slots):
        Recording.captured += 1
        self.logits = decoder.forward(rows, slots).clone()
        keys = [b[:rows, :, :slots] for b in decoder.keys]
        values = [b[:rows, :, :slots] for b in decoder.values]
        cache = room.Slots(keys, values, decoder.slot)
        inputs = {
            "input_ids": decoder.token[:rows],
            "attention_mask": decoder.attended[:rows, :, :, :slots],
            "position_ids": decoder.position[:rows],
        }
        self.run = lambda: decoder.model(**inputs, past_key_values=cache, use_cache=True).logits

    def replay(self):
        self.logits.copy_(self.run()[:, -1])


def test_a_step_replayed_on_the_tensors_of_its_capture(small_policy, prompts, monkeypatch):
    monkeypatch.setattr(FixedDecoder, "on_gpu", True)

    def capture(decoder, rows, slots):
        recording = Recording(decoder, rows, slots)
        return recording, recording.logits

    monkeypatch.setattr(FixedDecoder, "capture", capture)
    expected = completions(small_policy, prompts, fixed=False)
    assert_same(completions(small_policy, prompts, fixed=True), expected)
    assert 3 < Recording.captured < expected.tokens.shape[1] / 2, "replayed more than captured"


def test_where_a_capture_fails_decoding_goes_on_and_says_so(
    small_policy, prompts, monkeypatch, capsys
):
    def fails(*_):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(FixedDecoder, "on_gpu", True)
    monkeypatch.setattr(FixedDecoder, "capture", fails)
    got = completions(small_policy, prompts, fixed=True)
    assert_same(got, completions(small_policy, prompts, fixed=False))
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "not permitted" in lines[0] and "without CUDA graphs" in lines[0]


def test_a_capture_that_leaves_the_gpu_unusable_ends_the_run_and_names_the_flag(
    small_policy, prompts, monkeypatch
):
    def fails(*_):
        raise RuntimeError("capture is invalid")

    monkeypatch.setattr(FixedDecoder, "on_gpu", True)
    monkeypatch.setattr(FixedDecoder, "capture", fails)
    monkeypatch.setattr(room, "works", lambda _device: False)
    with pytest.raises(room.CaptureFailed, match=r"is invalid.*go on with --fixed-decode False"):
        completions(small_policy, prompts, fixed=True)


def test_an_allocator_still_in_a_capture_does_not_work(monkeypatch):
    """PyTorch's empty_cache then dies of an assertion; so would the end of the step."""
    assert room.works(torch.device("cpu"))

    def fails():
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    monkeypatch.setattr(room, "empty_cache", fails)
    assert not room.works(torch.device("cpu"))


def test_the_stream_is_put_back_where_a_capture_fails(small_policy, prompts, monkeypatch):
    streams = ["outside"]

    def fails(*_):
        streams.append("inside")
        raise RuntimeError("capture is invalid")

    monkeypatch.setattr(FixedDecoder, "on_gpu", True)
    monkeypatch.setattr(FixedDecoder, "capture", fails)
    monkeypatch.setattr(room, "current_stream", lambda _device: streams[-1])
    monkeypatch.setattr(room, "set_stream", streams.append)
    completions(small_policy, prompts, fixed=True)
    assert streams == ["outside", "inside", "outside"]


def test_graphs_are_kept_from_part_to_part(small_policy, prompts, monkeypatch):
    """Three parts of four rows: each (rows, slots) is captured once, whatever part it comes up in."""
    monkeypatch.setattr(FixedDecoder, "on_gpu", True)
    asked = []

    def capture(decoder, rows, slots):
        asked.append((id(decoder), rows, slots))
        recording = Recording(decoder, rows, slots)
        return recording, recording.logits

    monkeypatch.setattr(FixedDecoder, "capture", capture)
    expected = completions(small_policy, prompts, fixed=False, rows=4)
    assert_same(completions(small_policy, prompts, fixed=True, rows=4), expected)
    assert len({decoder for decoder, _, _ in asked}) == 1 and len(asked) == len(set(asked))


@pytest.mark.parametrize("way", ["fixed", "lean", "growing"])
def test_one_cache_is_alive_at_a_time(small_policy, prompts, way, monkeypatch):
    """Sampled in three parts, the most bytes alive are those of one part."""
    monkeypatch.setattr("sampler.fits", lambda _model: way == "lean")

    def peak(ids, mask):
        with sampling_weights(small_policy) as model, LiveBytes(*model.parameters()) as live:
            sample(
                model,
                ids,
                mask,
                group_size=16,
                max_new_tokens=60,
                temperature=1.0,
                end_ids=[-1],
                pad_id=0,
                generator=torch.Generator().manual_seed(0),
                rows_at_once=16,
                fixed=way == "fixed",
            )
        return live.peak

    ids, mask = (x[:1].repeat(3, 1) for x in prompts)
    one, three = peak(ids[:1], mask[:1]), peak(ids, mask)
    assert three < 1.15 * one


def test_a_part_is_as_wide_as_its_own_longest_prompt(small_policy, prompts, monkeypatch):
    import sampler

    monkeypatch.setattr(sampler, "fits", lambda _model: False)
    widths, prefill = [], sampler.prefill
    monkeypatch.setattr(
        sampler,
        "prefill",
        lambda m, ids, mask: widths.append(ids.shape[1]) or prefill(m, ids, mask),
    )
    completions(small_policy, prompts, fixed=False, rows=4)
    assert widths == prompts[1].sum(dim=1).tolist()


def test_out_of_memory_in_a_capture_is_not_taken_for_a_failed_one(
    small_policy, prompts, monkeypatch
):
    def full(*_):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(FixedDecoder, "on_gpu", True)
    monkeypatch.setattr(FixedDecoder, "capture", full)
    with pytest.raises(torch.OutOfMemoryError):
        completions(small_policy, prompts, fixed=True)
    assert not FixedDecoder.broken


def test_the_memory_never_moves(small_policy):
    ids, mask = encode_prompts(small_policy, ["1, 2\n", "What comes next: 3?\n"])
    copies = torch.tensor([3, 2])
    with torch.no_grad():
        decoder = FixedDecoder(small_policy.model, ids, mask, copies, 20)
        fixed = [*decoder.keys, *decoder.values, decoder.token, decoder.position, decoder.attended]
        places = [t.data_ptr() for t in fixed]
        for left in (5, 3, 2, 1):
            if left < 5:
                decoder.keep(torch.arange(left))
            assert decoder.step(torch.zeros(left, dtype=torch.long)).shape[0] == left
            assert decoder.rows == room.power_of_two(left)
    fixed = [*decoder.keys, *decoder.values, decoder.token, decoder.position, decoder.attended]
    assert [t.data_ptr() for t in fixed] == places


def test_a_program_that_cannot_capture_ends_with_a_sentence(capsys):
    def work(_):
        raise room.CaptureFailed("no capture: go on with --fixed-decode False")

    assert guarded("pass_at_k", work, None) == 1
    assert capsys.readouterr().err == "pass_at_k: no capture: go on with --fixed-decode False\n"
