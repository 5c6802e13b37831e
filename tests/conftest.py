"""What several test files share: a small random model of the real class, and a few problems."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

import policy as policy_room


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)  # the models are so small that a second thread only waits


@pytest.fixture(scope="session")
def small_base(tmp_path_factory):
    """A folder with a random Qwen2 of 2 layers and the bundled tokenizer."""
    folder = tmp_path_factory.mktemp("small_base")
    tokenizer = policy_room.load_tokenizer(str(policy_room.BUNDLED_BASE))
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.12,  # far from uniform, so that differences would show
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def qwen_like_base(tmp_path_factory):
    """A folder with a random model of Qwen2.5's shape and its kind of tokenizer.

    That is byte-level subwords, and embeddings that are padded past the vocabulary.
    """
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("qwen_like_base")
    subwords = ByteLevelBPETokenizer()
    texts = [
        "The answer is \\boxed{12}. Let us add the numbers, step by step.\n\n",
        "2, 5, 8, 11 €",
    ]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    subwords.train_from_iterator(texts * 20, vocab_size=320, special_tokens=special)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=subwords._tokenizer, eos_token=special[0], pad_token=special[0]
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer) + 25,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            initializer_range=0.1,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def small_policy(small_base):
    """The small model with an adapter that does something: B is zero only in a new one."""
    policy = policy_room.load_policy(str(small_base), lora_r=4, lora_alpha=8)
    generator = torch.Generator().manual_seed(1)
    for name, p in policy.model.named_parameters():
        if "lora_B" in name:
            p.data.copy_(0.05 * torch.randn(p.shape, generator=generator))
    return policy


PROMPTS = ["What comes next: 2, 5, 8, 11?\n", "What comes next: 3/4, 5/4?\n", "1, 2\n"]


@pytest.fixture
def prompts(small_policy):
    """Three prompts of three lengths, padded on the left: ids and mask (3, L)."""
    return policy_room.encode_prompts(small_policy, PROMPTS)
