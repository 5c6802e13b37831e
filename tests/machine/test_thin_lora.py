"""machine/thin_lora.py against its plain twin, the forward pass of PEFT's layers."""

import pytest
import torch
from small_models import let_the_adapter_act

import policy as room
from machine import loading
from machine.merged_lora import lora_layers


def logits_and_gradients(policy, ids):
    policy.model.zero_grad()
    logits = policy.model(input_ids=ids).logits
    logits.float().sin().mean().backward()
    return logits.detach(), [p.grad.clone() for p in policy.trainable()]


def as_peft_writes_it(policy):
    """The plain twin: what `load_policy` put into the layers is taken out again."""
    for layer in lora_layers(policy.model):
        del layer.__dict__["forward"]
    return policy


@pytest.fixture
def load(small_base, monkeypatch):
    def loaded(dtype, **changed):
        monkeypatch.setattr(loading, "compute_dtype", lambda _device: dtype)
        policy = room.load_policy(str(small_base), lora_r=4, **changed)
        return let_the_adapter_act(policy)

    return loaded


def test_over_four_bits_in_float32_it_is_pefts(load, prompts):
    policy = load(torch.float32, quant="nf4")
    assert all("forward" in vars(layer) for layer in lora_layers(policy.model))
    thin, grads = logits_and_gradients(policy, prompts[0])
    plain, plain_grads = logits_and_gradients(as_peft_writes_it(policy), prompts[0])
    torch.testing.assert_close(thin, plain, rtol=0, atol=1e-5)
    for a, b in zip(grads, plain_grads, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_sixteen_bits_it_is_about_as_near_to_the_truth_as_pefts(load, prompts, dtype):
    truth, exact = logits_and_gradients(load(torch.float32), prompts[0])
    policy = load(dtype)
    thin, grads = logits_and_gradients(policy, prompts[0])
    plain, plain_grads = logits_and_gradients(as_peft_writes_it(policy), prompts[0])
    assert (thin - truth).norm() < 1.25 * (plain - truth).norm()
    off, plain_off = (
        torch.cat([(a - b).flatten() for a, b in zip(some, exact, strict=True)]).norm()
        for some in (grads, plain_grads)
    )
    assert off < 1.25 * plain_off
    assert {g.dtype for g in grads} == {torch.float32}, "what the optimizer sees is not rounded"


def test_nothing_of_twice_the_activations_size_is_kept(load):
    """PEFT keeps a float32 copy of x in each layer."""
    policy = load(torch.bfloat16)
    wide = []

    def saved(tensor):
        if tensor.dtype == torch.float32 and tensor.numel() >= x.numel():  # A and B are smaller
            wide.append(tensor.shape)
        return tensor

    x = torch.randn(2, 8, 64, dtype=torch.bfloat16)

    with torch.autograd.graph.saved_tensors_hooks(saved, lambda tensor: tensor):
        layer = policy.model.get_base_model().model.layers[0].mlp
        layer(x)
        assert not wide
        layer.up_proj.__dict__.pop("forward")
        layer(x)
        assert wide


def test_it_follows_the_adapters_that_are_switched(load, prompts):
    plain = as_peft_writes_it(load(torch.float32, quant="nf4"))
    with torch.no_grad(), plain.model.disable_adapter():
        base = plain.model(input_ids=prompts[0]).logits
    policy = load(torch.float32, quant="nf4")
    with room.base_weights(policy) as model:
        assert torch.equal(model(input_ids=prompts[0]).logits, base)
    room.refresh_reference(policy)
    with torch.no_grad():
        before = policy.model(input_ids=prompts[0]).logits
        for p in policy.trainable():
            p.mul_(1.5)
        assert not torch.allclose(policy.model(input_ids=prompts[0]).logits, before)
    with room.reference_weights(policy) as reference:
        assert torch.equal(reference(input_ids=prompts[0]).logits, before)


def test_plain_float32_layers_are_left_alone(load):
    layers = lora_layers(load(torch.float32).model)
    assert not any("forward" in vars(layer) for layer in layers)
