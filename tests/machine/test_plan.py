"""machine/plan.py: counts against real models, bytes against live tensors, refusals by name."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from live_bytes import LiveBytes
from peft import get_peft_model_state_dict
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

import policy as policy_room
import rapo_mini
from machine import plan as room
from machine.loading import with_new_lora
from machine.plan import GIB, plan
from machine.shapes import PUBLISHED, shape_of, shape_of_config
from machine.shared_prompts import teach
from objective import token_terms
from sampler import draw
from settings import Settings, resolve

ROOT = Path(policy_room.__file__).parent
QWEN_3B = PUBLISHED["Qwen/Qwen2.5-3B"]
CONFIGS = {
    "Qwen2.5-3B": Qwen2Config(
        vocab_size=151936,
        hidden_size=2048,
        intermediate_size=11008,
        num_hidden_layers=36,
        num_attention_heads=16,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        max_position_embeddings=32768,
    ),
    "untied Qwen2.5": Qwen2Config(
        vocab_size=1000,
        hidden_size=96,
        intermediate_size=200,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=3,
        tie_word_embeddings=False,
    ),
    "Llama": LlamaConfig(
        vocab_size=500,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        tie_word_embeddings=True,
        head_dim=32,
    ),
}


def on_meta(config):
    """The whole model without a byte of weights, as wide as it is."""
    kind = Qwen2ForCausalLM if config.model_type == "qwen2" else LlamaForCausalLM
    with torch.device("meta"):
        return kind(config)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_weights_and_lora_are_counted_exactly(config):
    model, shape = on_meta(config), shape_of_config(config)
    numbers = sum(p.numel() for p in model.parameters())  # a tied head is one parameter
    assert room.weight_bytes(shape, "none") == 2 * numbers
    head = model.get_output_embeddings()
    linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    four_bit = sum(room.nf4_bytes(*m.weight.shape) for m in linears)
    rest = 2 * (numbers - sum(m.weight.numel() for m in linears))
    assert room.weight_bytes(shape, "nf4") == four_bit + rest
    adapter = with_new_lora(model, 16, 0)
    counted = sum(p.numel() for p in get_peft_model_state_dict(adapter).values())
    assert room.lora_parameters(shape, 16) == counted


@pytest.mark.parametrize("size", [(2048, 2048), (256, 2048), (100, 64), (63, 33)])
def test_a_matrix_in_nf4_has_the_bytes_of_bitsandbytes(size):
    import bitsandbytes as bnb

    weight = bnb.nn.Params4bit(
        torch.randn(size), requires_grad=False, quant_type="nf4", compress_statistics=True
    ).to("cpu")
    state = weight.quant_state
    parts = (weight, state.absmax, state.offset, state.code, state.state2.absmax, state.state2.code)
    assert sum(part.nbytes for part in parts) == room.nf4_bytes(*size)


@pytest.mark.parametrize("name", ["adamw", "adamw8bit"])
def test_the_adapters_bytes_are_those_of_the_real_optimizer(name):
    config = CONFIGS["untied Qwen2.5"]
    model = with_new_lora(Qwen2ForCausalLM(config), 128, 0)  # all matrices in 8 bits
    policy = policy_room.Policy(model, None, "none")
    import step

    settings, _ = resolve(Settings(optimizer=name))
    optimizer = step.make_optimizer(policy, settings)
    sum(p.square().sum() for p in policy.trainable()).backward()
    optimizer.step()
    state = [v for s in optimizer.state.values() for v in s.values() if torch.is_tensor(v)]
    large = sum(v.nbytes for v in state if v.numel() > 256)  # not the tables of 256 numbers
    own = sum(p.nbytes + p.grad.nbytes for p in policy.trainable())
    assert room.adapter_bytes(shape_of_config(config), 128, name) == pytest.approx(
        own + large, rel=0.01
    )


@pytest.mark.parametrize("config", list(CONFIGS.values())[1:], ids=list(CONFIGS)[1:])
def test_the_cache_has_the_bytes_of_a_real_one(config):
    kind = Qwen2ForCausalLM if config.model_type == "qwen2" else LlamaForCausalLM
    cache = DynamicCache(config=config)
    model = kind(config).to(torch.bfloat16)
    model(input_ids=torch.zeros(3, 17, dtype=torch.long), past_key_values=cache, use_cache=True)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert room.cache_bytes(shape_of_config(config), 3, 17) == held


# ---------------------------------------------------------------- bytes that were alive


@pytest.mark.parametrize("arm", ["rapo", "grpo", "no-kl"])
def test_a_chunk_of_logits_with_its_graph(arm):
    """Head, token_terms, backward, at the real vocabulary, as policy.score checkpoints them."""
    form = {"rapo": "exact", "grpo": "sampled", "no-kl": "none"}[arm]
    tokens, vocabulary = 8, 151936
    head = torch.randn(vocabulary, 16)  # its logits are float32 on a GPU too: `machine/head.py`
    state, ref = (torch.randn(tokens, 16) for _ in range(2))
    state.requires_grad_()

    def terms(state, ref):
        logits = state @ head.T / 0.9
        with torch.no_grad():
            ref_logits = None if form == "none" else ref @ head.T / 0.9
        token, phi = torch.zeros(tokens, dtype=torch.long), torch.ones(tokens)
        return token_terms(logits, ref_logits, token, phi, arm, form)

    with LiveBytes(head, state, ref) as live:
        flat = torch.utils.checkpoint.checkpoint(terms, state, ref, use_reentrant=False)
        (flat.logp + flat.kl + flat.entropy).sum().backward()
    shape = replace(QWEN_3B, layers=1, hidden=1, intermediate=1, kv_heads=0)
    planned = sum(room.learning_bytes(shape, 1, tokens, form, True, 0).values())
    assert live.peak <= 1.01 * planned and planned <= 1.2 * live.peak


@pytest.mark.parametrize("checkpointed", [True, False])
@pytest.mark.parametrize(
    ("hidden", "intermediate", "heads", "kv", "layers", "rows", "head_dim"),
    [
        (256, 1376, 4, 1, 4, 2, 64),
        (512, 1024, 8, 2, 3, 2, 64),
        (256, 512, 4, 4, 2, 4, 64),
        (256, 512, 8, 2, 3, 3, 64),  # heads wider than the hidden state, as in Qwen3 and Gemma
    ],
)
def test_activations_with_their_graph(
    hidden, intermediate, heads, kv, layers, rows, head_dim, checkpointed
):
    """As a step learns: 16-bit activations, LoRA in their dtype, rows whose prompts all differ."""
    config = Qwen2Config(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        head_dim=head_dim,
    )
    base = Qwen2ForCausalLM(config).to(torch.bfloat16)
    teach(base)
    model = policy_room.made_ready(with_new_lora(base, 16, 0))
    policy = policy_room.Policy(model, None, "none", checkpointed)
    for p in policy.trainable():
        p.grad = torch.zeros_like(p)
    ids = torch.arange(rows * 32).view(rows, 32) % 61
    tokens = torch.arange(rows * 97).view(rows, 97) % 59
    batch = (ids, torch.ones_like(ids), tokens, torch.ones_like(tokens))
    before = [*policy.model.parameters(), *(p.grad for p in policy.trainable()), *batch]
    with LiveBytes(*before) as live:
        with policy_room.learning_weights(policy) as learner:
            states = policy_room.completion_states(learner, *batch)
        states.sum().backward()
    read = rows * (32 + 96)  # nothing follows from the last token
    planned = room.learning_bytes(shape_of_config(config), read, 1, "exact", checkpointed, 16)
    planned = sum(planned.values()) + room.mask_bytes(rows, 96, 128)
    assert live.peak <= 1.05 * planned and planned <= 1.2 * live.peak


def test_a_prefill_and_a_draw():
    config = CONFIGS["untied Qwen2.5"]
    model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model = with_new_lora(model, 16, 0)
    ids = torch.zeros(4, 96, dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    with torch.no_grad(), LiveBytes(*model.parameters(), ids, mask) as live:
        model(input_ids=ids, attention_mask=mask, use_cache=True, logits_to_keep=1)
    shape = shape_of_config(config)
    planned = sum(room.sampling_bytes(replace(shape, vocabulary=0), 4, 4, 96, 0).values())
    assert live.peak <= 1.05 * planned and planned <= 1.25 * live.peak
    logits = torch.randn(8, 151936)
    with LiveBytes(logits) as live:
        draw(logits, torch.rand(8), 1.0)
    planned = room.sampling_bytes(QWEN_3B, 8, 0, 0, 0)["prefill, or drawing tokens"]
    assert live.peak + logits.nbytes <= 1.01 * planned
    assert planned <= 1.2 * (live.peak + logits.nbytes)


# ---------------------------------------------------------------- the plan as a whole


def settings_for(**changed):
    return resolve(Settings(dry_run=True, **({"gpu_memory": 8.0} | changed)))[0]


def test_the_defaults_of_a_gpu_fit_into_eight_gigabytes():
    """4 prompts x 8 completions x 1,024 tokens is what the project asks of a card of 8 GB."""
    for changed in ({}, {"prompts": 4, "group_size": 8}):
        assert plan(QWEN_3B, settings_for(**changed)).total < 8 * GIB


def test_each_knob_lowers_its_phase():
    settings = settings_for(sample_rows=64, micro_batch=8, chunk_tokens=256)
    whole = plan(QWEN_3B, settings)
    for name, phase in (
        ("sample_rows", "sampling"),
        ("micro_batch", "learning"),
        ("max_new_tokens", "sampling"),
        ("max_new_tokens", "learning"),
        ("max_prompt_tokens", "learning"),
    ):
        smaller = plan(QWEN_3B, replace(settings, **{name: getattr(settings, name) // 2}))
        assert sum(getattr(smaller, phase).values()) < sum(getattr(whole, phase).values()), name
    few = replace(settings, micro_batch=1)
    chunks = [
        sum(plan(QWEN_3B, replace(few, chunk_tokens=c)).learning.values()) for c in (128, 256)
    ]
    assert chunks[0] < chunks[1]
    kept = sum(plan(QWEN_3B, replace(settings, checkpoint_layers=False)).learning.values())
    assert kept > 5 * sum(whole.learning.values())


@pytest.mark.parametrize("gib", room.CARDS)
def test_what_is_said_to_fit_fits_and_nothing_larger_does(gib):
    best = room.largest_that_fits(QWEN_3B, settings_for(), gib * GIB)
    assert plan(QWEN_3B, best).total <= gib * GIB
    for name, sizes in room.KNOBS.items():
        larger = [n for n in sizes if n > getattr(best, name)]
        if larger and not (name == "sample_rows" and larger[0] > 8 * 16):
            assert plan(QWEN_3B, replace(best, **{name: larger[0]})).total > gib * GIB, name


@pytest.mark.parametrize("gib", [6, 8, 12, 24, 48])
def test_what_is_left_open_is_chosen_for_the_card(gib):
    """The most rows that fit, and no more; checkpointed layers only where they are needed."""
    settings = settings_for()
    best = room.fitted(settings, Settings(), gib * GIB)
    assert plan(QWEN_3B, best).total <= gib * GIB
    twice = replace(best, sample_rows=2 * best.sample_rows)
    batch = settings.prompts * settings.group_size
    assert best.sample_rows == batch or plan(QWEN_3B, twice).total > gib * GIB
    assert best.checkpoint_layers == (gib < 48), "some 40 GiB of activations"
    small = settings_for(model="HuggingFaceTB/SmolLM2-135M-Instruct")
    assert not room.fitted(small, Settings(), 12 * GIB).checkpoint_layers
    given = Settings(sample_rows=2, checkpoint_layers=True)
    kept = room.fitted(settings_for(sample_rows=2, checkpoint_layers=True), given, gib * GIB)
    assert (kept.sample_rows, kept.checkpoint_layers) == (2, True)


def test_what_cannot_fit_is_refused_and_what_to_lower_is_named():
    room.check_fits(settings_for(), 8 * GIB)
    too_much = settings_for(micro_batch=32, sample_rows=128)
    with pytest.raises(
        ValueError, match=r"--sample-rows 64 --micro-batch 8.*--max-new-tokens 1024"
    ):
        room.check_fits(too_much, 8 * GIB)
    with pytest.raises(ValueError, match=r"even one completion.*--max-new-tokens"):
        room.check_fits(settings_for(), 2 * GIB)
    with pytest.raises(ValueError, match="--model"):
        shape_of("no/such-model")


def test_completions_longer_than_the_context_are_refused():
    plan(QWEN_3B, settings_for(max_new_tokens=32767))
    with pytest.raises(ValueError, match=r"--max-new-tokens 32768 .* context of 32768"):
        plan(QWEN_3B, settings_for(max_new_tokens=32768))


def test_a_dry_run_needs_no_gpu_no_network_and_no_weights(tmp_path, capsys):
    """In under five seconds of processor time (another process may hold the clock up)."""
    command = [sys.executable, str(ROOT / "rapo_mini.py"), "--gpu-memory", "12"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    before = os.times()
    done = subprocess.run(
        command,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    spent = os.times()
    assert done.returncode == 0, done.stderr
    for part in (
        "Qwen/Qwen2.5-3B",
        "the card has 12.00: it fits",
        " 8 GB",
        "24 GB",
        "weights, nf4",
    ):
        assert part in done.stdout, part
    assert not list(tmp_path.iterdir()), "nothing was written"
    assert spent.children_user - before.children_user < 5
    assert rapo_mini.main(Settings(dry_run=True, gpu_memory=4.0)) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and errors[0].startswith("rapo_mini: ") and "--micro-batch" in errors[0]


def test_the_readme_shows_the_table_that_is_computed():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = room.table_of_cards(QWEN_3B, settings_for())
    assert table in readme
