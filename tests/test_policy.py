"""policy.py: what is loaded, which weights are read, and scoring in chunks."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import policy as room
from machine import thin_lora
from objective import token_terms
from sampler import sample
from settings import BUNDLED_BASE, choose_model

PHI = torch.linspace(0.3, 1.0, 12)


@pytest.fixture
def sampled(small_policy, prompts):
    with room.sampling_weights(small_policy) as model:
        return sample(
            model,
            *prompts,
            group_size=4,
            max_new_tokens=20,
            temperature=0.8,
            end_ids=[*small_policy.end_ids, 7, 11],
            pad_id=small_policy.pad_id,
            generator=torch.Generator().manual_seed(0),
        )


def score(policy, prompts, sampled, *, rows=None, **changed):
    rows = torch.arange(12) if rows is None else rows
    options = {"arm": "rapo", "form": "exact", "temperature": 0.8, "chunk_tokens": 1000} | changed
    ids, mask = (x[rows // 4] for x in prompts)
    return room.score(
        policy, ids, mask, sampled.tokens[rows], sampled.mask[rows], PHI[rows], **options
    )


def test_the_trainer_reproduces_the_samplers_log_probs(small_policy, prompts, sampled):
    """Mixed lengths, left padding, temperature 0.8, merged against unmerged adapter, float32."""
    assert len(set(sampled.mask.sum(dim=1).tolist())) > 2
    gap = (score(small_policy, prompts, sampled).logp - sampled.logp).abs()
    assert gap.max() < 1e-5
    wrong = score(small_policy, prompts, sampled, temperature=1.0).logp - sampled.logp
    assert wrong.abs().max() > 0.1


def unchunked(policy, prompts, sampled):
    """All logits at once, with an attention mask over the left padding: the plain way."""
    ids = torch.cat([prompts[0].repeat_interleave(4, 0), sampled.tokens], 1)
    mask = torch.cat([prompts[1].repeat_interleave(4, 0), sampled.mask], 1)
    position = (mask.cumsum(1) - 1).clamp_min(0)
    width = sampled.tokens.shape[1]

    def logits():
        out = policy.model(input_ids=ids, attention_mask=mask, position_ids=position).logits
        return out[:, -width - 1 : -1].flatten(0, 1) / 0.8

    with torch.no_grad(), policy.model.disable_adapter():
        ref = logits()
    phi = PHI[:, None].expand(12, width).flatten()
    flat = token_terms(logits(), ref, sampled.tokens.flatten(), phi, "rapo", "exact")
    return type(flat)(*(x.view(12, width) * sampled.mask for x in flat))


def gradients(policy, terms, mask):
    policy.model.zero_grad()
    (terms.logp + 0.3 * terms.kl - 0.1 * terms.entropy)[mask.bool()].sum().backward()
    return [p.grad.clone() for p in policy.trainable()]


@pytest.mark.parametrize("chunk", [1, 7, 64, 10_000])
def test_chunks_change_neither_values_nor_gradients(small_policy, prompts, sampled, chunk):
    plain = unchunked(small_policy, prompts, sampled)
    chunked = score(small_policy, prompts, sampled, chunk_tokens=chunk)
    for a, b in zip(chunked, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    expected = gradients(small_policy, plain, sampled.mask)
    got = gradients(small_policy, chunked, sampled.mask)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_logits_never_exist_for_more_than_a_chunk(small_policy, prompts, sampled):
    """In the forward and in the backward pass, counted at the head itself."""
    seen = []
    head = small_policy.model.get_output_embeddings()
    hook = head.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[:-1].numel()))
    terms = score(small_policy, prompts, sampled, chunk_tokens=5)
    forward = len(seen)
    gradients(small_policy, terms, sampled.mask)
    hook.remove()
    assert max(seen) == 5
    assert len(seen) > forward, "the backward pass recomputes"


def test_the_reference_is_the_base_model(small_base, small_policy, prompts):
    base = AutoModelForCausalLM.from_pretrained(small_base)
    ids, mask = prompts
    with room.reference_weights(small_policy) as reference:
        got = reference(input_ids=ids, attention_mask=mask).logits
    assert torch.equal(got, base(input_ids=ids, attention_mask=mask).logits)
    assert not torch.allclose(got, small_policy.model(input_ids=ids, attention_mask=mask).logits)


def test_sampling_weights_are_the_policys_and_leave_no_trace(small_policy, prompts):
    ids, mask = prompts
    before = {n: p.clone() for n, p in small_policy.model.named_parameters()}
    expected = small_policy.model(input_ids=ids, attention_mask=mask).logits
    for _ in range(3):
        with room.sampling_weights(small_policy) as merged:
            got = merged(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    for name, p in small_policy.model.named_parameters():
        assert torch.equal(p, before[name]), name


def test_sampling_weights_are_put_back_after_an_error(small_policy):
    before = copy.deepcopy(small_policy.model.state_dict())
    with pytest.raises(KeyboardInterrupt), room.sampling_weights(small_policy):
        raise KeyboardInterrupt
    for name, value in small_policy.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_lora_is_on_every_linear_layer_and_nowhere_else(small_policy):
    trained = {
        n.split(".lora_")[0].rsplit(".", 1)[1]
        for n, p in small_policy.model.named_parameters()
        if p.requires_grad
    }
    assert trained == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_a_new_adapter_starts_as_the_reference(small_base, prompts):
    policy = room.load_policy(str(small_base), lora_r=4)
    ids, mask = prompts
    with room.reference_weights(policy) as reference:
        expected = reference(input_ids=ids, attention_mask=mask).logits
    assert torch.equal(policy.model(input_ids=ids, attention_mask=mask).logits, expected)


OTHERS = {
    "DoRA": {"use_dora": True},
    "biases beside B": {"lora_bias": True},
    "the base's biases": {"bias": "lora_only"},
    "a whole module": {"modules_to_save": ["norm"]},
    "the head": {"target_modules": ["q_proj", "lm_head"]},
    "the embedding": {"target_modules": ["q_proj", "embed_tokens"]},
}


@pytest.mark.parametrize("other", OTHERS)
def test_an_adapter_that_is_more_than_plain_lora_is_refused(small_base, tmp_path, other):
    """What sampler and scorer do not compute would be left out without a word."""
    base = AutoModelForCausalLM.from_pretrained(small_base)
    config = LoraConfig(**{"r": 2, "target_modules": ["q_proj"]} | OTHERS[other])
    get_peft_model(base, config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"--adapter .* only plain LoRA"):
        room.load_policy(str(small_base), adapter=str(tmp_path))


def test_prompts_are_padded_left_and_completions_decode(small_policy, prompts, sampled):
    ids, mask = prompts
    assert mask[:, -1].all() and not mask[2, 0]
    assert room.decode(small_policy, ids, mask)[2] == "1, 2\n"
    texts = room.decode(small_policy, sampled.tokens, sampled.mask)
    assert len(texts) == 12 and not any("<eos>" in text or "<pad>" in text for text in texts)


def test_four_bit_weights_with_lora_on_the_cpu(small_base, prompts, sampled, tmp_path):
    """The real QLoRA path: weights stay 4-bit and unchanged, only the adapter learns, and it reloads."""
    policy = room.load_policy(str(small_base), quant="nf4", lora_r=4)
    layer = policy.model.get_base_model().model.layers[0].mlp.up_proj.base_layer
    assert type(layer).__name__ == "Linear4bit" and layer.weight.dtype == torch.uint8
    frozen = {n: p.clone() for n, p in policy.model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW(policy.trainable(), lr=0.003)
    for _ in range(2):
        terms = score(policy, prompts, sampled)
        optimizer.zero_grad()
        (-terms.logp[sampled.mask.bool()].mean()).backward()
        optimizer.step()
    after = score(policy, prompts, sampled).logp
    assert after.sum() > terms.logp.sum()
    for name, p in policy.model.named_parameters():
        if not p.requires_grad:
            assert torch.equal(p, frozen[name]), name
    with room.sampling_weights(policy):
        layer = policy.model.get_base_model().model.layers[0].mlp.up_proj
        acts = vars(layer)["forward"].func
        assert acts is thin_lora.forward, "an adapter is never merged into 4-bit weights"
    policy.model.save_pretrained(tmp_path)
    again = room.load_policy(str(small_base), quant="nf4", adapter=tmp_path)
    torch.testing.assert_close(score(again, prompts, sampled).logp, after)


def test_auto_means_the_bundled_base_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model, quant, why = choose_model("auto", "auto")
    assert (model, quant) == (str(BUNDLED_BASE), "none") and "no CUDA GPU" in why


def test_auto_means_qwen_in_four_bits_with_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    model, quant, why = choose_model("auto", "auto")
    assert (model, quant) == ("Qwen/Qwen2.5-3B", "nf4") and "Some GPU" in why
    assert choose_model(str(BUNDLED_BASE), "auto")[1] == "none"


@pytest.mark.parametrize("model", ["no/such-model-anywhere", "/no/such/folder"])
def test_a_model_that_cannot_be_loaded_is_named(model):
    with pytest.raises(ValueError, match=r"--model") as error:
        room.load_policy(model)
    assert model in str(error.value)


def test_an_adapter_of_another_base_is_named(small_base, small_policy, tmp_path):
    small_policy.model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"--adapter"):
        room.load_policy(str(BUNDLED_BASE), adapter=tmp_path)
    with pytest.raises(ValueError, match=r"--adapter"):
        room.load_policy(str(small_base), adapter=tmp_path / "missing")
