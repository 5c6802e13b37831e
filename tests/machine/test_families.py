"""Every family that the plan knows, tiny: what was sampled is what is scored, and it learns."""

from dataclasses import replace

import pytest
import torch
from small_models import let_the_adapter_act
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GraniteConfig,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
)

import policy as policy_room
import step
from machine.chat import chat_template, turn_end, with_prompt_template
from machine.loading import load_base, load_tokenizer, name_the_cap, quiet_libraries
from problems import EXAMPLES, Problem, render_prompt
from settings import BUNDLED_BASE, GPU_BASE, Settings, resolve

CHATML = (
    "{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|over|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
NARROW = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "head_dim": 16}
NARROW |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
NARROW |= {"initializer_range": 0.15, "tie_word_embeddings": True}
FAMILIES = {
    "Llama": (LlamaConfig, {}),
    "Qwen2": (Qwen2Config, {}),
    "Qwen3": (Qwen3Config, {}),
    "Gemma": (GemmaConfig, {}),
    "Gemma 2": (Gemma2Config, {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 1.0}),
    "Gemma 3": (Gemma3TextConfig, {"sliding_window": 128}),
}
PROBLEMS = [Problem("1, 2", "3"), Problem("What comes next: 3, 4, 5, 6?", "7")]


def chat_tokenizer():
    """The bundled tokenizer with a chat template of its own, and the two tokens that it needs."""
    tokenizer = load_tokenizer(str(BUNDLED_BASE))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>", "<|over|>"]})
    tokenizer.chat_template = CHATML
    return tokenizer


def saved(folder, family):
    kind, more = FAMILIES[family]
    tokenizer = chat_tokenizer()
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    config = kind(**(NARROW | ends | {"vocab_size": len(tokenizer), "bos_token_id": None} | more))
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def settings_for(folder, out, **changed):
    given = {"model": folder, "data": "puzzles", "prompts": 2, "group_size": 3, "out": str(out)}
    given |= {"max_new_tokens": 12, "micro_batch": 2, "chunk_tokens": 5, "lr": 1e-2}
    return resolve(Settings(**(given | changed)))[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_sampled_is_what_is_scored_and_a_rapo_step_learns(tmp_path, family):
    folder = saved(tmp_path / "base", family)
    policy = let_the_adapter_act(policy_room.load_policy(folder, lora_r=4))
    touched = {
        name.rsplit(".", 3)[0].rsplit(".", 1)[1]
        for name, p in policy.model.named_parameters()
        if p.requires_grad
    }
    assert touched == {f"{x}_proj" for x in ("q", "k", "v", "o", "gate", "up", "down")}
    settings = settings_for(folder, tmp_path)
    rolled = step.rollout(policy, PROBLEMS, settings, 0)
    logp = rolled.completions.logp[rolled.completions.mask.bool()]
    assert -6 < logp.mean() < -0.05, "neither uniform nor certain: differences would show"
    reward = torch.tensor([[1.0, 0, 0], [0, 0, 1]])
    rolled = replace(rolled, reward=reward)
    before = [p.detach().clone() for p in policy.trainable()]
    metrics = step.learn(policy, step.make_optimizer(policy, settings), rolled, settings).metrics
    assert metrics["parity_max"] < 1e-5 and not metrics["skipped"] and metrics["kl"] > 0
    assert all(not torch.equal(p, b) for p, b in zip(policy.trainable(), before, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_fixed_memory_draws_the_same_tokens(tmp_path, family):
    folder = saved(tmp_path / "base", family)
    policy = let_the_adapter_act(policy_room.load_policy(folder, lora_r=4))
    settings = settings_for(folder, tmp_path, max_new_tokens=20)
    growing, fixed = (
        step.rollout(policy, PROBLEMS, replace(settings, fixed_decode=f), 0).completions
        for f in (False, True)
    )
    assert torch.equal(growing.tokens, fixed.tokens)
    torch.testing.assert_close(growing.logp, fixed.logp, rtol=0, atol=1e-5)


def test_gemma_2s_logits_are_capped_once_and_as_transformers_does_it(tmp_path):
    folder = saved(tmp_path, "Gemma 2")
    plain, ids = AutoModelForCausalLM.from_pretrained(folder), torch.arange(3, 12)[None]
    base, _ = load_base(folder, "none")
    with torch.no_grad():
        theirs, ours = plain(input_ids=ids).logits, base(input_ids=ids).logits
        head = base.get_output_embeddings()(base.model(input_ids=ids).last_hidden_state)
    assert theirs.abs().max() > 1 and torch.allclose(ours, theirs, atol=1e-6)
    assert torch.allclose(head, theirs, atol=1e-6)
    name_the_cap(base)
    base.save_pretrained(tmp_path / "merged")  # as `python -m use merge` does
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    with torch.no_grad():
        assert torch.allclose(again(input_ids=ids).logits, theirs, atol=1e-6)


def test_a_model_whose_logits_are_scaled_after_the_head_is_refused_by_name(tmp_path):
    tokenizer = chat_tokenizer()
    config = GraniteConfig(**NARROW, vocab_size=len(tokenizer), logits_scaling=8.0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"--model.*logits_scaling"):
        load_base(str(tmp_path), "none")


# ---------------------------------------------------------------- chat templates


def test_a_chat_template_becomes_a_prompt_that_ends_where_the_answer_begins():
    template = chat_template(chat_tokenizer())
    prompt = render_prompt(template, Problem("1, 2", "3"))
    assert prompt.startswith("<|turn|>user\n1, 2\n") and prompt.endswith("<|turn|>assistant\n")
    assert "\\boxed{}" in prompt


def test_an_example_is_shown_as_an_earlier_turn():
    template = chat_template(chat_tokenizer(), EXAMPLES["sums"])
    question, answer = EXAMPLES["sums"]
    assert template.index(question) < template.index(answer) < template.index("{problem}")
    assert template.count("<|turn|>user") == 2 and template.endswith("<|turn|>assistant\n")


def test_the_turn_end_of_the_template_ends_a_completion(tmp_path):
    tokenizer = chat_tokenizer()
    over = tokenizer.convert_tokens_to_ids("<|over|>")
    assert turn_end(tokenizer) == over
    policy = policy_room.load_policy(saved(tmp_path, "Llama"), lora_r=4)
    assert over in policy.end_ids and policy.tokenizer.eos_token_id in policy.end_ids
    assert turn_end(load_tokenizer(str(BUNDLED_BASE))) is None


def test_a_beginning_token_does_not_stand_there_twice():
    from tokenizers.processors import TemplateProcessing

    tokenizer = chat_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    begin = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", begin)]
    )
    tokenizer.chat_template = "{{ bos_token }}" + CHATML
    ids = tokenizer.encode(render_prompt(chat_template(tokenizer), Problem("1, 2", "3")))
    assert ids.count(begin) == 1 and ids[0] == begin


def test_which_template_is_used_is_decided_by_the_tokenizer_and_said():
    chat, plain = chat_tokenizer(), load_tokenizer(str(BUNDLED_BASE))
    other, _ = resolve(Settings(model="some/model"))
    settings, said = with_prompt_template(other, None, chat)
    assert "{problem}" in settings.prompt_template and "<|turn|>" in settings.prompt_template
    assert "chat template" in said and "its tokenizer has one" in said
    settings, said = with_prompt_template(other, None, plain)
    assert settings.prompt_template == "qwen-boxed" and "qwen-boxed" in said
    settings, _ = with_prompt_template(resolve(Settings(model=GPU_BASE))[0], None, chat)
    assert settings.prompt_template == "qwen-boxed", "SimpleRL-Zoo's, for the paper's model"
    given = "Q: {problem}"
    settings, _ = with_prompt_template(resolve(Settings(prompt_template=given))[0], given, chat)
    assert settings.prompt_template == given
    with pytest.raises(ValueError, match="--prompt-template chat"):
        with_prompt_template(other, "chat", plain)


# ---------------------------------------------------------------- screens


def test_a_download_shows_its_bar_and_the_loading_of_weights_none(monkeypatch):
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils.logging import is_progress_bar_enabled

    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    quiet_libraries()
    assert not are_progress_bars_disabled() and not is_progress_bar_enabled()
