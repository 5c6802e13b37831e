"""scale: TRL's path and `learn` are the same step, on one process and on two.

Run by `accelerate launch` with a folder and flags, this file is the work of the two processes.
"""

import json
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import warm
import yaml
from datasets import Dataset
from torch.distributed.fsdp import FSDPModule
from transformers import TrainerCallback

import rapo_mini
import step as step_room
from machine.limit import pieces_of
from machine.loading import load_base, lora_config, with_saved_lora
from objective import ARMS, advantage_and_phi, group_advantages, phi_of_reward, token_terms
from pass_at_k import Evaluation, evaluate
from problems import load_problems, render_prompt
from scale import command, options
from scale.estimate import table
from scale.options import FIXED, Options, RAPOConfig
from scale.trainer import RAPOTrainer, total_reward
from settings import Settings, learning_rate, resolve
from watch.lock import locked
from watch.run_folder import save_adapter

ROOT = Path(__file__).resolve().parents[2]
os.environ |= {"TRL_EXPERIMENTAL_SILENCE": "1"}  # rollout_func
P, G = 3, 4
CLOSE = 1e-6  # float32; the largest gradient of the scene is about 0.01
FORMS = [
    ("rapo", "exact"),
    ("rapo", "sampled"),
    ("rapo-light", "exact"),
    ("grpo", "sampled"),
    ("grpo-unbiased", "sampled"),
    ("reverse-kl", "exact"),
    ("reverse-kl", "sampled"),
    ("no-kl", "auto"),
]


# ---------------------------------------------------------------- one batch for both paths


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A folder with an adapter that has left the reference, and a rollout with mixed rewards."""
    folder = tmp_path_factory.mktemp("scene")
    options = {
        "prompts": P,
        "group_size": G,
        "max_new_tokens": 48,
        "eval_problems": 0,
        "threads": 1,
    }
    run = rapo_mini.Run(resolve(Settings(**options, out=str(folder), lr=1e-2))[0])
    for _ in range(4):
        rapo_mini.train_step(run)
    for step in range(4, 400):
        rolled = step_room.rollout(run.policy, run.problems_of(step), run.settings, step)
        solved = rolled.reward.sum(dim=1)  # (P,)
        if ((solved > 0) & (solved < G)).all() and len(solved.unique()) > 1:
            break
    else:
        pytest.fail("each group needs an advantage, and not all the same mean")
    save_adapter(run.policy.model, folder)
    sampled = rolled.completions
    batch = {
        "prompts": [render_prompt("plain", p) for p in rolled.problems],
        "answers": [p.answer for p in rolled.problems],
        "completions": [
            r[m.bool()].tolist() for r, m in zip(sampled.tokens, sampled.mask, strict=True)
        ],
    }
    (folder / "batch.json").write_text(json.dumps(batch))
    return folder, run, rolled


class Gradients(TrainerCallback):
    """Keeps the gradients of each update as they are when the optimizer gets them."""

    def __init__(self):
        self.seen = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **_others):
        named = model.named_parameters()
        self.seen.append({n: p.grad.clone() for n, p in named if p.requires_grad})


def trainer_of(folder: Path, **options) -> tuple[RAPOTrainer, Gradients]:
    """A trainer that starts from the scene's adapter and "samples" the scene's completions."""
    batch = json.loads((folder / "batch.json").read_text())
    model, tokenizer = load_base(str(ROOT / "tiny_base"), "none")

    def replay(prompts: list[str], trainer: RAPOTrainer) -> dict:
        first = trainer.accelerator.process_index * len(prompts)
        mine = range(first, first + len(prompts))
        assert prompts == [batch["prompts"][row // G] for row in mine]
        return {
            "prompt_ids": [tokenizer.encode(prompt) for prompt in prompts],
            "completion_ids": [batch["completions"][row] for row in mine],
            "logprobs": None,
        }

    columns = zip(batch["prompts"], batch["answers"], strict=True)
    defaults = {
        "output_dir": str(folder / "trl"),
        "max_steps": 1,
        "num_generations": G,
        "per_device_train_batch_size": P * G // int(os.environ.get("WORLD_SIZE", 1)),
        "max_completion_length": 48,
        "max_grad_norm": 0.0,  # none
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "shuffle_dataset": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
    }
    chosen = {n: options[n] for n in ("arm", "kl_form", "phi", "phi_from") if n in options}
    here, _ = resolve(Settings(**chosen))  # the bundled base's own weights and flattening
    defaults |= {n: getattr(here, n) for n in ("kl_form", "phi", "plausible", "fork_entropy")}
    defaults |= {"beta": here.alpha, "entropy_coef": here.beta}
    defaults |= {"phi_min": here.phi_min} if here.phi == "linear" else {}
    seen = Gradients()
    trainer = RAPOTrainer(
        with_saved_lora(model, folder, "tiny_base"),  # the run's folder will do
        args=RAPOConfig(**(defaults | options)),
        train_dataset=Dataset.from_list([{"prompt": p, "answer": a} for p, a in columns]),
        processing_class=tokenizer,
        callbacks=[seen],
        rollout_func=replay,
    )
    return trainer, seen


def learned(scene, **changed):
    """Loss and gradients of our own path on the same batch, at the scene's adapter."""
    _, run, rolled = scene
    names = ("alpha", "alpha_right", "phi_min", "plausible", "fork_entropy")
    settings = resolve(replace(run.settings, **dict.fromkeys(names), **changed))[0]
    run.optimizer.zero_grad()
    metrics = step_room.backward(run.policy, rolled, settings, pieces_of(settings))
    named = run.policy.model.named_parameters()
    return metrics, {n: p.grad.clone() for n, p in named if p.requires_grad}


def assert_same_gradients(ours, theirs, tolerance=CLOSE):
    assert ours.keys() == theirs.keys()
    assert max(g.abs().max() for g in ours.values()) > 1e-3, "there is something to compare"
    for name in ours:
        torch.testing.assert_close(theirs[name], ours[name], rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("arm,form", FORMS)
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_same_batch_gives_the_same_loss_and_gradients(scene, arm, form, pieces):
    metrics, ours = learned(scene, arm=arm, kl_form=form, beta=0.01)
    trainer, seen = trainer_of(
        scene[0],
        arm=arm,
        kl_form=form,
        entropy_coef=0.01,
        per_device_train_batch_size=P * G // pieces,
        gradient_accumulation_steps=pieces,
    )
    trainer.train()
    assert_same_gradients(ours, seen.seen[0])
    logged = trainer.state.log_history[0]
    assert logged["loss"] == pytest.approx(metrics["loss"], abs=CLOSE)
    assert logged["entropy"] == pytest.approx(metrics["entropy"], abs=CLOSE)
    assert logged["reward"] == pytest.approx(float(scene[2].reward.mean()))
    if arm != "no-kl":
        assert logged["kl"] == pytest.approx(metrics["kl"], abs=CLOSE) and logged["kl"] > 1e-4


def test_phi_may_follow_the_group(scene):
    _, ours = learned(scene, arm="rapo")
    trainer, seen = trainer_of(scene[0], phi_from="group")
    trainer.train()
    group = scene[2].reward.mean(dim=1, keepdim=True).expand(P, G)
    expected = phi_of_reward(group, trainer.args.phi_min).flatten()
    _, phi = advantage_and_phi(scene[2].reward, trainer.args)
    assert phi.tolist() == pytest.approx(expected.tolist())
    shown = list(trainer._logs["advantages"])  # in the table of log_completions
    assert shown == pytest.approx(group_advantages(scene[2].reward).flatten().tolist())
    assert max((ours[n] - seen.seen[0][n]).abs().max() for n in ours) > 1e-5


@pytest.mark.parametrize("phi", ["inverse", "tanh"])
def test_phi_may_be_the_papers(scene, phi):
    _, ours = learned(scene, phi=phi, beta=0.0)
    trainer, seen = trainer_of(scene[0], phi=phi, entropy_coef=0.0)
    trainer.train()
    assert_same_gradients(ours, seen.seen[0])
    for wrong, message in (({"phi_min": 0.5}, "phi_min=0.5"), ({"arm": "grpo"}, f"phi='{phi}'")):
        with pytest.raises(ValueError, match=message):
            RAPOConfig("x", phi=phi, use_cpu=True, bf16=False, **wrong)


@pytest.mark.parametrize("loss_type", ["dapo", "bnpo", "dr_grpo"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_other_loss_types_are_trls(scene, loss_type, pieces, monkeypatch):
    """Against TRL's own loss, where the two objectives are the same: no KL, no entropy.

    A rollout of three micro-batches is learned from in one step, or (pieces 1) in three.
    """
    options = {"arm": "no-kl", "loss_type": loss_type, "gradient_accumulation_steps": pieces}
    options |= {"steps_per_generation": 3, "per_device_train_batch_size": P * G // 3}
    trainer, seen = trainer_of(scene[0], **options)
    torch.manual_seed(0)  # of the order in which TRL cuts the batch up
    trainer.train()
    theirs, as_trl = trainer_of(scene[0], **options)
    monkeypatch.setattr(theirs, "_compute_loss", super(RAPOTrainer, theirs)._compute_loss)
    torch.manual_seed(0)
    theirs.train()
    assert_same_gradients(as_trl.seen[0], seen.seen[0])


def test_several_updates_on_one_rollout(scene, monkeypatch):
    """num_iterations: the second update's rho is not 1, and its gradient is still that of `learn`."""
    folder, run, rolled = scene
    monkeypatch.setattr(run, "settings", replace(run.settings, updates=3))
    monkeypatch.setattr(step_room, "MAX_GRAD_NORM", 1e9)
    before = {n: p.detach().clone() for n, p in run.policy.model.named_parameters()}
    sgd, ours = torch.optim.SGD(run.policy.trainable(), lr=2.0), []

    def keep(*_):
        named = run.policy.model.named_parameters()
        ours.append({n: p.grad.clone() for n, p in named if p.requires_grad})

    sgd.register_step_pre_hook(keep)
    try:
        metrics = step_room.learn(run.policy, sgd, rolled, run.settings).metrics
    finally:
        for name, parameter in run.policy.model.named_parameters():
            parameter.data.copy_(before[name])
    assert metrics["clip_fraction"] > 0, "the policy has moved enough for the clip to take hold"
    trainer, seen = trainer_of(folder, num_iterations=3, max_steps=3, learning_rate=2.0)
    trainer.train()
    assert len(seen.seen) == 3
    for mine, theirs in zip(ours, seen.seen, strict=True):
        assert_same_gradients(mine, theirs, tolerance=5e-5)
    clipped = trainer.state.log_history[2]["clip_ratio/region_mean"]
    assert clipped == pytest.approx(metrics["clip_fraction"], abs=1e-6)


def test_tool_masks_and_vllms_weights_count_as_trl_counts_them(scene):
    """Against TRL's own loss again, on a batch with both."""
    trainer, _ = trainer_of(scene[0], arm="no-kl")
    batch = trainer_inputs(trainer, scene[0])
    generator = torch.Generator().manual_seed(0)
    batch["tool_mask"] = torch.rand(batch["completion_mask"].shape, generator=generator) < 0.8
    batch["tool_mask"] = batch["tool_mask"].long()
    batch["importance_sampling_ratio"] = 2 * torch.rand(P * G, 1, generator=generator)
    batch["old_per_token_logps"] = -torch.rand(batch["tool_mask"].shape, generator=generator)
    trainer.use_vllm, trainer.current_gradient_accumulation_steps = True, 1
    ours = trainer._compute_loss(trainer.model, batch)
    theirs = super(RAPOTrainer, trainer)._compute_loss(trainer.model, batch)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    del batch["tool_mask"]
    assert abs(ours - trainer._compute_loss(trainer.model, batch)) > 1e-4, "the mask must count"


def test_checkpointed_layers_change_no_gradient(scene):
    trainer, kept = trainer_of(scene[0])
    trainer.train()
    trainer, checkpointed = trainer_of(scene[0], gradient_checkpointing=True)
    trainer.train()
    assert trainer.model.base_model.model.is_gradient_checkpointing
    assert_same_gradients(kept.seen[0], checkpointed.seen[0])


def test_over_four_bits_the_adapter_stays_in_float32(scene):
    """TRL makes it bfloat16, in which a step of 1e-5 in a weight of 0.01 is lost."""
    folder = scene[0]
    model, tokenizer = load_base(str(ROOT / "tiny_base"), "nf4")
    plain, _ = trainer_of(folder)
    trainer = RAPOTrainer(
        model,
        args=replace_args(plain.args),
        train_dataset=plain.train_dataset,
        processing_class=tokenizer,
        peft_config=lora_config(4),
        rollout_func=plain.rollout_func,
    )
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    assert trained and all(p.dtype == torch.float32 for p in trained)
    trainer.train()
    assert trainer.state.log_history[0]["grad_norm"] > 0


def test_masked_completions_and_batches_without_tokens(scene):
    """mask_truncated_completions: what was cut off carries no loss, even if nothing else is left."""
    folder = scene[0]
    batch = json.loads((folder / "batch.json").read_text())
    trainer, _ = trainer_of(folder, mask_truncated_completions=True)
    ended = [ids[-1] in trainer.eos_token_ids for ids in batch["completions"]]
    whole = trainer_inputs(trainer, folder)
    assert whole["completion_mask"].any(dim=1).tolist() == ended
    row = ended.index(True)
    cut = {**whole, "completion_mask": whole["completion_mask"].clone()}
    cut["completion_mask"][row] = 0
    trainer.current_gradient_accumulation_steps = 1
    others = [other for other in range(P * G) if other != row]
    part = {k: v[others] if v.dim() else v for k, v in whole.items()}
    rest = trainer._compute_loss(trainer.model, part)
    torch.testing.assert_close(
        trainer._compute_loss(trainer.model, cut), rest * (P * G - 1) / (P * G)
    )
    none = {**whole, "completion_mask": torch.zeros_like(whole["completion_mask"])}
    loss = trainer._compute_loss(trainer.model, none)
    loss.backward()
    gradients = [p.grad for p in trainer.model.parameters() if p.requires_grad]
    assert loss == 0 and all((g == 0).all() for g in gradients if g is not None)


def trainer_inputs(trainer, folder) -> dict:
    """The scene's batch as TRL hands it to the loss."""
    rows = [row for row in trainer.train_dataset for _ in range(G)]
    first, size = trainer.accelerator.process_index, trainer.args.per_device_train_batch_size
    rows = rows[first * size : (first + 1) * size]
    trainer.model.train()
    return trainer._generate_and_score_completions(rows)


def test_without_an_adapter_the_reference_is_trls_reference_model(scene):
    """Full weights: the KL's gradient is that of the policy with an adapter, whose base is frozen."""
    folder, _, _ = scene
    model, tokenizer = load_base(str(ROOT / "tiny_base"), "none")
    merged = with_saved_lora(model, folder / "adapter", "tiny_base").merge_and_unload()
    merged.requires_grad_(True)
    with_adapter, _ = trainer_of(folder, arm="rapo")
    trainer = RAPOTrainer(
        merged,
        args=replace_args(with_adapter.args),
        train_dataset=with_adapter.train_dataset,
        processing_class=tokenizer,
        rollout_func=with_adapter.rollout_func,
    )
    losses = []
    for one in (with_adapter, trainer):
        one.current_gradient_accumulation_steps = 1
        inputs = trainer_inputs(one, folder)
        loss = one._compute_loss(one.model, inputs)
        loss.backward()
        losses.append((loss.item(), one._metrics["train"]["kl"][0]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) and losses[0][1] > 1e-4
    assert trainer.ref_model is not None and with_adapter.ref_model is None
    assert all(p.grad is None for p in trainer.ref_model.parameters())
    assert trainer.model.lm_head.weight.grad.abs().max() > 1e-4
    # Once the heads differ too, each row of logits must come from its own.
    with torch.no_grad():
        trainer.model.lm_head.weight.mul_(1.1)
    terms = trainer.token_terms(trainer.model, inputs, inputs["completion_mask"])
    rows = {
        "input_ids": torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
        "attention_mask": torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
    }
    width, real = inputs["completion_ids"].shape[1], inputs["completion_mask"].bool()
    logits, ref_logits = (
        one(**rows).logits[:, -width - 1 : -1][real] for one in (trainer.model, trainer.ref_model)
    )
    phi = inputs["phi"][:, None].expand(-1, width)[real]
    flattened = {name: getattr(trainer.args, name) for name in ("plausible", "fork_entropy")}
    token = inputs["completion_ids"][real]
    expected = token_terms(logits, ref_logits, token, phi, "rapo", "exact", **flattened)
    torch.testing.assert_close(terms.kl[real], expected.kl, rtol=0, atol=1e-5)


def replace_args(args: RAPOConfig) -> RAPOConfig:
    """The same options in a config of their own."""
    kept = ("output_dir", "max_steps", "num_generations", "per_device_train_batch_size")
    kept += (
        "max_completion_length",
        "use_cpu",
        "bf16",
        "gradient_checkpointing",
        "shuffle_dataset",
        "logging_steps",
    )
    kept += ("beta", "entropy_coef", "kl_form", "phi", "phi_min", "plausible", "fork_entropy")
    return RAPOConfig(**{name: getattr(args, name) for name in kept} | {"report_to": "none"})


# ---------------------------------------------------------------- two processes


FLAGS = "--steps 8 --prompts 4 --group-size 8 --micro-batch 16 --threads 1 --alpha 0.03 --lr 1e-2"


@pytest.fixture(scope="module")
def launched(scene, tmp_path_factory):
    """Both works of the two processes, whose imports are paid once: what was printed, the files."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "word.py").write_text(
        "def said(completion, problem):\n    return float('difference' in completion)\n"
    )
    rewards = ("--reward", "verify=0.5", "--reward", f"{folder / 'word.py'}:said=0.5")
    run = (*FLAGS.split(), *rewards, "--out", str(folder / "run"))
    return launch(str(Path(__file__)), str(scene[0]), *run), folder


def launch(*arguments: str, seconds: int = 600) -> str:
    """`accelerate launch` with the project's configuration of two CPU processes; what it printed."""
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--config_file", str(ROOT / "scale" / "two_cpus.yaml"), "--main_process_port", "0"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def work_of_a_process(folder: Path) -> None:
    """One step of each arm on this process's share of the batch; process 0 writes the gradients."""
    kept = {}
    for arm, form in FORMS:
        trainer, seen = trainer_of(folder, arm=arm, kl_form=form, entropy_coef=0.01)
        trainer.train()
        assert trainer.accelerator.num_processes == 2
        kept[arm, form] = (trainer.state.log_history[0], seen.seen[0])
    kept["sharded"] = sharded_gradients(folder)
    if trainer.accelerator.is_main_process:
        torch.save(kept, folder / "two.pt")


def sharded_gradients(folder: Path) -> dict:
    """rapo's gradients with the weights shared out by accelerate's FSDP2, as scale/fsdp2.yaml asks.

    Through a stand-in for the Accelerator: the real one offers FSDP on GPUs only.
    """
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model

    trainer, _ = trainer_of(folder, entropy_coef=0.01)
    inputs = trainer_inputs(trainer, folder)
    asked = yaml.safe_load((ROOT / "scale" / "fsdp2.yaml").read_text())["fsdp_config"]
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=asked["fsdp_version"],
        auto_wrap_policy=asked["fsdp_auto_wrap_policy"].lower(),
        reshard_after_forward=asked["fsdp_reshard_after_forward"],
        cpu_ram_efficient_loading=asked["fsdp_cpu_ram_efficient_loading"],
    )
    accelerator = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin),
        mixed_precision="no",
        is_main_process=trainer.accelerator.is_main_process,
        device=trainer.accelerator.device,
    )
    model = fsdp2_prepare_model(accelerator, trainer.model)
    assert sum(isinstance(module, FSDPModule) for module in model.modules()) > 2
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(model, inputs).backward()
    named = model.named_parameters()
    return {n: p.grad.full_tensor() for n, p in named if p.requires_grad}


def test_two_processes_make_the_step_of_one(scene, launched):
    """Six rows each: the second group is cut in two, so rewards must meet before A is taken."""
    kept = torch.load(scene[0] / "two.pt", weights_only=False)
    for arm, form in FORMS:
        trainer, seen = trainer_of(scene[0], arm=arm, kl_form=form, entropy_coef=0.01)
        trainer.train()
        logged, gradients = kept[arm, form]
        assert_same_gradients(
            seen.seen[0], {n.removeprefix("module."): g for n, g in gradients.items()}
        )
        for name in ("loss", "reward", "entropy", "kl"):
            if name in logged:
                assert logged[name] == pytest.approx(trainer.state.log_history[0][name], abs=CLOSE)
        if (arm, form) == ("rapo", "exact"):
            assert_same_gradients(seen.seen[0], kept["sharded"])


def test_the_command_on_two_processes_raises_the_reward(launched, capsys):
    """Half of the reward is a word, which is learned in a few steps."""
    printed, folder = launched
    out, word = folder / "run", folder / "word.py"
    assert printed.count("2 processes; run folder") == 1, "the main process speaks for both"
    lines = (out / "metrics.jsonl").read_text().splitlines()
    reward, rates = zip(
        *((x["reward"], x["learning_rate"]) for x in map(json.loads, lines)), strict=True
    )
    settings = resolve(Settings(lr=1e-2))[0]
    assert rates == pytest.approx([learning_rate(settings, step) for step in range(8)])
    assert len(reward) == 8 and sum(reward[-3:]) / 3 > sum(reward[:3]) / 3 + 0.1
    adapter = json.loads((out / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "tiny_base", "no path of this disk"
    comparison = evaluate(Evaluation(str(out), problems=4, n=2, threads=1))
    assert len(comparison.trained) == 4
    assert f"verify=0.5 + {word}:said=0.5, that of the run" in " ".join(
        capsys.readouterr().out.split()
    )


# ---------------------------------------------------------------- one adapter, both paths


def test_an_adapter_of_ours_is_read_and_evaluated_by_trl(scene):
    """Read: the log-probs are those of `learn`. Evaluated: the verifier's reward of held-out puzzles."""
    folder, run, _ = scene
    trainer, _ = trainer_of(folder, eval_strategy="no", per_device_eval_batch_size=P * G)
    ours = {n: p for n, p in run.policy.model.named_parameters() if p.requires_grad}
    theirs = {n: p for n, p in trainer.model.named_parameters() if p.requires_grad}
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)
    trainer.rollout_func = None  # sample
    held_out = load_problems("puzzles", "test", 6, 0, "--data")
    rows = [{"prompt": render_prompt("plain", p), "answer": p.answer} for p in held_out]
    metrics = trainer.evaluate(Dataset.from_list(rows))
    assert 0 <= metrics["eval_reward"] <= 1 and metrics["eval_kl"] > 1e-4


def test_an_adapter_of_trl_is_read_by_ours(scene, tmp_path):
    trainer, _ = trainer_of(scene[0], learning_rate=0.1)
    trainer.train()
    trainer.save_model(str(tmp_path))
    assert not (tmp_path / "ref").exists(), "TRL's copy of the adapter is no part of it"
    settings = replace(scene[1].settings, adapter=str(tmp_path), out=str(tmp_path / "run"))
    run = rapo_mini.Run(settings)
    theirs = {n: p for n, p in trainer.model.named_parameters() if p.requires_grad}
    ours = {n: p for n, p in run.policy.model.named_parameters() if p.requires_grad}
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)
    assert any(
        not torch.equal(ours[n], p)
        for n, p in scene[1].policy.model.named_parameters()
        if n in ours
    )
    rapo_mini.train_step(run)


# ---------------------------------------------------------------- what is refused, and how


REFUSED = {
    "importance_sampling_level": "sequence",
    "delta": 2.0,
    "epsilon_high": 0.28,
    "scale_rewards": "none",
    "multi_objective_aggregation": "normalize_then_sum",
    "top_entropy_quantile": 0.2,
    "use_adaptive_entropy": True,
    "off_policy_mask_threshold": 0.5,
    "use_bias_correction_kl": True,
    "sync_ref_model": True,
    "router_aux_loss_coef": 0.01,
    "top_p": 0.9,
    "top_k": 20,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "vllm_structured_outputs_regex": "a+",
    "disable_dropout": False,
    "use_transformers_continuous_batching": True,
    "loss_type": "cispo",
    "generation_kwargs": {"num_beams": 2},
    "phi_min": 1.5,
    "phi_from": "token",
    "phi": "square",
    "tau_max": 1.5,
    "beta": -0.1,
    "chunk_tokens": 0,
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_option_without_a_meaning_is_refused_by_name(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}") as error:
        RAPOConfig(str(tmp_path), use_cpu=True, bf16=False, **{name: REFUSED[name]})
    assert str(REFUSED[name]).strip("{}'") in str(error.value) or name == "generation_kwargs"


def test_each_fixed_option_exists_in_trl_and_is_tested():
    config = RAPOConfig("x", use_cpu=True, bf16=False)
    for name, (allowed, _) in FIXED.items():
        assert getattr(config, name) in allowed and name in REFUSED


@pytest.mark.parametrize("arm", ARMS)
def test_what_is_left_open_is_what_a_real_base_gets(arm):
    config = RAPOConfig("x", arm=arm, use_cpu=True, bf16=False)
    there, _ = resolve(Settings(model="some/model", arm=arm))
    for name in ("kl_form", "phi", "plausible", "fork_entropy"):
        assert getattr(config, name) == getattr(there, name)
    assert (config.beta, config.entropy_coef) == (there.alpha, there.beta)
    assert config.phi_min == (there.phi_min if there.phi == "linear" else None)


def test_an_arm_without_a_kl_has_no_weight_for_one():
    with pytest.raises(ValueError, match=r"beta=0.1 .*no-kl"):
        RAPOConfig("x", arm="no-kl", beta=0.1, use_cpu=True, bf16=False)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"arm": "max-rl", "beta": 0.1}, "beta=0.1 .*'max-rl'"),
        ({"arm": "pass-at-k", "num_generations": 4}, "num_generations=4"),
        ({"plausible": 1.0}, "plausible=1.0"),
        ({"arm": "grpo", "fork_entropy": 1.0}, "fork_entropy=1.0"),
    ],
)
def test_a_choice_that_the_arm_has_no_place_for_is_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        RAPOConfig("x", **wrong, use_cpu=True, bf16=False)


def test_right_and_wrong_of_pass_at_k_are_rapo_minis():
    config = RAPOConfig("x", arm="pass-at-k", use_cpu=True, bf16=False)
    advantage, _ = advantage_and_phi(torch.tensor([[0.5] + [0.0] * 7]), config)
    assert not advantage.any(), "half a reward is no right answer"


def test_rewards_outside_of_what_phi_is_made_for_and_none(scene):
    config = RAPOConfig("x", use_cpu=True, bf16=False)
    advantage, phi = advantage_and_phi(torch.tensor([[-1.0, 2.0]]), config)
    assert advantage.tolist() == pytest.approx([-1, 1], abs=1e-3)  # any numbers will do
    assert phi.tolist() == pytest.approx([1 / 2.2, 1 / 1.2]), "the paper's, of 0 and of 1"
    nothing = torch.tensor([[float("nan")], [1.0]])
    with pytest.raises(ValueError, match="1 of 2 completions have no reward"):
        total_reward(nothing, torch.ones(1))
    both = total_reward(torch.tensor([[1.0, float("nan")]]), torch.tensor([0.5, 0.5]))
    assert both.tolist() == [0.5]


@pytest.mark.parametrize(
    "flags,message",
    [
        ({"trace": "out"}, "--trace has no meaning"),
        ({"sample_rows": 4}, "--sample-rows has no meaning"),
        ({"refresh_reference": 4}, "--refresh-reference has no meaning"),
        ({"vllm": "colocate", "quant": "nf4"}, "--vllm colocate needs --quant none"),
        ({"model": "nowhere"}, "--model"),
        ({"max_new_tokens": 250}, "--max-new-tokens 250 after a prompt of"),
        ({"data": "aime24"}, "aime24 has no train problems"),
    ],
)
def test_a_flag_that_cannot_be_is_refused(tmp_path, capsys, flags, message):
    given = Options(**({"out": str(tmp_path / "run"), "steps": 1} | flags))
    assert command.main(given) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("limit,processes,size", [(4, 1, 3), (64, 1, 15), (4, 3, 1)])
def test_a_micro_batch_is_the_largest_equal_part_of_a_share(tmp_path, limit, processes, size):
    asked = Options(prompts=3, group_size=5, micro_batch=limit, out=str(tmp_path))
    config = options.config_of(resolve(asked)[0], processes)
    assert config.per_device_train_batch_size == size
    assert config.gradient_accumulation_steps * size * processes == 15


def test_completions_that_cannot_be_shared_out_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert command.main(Options(prompts=3, group_size=5, out=str(tmp_path / "run"))) == 2
    assert "15 completions cannot be shared out among 2 processes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    """Two steps, a third that was logged and then lost: the metrics are those of an undisturbed run."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setattr(options, "SAVE_EVERY", 2)
    small = {"prompts": 2, "group_size": 4, "max_new_tokens": 40, "threads": 1}
    assert command.main(Options(**small, steps=4, out=str(whole))) == 0
    assert command.main(Options(**small, steps=2, out=str(killed))) == 0
    first = (killed / "metrics.jsonl").read_text()
    with (killed / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"step": 2, "reward": 9.0}) + "\n")
    (killed / "checkpoint-3").mkdir()  # not yet whole
    assert command.main(Options(resume=str(killed), steps=4)) == 0
    assert (killed / "metrics.jsonl").read_text().startswith(first), "these steps are not repeated"
    lines = [
        [json.loads(x) for x in (out / "metrics.jsonl").read_text().splitlines()]
        for out in (whole, killed)
    ]
    for ours, theirs in zip(*lines, strict=True):
        for name in ("step", "reward", "loss", "kl", "entropy", "grad_norm", "learning_rate"):
            assert theirs[name] == pytest.approx(ours[name], rel=1e-4, abs=1e-7), (
                ours["step"],
                name,
            )


def test_a_folder_with_a_run_is_not_written_over(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert command.main(Options(out=str(tmp_path))) == 2
    assert "already holds a run" in capsys.readouterr().err


def test_two_commands_do_not_write_into_one_folder(tmp_path, capsys):
    asked = Options(steps=1, prompts=1, group_size=2, micro_batch=2, max_new_tokens=4, threads=1)
    with locked(tmp_path):
        assert command.main(replace(asked, out=str(tmp_path))) == 2
    assert "in use by process" in capsys.readouterr().err
    assert {p.name for p in tmp_path.iterdir()} <= {".lock"}, "nothing was written"
    assert command.main(replace(asked, out=str(tmp_path))) == 0
    with locked(tmp_path):
        assert (tmp_path / "adapter").is_dir(), "the lock is free again"


def test_the_estimate_on_the_page_is_the_programs():
    assert table() in (ROOT / "docs" / "scaling.md").read_text()


def test_without_trl_the_error_says_what_to_install(tmp_path):
    """Importing the room needs no TRL; using it does."""
    (tmp_path / "without.py").write_text(
        "import sys; sys.modules['trl'] = None; from scale import command, options, trainer\n"
        "for use in (lambda: options.RAPOConfig('x'), lambda: trainer.RAPOTrainer('x')):\n"
        "    try: use()\n"
        "    except ImportError as error: print(error)\n"
        "sys.exit(command.main(options.Options()))"
    )
    done = warm.run(tmp_path / "without.py")
    assert done.returncode == 2, done.stderr
    assert done.stdout.count("pip install -r requirements-scale.txt") == 2
    assert "pip install -r requirements-scale.txt" in done.stderr


if __name__ == "__main__":
    work_of_a_process(Path(sys.argv.pop(1)))
    runpy.run_module("scale", run_name="__main__", alter_sys=True)  # python -m scale, FLAGS
