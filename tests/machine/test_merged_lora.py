"""machine/merged_lora.py against its plain twin, PEFT's three products."""

import pytest
import torch

import policy as room
from machine import merged_lora


@pytest.fixture
def double_policy(small_base):
    policy = room.load_policy(str(small_base), lora_r=4)
    for name, p in policy.model.named_parameters():
        p.data = p.data.double()
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.05)
    return policy


def logits_and_gradients(policy, ids):
    policy.model.zero_grad()
    logits = policy.model(input_ids=ids).logits
    logits.sin().sum().backward()
    return logits.detach(), [p.grad.clone() for p in policy.trainable()]


def test_one_product_has_the_values_and_gradients_of_three(double_policy, prompts):
    layers = merged_lora.lora_layers(double_policy.model)
    plain, plain_grads = logits_and_gradients(double_policy, prompts[0])
    with merged_lora.one_product(layers, room.TRAINED):
        assert all("forward" in vars(layer) for layer in layers)
        merged, grads = logits_and_gradients(double_policy, prompts[0])
    torch.testing.assert_close(merged, plain, rtol=0, atol=1e-10)
    for a, b in zip(grads, plain_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)
    again, _ = logits_and_gradients(double_policy, prompts[0])
    assert torch.equal(again, plain), "afterwards everything is as before"


def test_without_an_adapter_it_is_the_base(double_policy, prompts):
    layers = merged_lora.lora_layers(double_policy.model)
    with double_policy.model.disable_adapter(), torch.no_grad():
        expected = double_policy.model(input_ids=prompts[0]).logits
    with merged_lora.one_product(layers, None), torch.no_grad():
        assert torch.equal(double_policy.model(input_ids=prompts[0]).logits, expected)


def test_only_plain_float32_layers_are_merged(small_base, small_policy):
    assert merged_lora.can_merge(merged_lora.lora_layers(small_policy.model))
    four_bits = room.load_policy(str(small_base), quant="nf4", lora_r=4)
    assert not merged_lora.can_merge(merged_lora.lora_layers(four_bits.model))
    half = small_policy.model.bfloat16()
    assert not merged_lora.can_merge(merged_lora.lora_layers(half))


def test_a_checkpointed_layer_runs_as_it_is_written(small_base):
    """It runs again in the backward pass, when the merged weights are gone."""
    policy = room.load_policy(str(small_base), lora_r=4, checkpoint_layers=True)
    layer = merged_lora.lora_layers(policy.model)[0]
    with room.learning_weights(policy):
        assert "forward" not in vars(layer)
    with room.reference_weights(policy):
        assert "forward" in vars(layer)
    assert "forward" not in vars(layer)
