"""Small random models of the real class, and an adapter that acts: for any test that needs one."""

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM


def save_random_qwen2(folder, tokenizer, **shape):
    """Write a random Qwen2 of 2 layers and a tokenizer into a folder; returns the folder."""
    narrow = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 256}
    narrow |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(**({"vocab_size": len(tokenizer)} | narrow | ends | shape))
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def let_the_adapter_act(policy):
    """Make LoRA's matrix B random: in a new adapter it is zero, and the policy is the reference."""
    generator = torch.Generator().manual_seed(1)
    for name, p in policy.model.named_parameters():
        if "lora_B" in name:
            p.data.copy_(0.05 * torch.randn(p.shape, generator=generator))
    return policy
