"""The 3B model's path on the CPU: NF4 weights, checkpointed layers, 16-bit activations, 8-bit AdamW.

The model is Qwen2.5's class with its vocabulary of 151,936 and two narrow layers.
"""

from dataclasses import replace

import pytest
import torch
from small_models import let_the_adapter_act, save_random_qwen2

import policy as room
import step
from machine import loading
from machine.loading import compute_dtype, load_tokenizer
from objective import ARMS
from settings import BUNDLED_BASE, Settings, resolve

VOCABULARY = 151_936


@pytest.fixture(scope="module")
def wide_base(tmp_path_factory):
    """A folder with a random Qwen2.5 of the real vocabulary and the bundled tokenizer."""
    tokenizer = load_tokenizer(str(BUNDLED_BASE))
    shape = {"vocab_size": VOCABULARY, "tie_word_embeddings": True, "initializer_range": 0.1}
    return save_random_qwen2(tmp_path_factory.mktemp("wide_base"), tokenizer, **shape)


def load(folder, **changed):
    """NF4 with an adapter that does something."""
    return let_the_adapter_act(
        room.load_policy(str(folder), **({"quant": "nf4", "lora_r": 4} | changed))
    )


def settings_for(folder, out, **changed):
    given = {
        "model": str(folder),
        "data": "puzzles",
        "prompts": 2,
        "group_size": 3,
        "out": str(out),
    }
    given |= {"max_new_tokens": 12, "micro_batch": 2, "chunk_tokens": 5, "eval_problems": 0}
    return resolve(Settings(**(given | changed)))[0]


def rolled_out(policy, settings):
    rolled = step.rollout(policy, PROBLEMS, settings, 0)
    return replace(rolled, reward=torch.tensor([[1.0, 0, 0], [0, 0, 1]]))


PROBLEMS = [step.Problem("1, 2", "3"), step.Problem("What comes next: 3, 4, 5, 6?", "7")]


def gradients(policy, rolled, settings):
    policy.model.zero_grad()
    metrics = step.backward(policy, rolled, settings, rolled.pieces)
    return metrics, [p.grad.clone() for p in policy.trainable()]


def test_a_rapo_step_in_four_bits(wide_base, tmp_path):
    """Base weights stay 4-bit and unchanged, only LoRA moves; the adapter loads back through PEFT."""
    settings = settings_for(wide_base, tmp_path, quant="nf4", checkpoint_layers=True, lr=1e-2)
    policy = load(wide_base, checkpoint_layers=True)
    before = {n: p.clone() for n, p in policy.model.named_parameters()}
    seen = []
    head = policy.model.get_output_embeddings()
    assert head.weight.shape[0] == VOCABULARY and type(head) is torch.nn.Linear
    rolled = rolled_out(policy, settings)
    hook = head.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[:-1].numel()))
    optimizer = step.make_optimizer(policy, settings)
    metrics = step.learn(policy, optimizer, rolled, settings).metrics
    hook.remove()
    assert max(seen) == 5, "the peak of the logits stays one chunk"
    assert metrics["parity_max"] < 1e-4 and not metrics["skipped"]
    for name, p in policy.model.named_parameters():
        assert torch.equal(p, before[name]) != ("lora_" in name), name
    layer = policy.model.get_base_model().model.layers[0].mlp.up_proj.base_layer
    assert type(layer).__name__ == "Linear4bit" and layer.weight.dtype == torch.uint8
    policy.model.save_pretrained(tmp_path)
    again = room.load_policy(str(wide_base), quant="nf4", adapter=tmp_path)
    for one, two in zip(policy.trainable(), again.trainable(), strict=True):
        assert torch.equal(one, two)
    assert gradients(again, rolled, settings)[0] == gradients(policy, rolled, settings)[0]


@pytest.mark.parametrize("quant", ["nf4", "none"])
def test_checkpointed_layers_give_the_same_gradients(wide_base, tmp_path, quant):
    settings = settings_for(wide_base, tmp_path)
    plain, kept = (load(wide_base, quant=quant, checkpoint_layers=c) for c in (False, True))
    rolled = rolled_out(plain, settings)
    calls = []
    layer = kept.model.get_base_model().model.layers[0].mlp
    hook = layer.register_forward_pre_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    expected, got = gradients(plain, rolled, settings), gradients(kept, rolled, settings)
    hook.remove()
    assert calls.count(True) == 2 * 3, "three micro-batches, each layer forward and once more"
    exact = (
        quant == "nf4"
    )  # unquantised, the plain pass merges LoRA and the checkpointed one does not
    near = {} if exact else {"rel": 1e-5, "abs": 1e-5}
    assert got[0] == (expected[0] if exact else pytest.approx(expected[0], **near))
    for one, two in zip(got[1], expected[1], strict=True):
        assert two.abs().max() > 0
        torch.testing.assert_close(one, two, rtol=0, atol=0 if exact else 1e-6)


def test_sampling_between_two_checkpointed_passes_uses_its_cache(wide_base, tmp_path):
    settings = settings_for(wide_base, tmp_path)
    plain, kept = (load(wide_base, checkpoint_layers=c) for c in (False, True))
    rolled = rolled_out(kept, settings)
    gradients(kept, rolled, settings)
    again = rolled_out(kept, settings)
    assert torch.equal(again.completions.tokens, rolled_out(plain, settings).completions.tokens)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_are_for_activations_and_not_for_the_adapter(
    wide_base, tmp_path, monkeypatch, dtype
):
    """float16 loses small gradients, unless the loss is scaled; with it they are float32's."""
    settings = settings_for(wide_base, tmp_path)
    exact = load(wide_base)
    rolled = rolled_out(exact, settings)
    rolled = replace(rolled, reward=1e-4 * rolled.reward)  # as small as with many more tokens
    unscaled = replace(ARMS["no-kl"], advantage=lambda reward: reward - reward.mean(1, True))
    monkeypatch.setitem(ARMS, "no-kl", unscaled)
    settings = replace(settings, alpha=0.0, kl_form="none", arm="no-kl")
    truth = torch.cat([g.flatten() for g in gradients(exact, rolled, settings)[1]])
    monkeypatch.setattr(loading, "compute_dtype", lambda _device: dtype)
    policy = load(wide_base)
    assert policy.dtype == dtype and {p.dtype for p in policy.trainable()} == {torch.float32}
    got = torch.cat([g.flatten() for g in gradients(policy, rolled, settings)[1]])
    assert torch.cosine_similarity(got, truth, dim=0) > 0.99
    assert float(got.norm()) == pytest.approx(float(truth.norm()), rel=0.1)
    if dtype == torch.float16:
        monkeypatch.setattr(step, "loss_scale", lambda *_: 1.0)
        lost = torch.cat([g.flatten() for g in gradients(policy, rolled, settings)[1]])
        assert (lost - truth).norm() > 5 * (got - truth).norm()


def test_the_dtype_is_found_out(monkeypatch):
    assert compute_dtype("cpu") == torch.float32
    for has_it, dtype in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has_it=has_it, **_: has_it)
        assert compute_dtype("cuda") == dtype


@pytest.mark.parametrize("name", ["adamw", "adamw8bit", "paged_adamw8bit"])
def test_each_optimizer_learns_and_goes_on_from_a_saved_state(wide_base, tmp_path, name):
    settings = settings_for(wide_base, tmp_path, optimizer=name, lr=1e-2)
    runs = []
    for cut in (False, True):
        policy = load(wide_base, lora_r=64)  # 8 bits begin at 4,096 parameters a matrix
        optimizer = step.make_optimizer(policy, settings)
        for turn in range(4):
            if cut and turn == 2:
                torch.save(optimizer.state_dict(), tmp_path / "state.pt")
                optimizer = step.make_optimizer(policy, settings)
                optimizer.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
            optimizer.zero_grad()
            sum(p.square().sum() for p in policy.trainable()).backward()
            optimizer.step()
        runs.append([p.detach().clone() for p in policy.trainable()])
    start = load(wide_base, lora_r=64).trainable()
    for first, one, two in zip(start, *runs, strict=True):
        assert torch.equal(one, two) and one.norm() < first.norm()
    states = {v.dtype for s in optimizer.state.values() for v in s.values() if torch.is_tensor(v)}
    assert (torch.uint8 in states) == (name != "adamw")


def test_the_end_of_a_turn_ends_a_completion(small_policy):
    class Qwen:
        eos_token_id, unk_token_id = 1, None

        def convert_tokens_to_ids(self, token):
            return {"<|im_end|>": 151_645}[token]

    assert 151_645 in replace(small_policy, tokenizer=Qwen()).end_ids
    assert small_policy.end_ids == [small_policy.tokenizer.eos_token_id]
