"""machine/fixed_decode.py: the tokens of the growing cache, also where steps are replayed."""

import pytest
import torch

from machine import fixed_decode as room
from machine.fixed_decode import FixedDecoder
from policy import encode_prompts, load_policy, sampling_weights
from sampler import sample

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
