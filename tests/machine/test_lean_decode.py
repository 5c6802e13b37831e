"""machine/lean_decode.py: the tokens of the plain way, for both families, and nobody else's business."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

import sampler
from machine import lean_decode as room
from policy import base_weights, load_policy, sampling_weights

SHAPE = {"vocab_size": 61, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
SHAPE |= {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.12}


def llama(**changed):
    """With biases, heads wider than hidden / heads, and a head of its own: what Qwen2 does not have."""
    torch.manual_seed(0)
    odd = {"attention_bias": True, "mlp_bias": True, "head_dim": 20, "tie_word_embeddings": False}
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, **odd, **changed))
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(p, std=0.3)
    return model.eval()


def completions(model, prompts, ends, monkeypatch, *, lean, seed=0, rows=0):
    monkeypatch.setattr(sampler, "fits", lambda model: lean and room.fits(model))
    made = []
    monkeypatch.setattr(sampler, "LeanDecoder", lambda *a: made.append(1) or room.LeanDecoder(*a))
    done = sampler.sample(
        model,
        *prompts,
        group_size=4,
        max_new_tokens=40,
        temperature=0.8,
        end_ids=ends,
        pad_id=0,
        generator=torch.Generator().manual_seed(seed),
        rows_at_once=rows,
    )
    assert bool(made) == lean, "the way that is meant"
    return done


def assert_same(model, prompts, monkeypatch, **options):
    for seed in range(3):
        one, two = (
            completions(model, prompts, [1, 7, 11, 30], monkeypatch, lean=x, seed=seed, **options)
            for x in (True, False)
        )
        assert torch.equal(one.tokens, two.tokens) and torch.equal(one.mask, two.mask)
        assert torch.equal(one.ended, two.ended)
        torch.testing.assert_close(one.logp, two.logp, rtol=0, atol=1e-5)
        assert len(set(one.mask.sum(dim=1).tolist())) > 4, "rows of one length prove little"


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("weights", [sampling_weights, base_weights])
def test_the_same_tokens_as_the_growing_cache(small_policy, prompts, monkeypatch, weights, rows):
    with weights(small_policy) as model:
        assert_same(model, prompts, monkeypatch, rows=rows)


def test_the_same_tokens_of_a_llama(prompts, monkeypatch):
    assert_same(llama(), prompts, monkeypatch)


@torch.no_grad()
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rows_that_said_the_same_are_one_text_until_they_part(small_policy, prompts, seed):
    """Few tokens, so that rows part late and many are alike; some end on the way."""
    dice = torch.Generator().manual_seed(seed)
    copies = torch.tensor([6, 1, 5])
    said = [[p] for p, rows in enumerate(copies.tolist()) for _ in range(rows)]
    sizes = []
    with sampling_weights(small_policy) as model:
        shared, plain = (
            kind(model, *prompts, copies, 12) for kind in (room.LeanDecoder, sampler.GrowingDecoder)
        )
        torch.testing.assert_close(shared.logits, plain.logits, rtol=0, atol=1e-5)
        for t in range(12):
            token = torch.randint(3, 5, (len(said),), generator=dice)
            token[dice.initial_seed() % 2 : 3] = 3  # the first rows stay together for long
            said = [[*text, new] for text, new in zip(said, token.tolist(), strict=True)]
            one, two = shared.step(token), plain.step(token)
            torch.testing.assert_close(one, two, rtol=0, atol=1e-5)
            texts = len({tuple(text) for text in said})
            assert int(shared.place.max()) == texts - 1, "they lie in the first places"
            assert len(set(shared.place.tolist())) == texts
            sizes.append(texts)
            if t in (3, 6, 7):
                kept = torch.randperm(len(said), generator=dice)[2:].sort().values
                said = [said[row] for row in kept.tolist()]
                shared.keep(kept), plain.keep(kept)
    assert sizes[0] < 6 and len(set(sizes)) > 3


def test_other_models_take_the_plain_way(small_base, small_policy):
    with sampling_weights(small_policy) as model:
        assert room.fits(model)
    assert not room.fits(small_policy.model.get_base_model()), "LoRA runs beside the weights"
    four_bits = load_policy(str(small_base), quant="nf4", lora_r=4)
    with sampling_weights(four_bits) as model:
        assert not room.fits(model)
    assert room.fits(llama()) and not room.fits(llama(hidden_act="gelu"))
    assert not room.fits(llama().bfloat16())
    window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    assert not room.fits(Qwen2ForCausalLM(Qwen2Config(**SHAPE, **window)))
    assert not room.fits(torch.nn.Linear(2, 2))
