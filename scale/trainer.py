"""RAPO inside TRL's GRPOTrainer, for when one GPU is not enough: `RAPOTrainer`.

`step.py` is this project's loop, for one device. Here the loop, the sampling and the engines (accelerate
with DDP, FSDP2 or ZeRO-2, vLLM) are TRL's, and the objective is ours:

    TRL                                        here
    rewards of all processes        ->         A_i and phi_i, by group           objective.py
    a micro-batch of completions    ->         log pi, H, KL of each token       policy.terms_in_chunks
                                               g - alpha KL + beta H             objective.token_objective
    masks, accumulation, loss_type  ->         what each token weighs in -J

The reference is the same model with the adapter off, or TRL's reference model where there is no adapter.
alpha and beta of the paper are TRL's `beta` and `entropy_coef`: a config keeps TRL's names.

Needs `pip install -r requirements-scale.txt`; importing this room does not. How it scales, and what was
run: docs/scaling.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import MappingProxyType, MethodType

import torch
from torch import Tensor, nn

from objective import (
    TokenTerms,
    advantage_and_phi,
    completion_weights,
    token_objective,
    token_terms,
    weigh_kl,
)
from policy import terms_in_chunks, to_rows
from scale.options import GRPOTrainer, RAPOConfig, need_trl
from verifier import verify

# ---------------------------------------------------------------- reward, advantage, phi


def verifier_reward(completions: list, answer: list[str], **_columns) -> list[float]:
    """r of each completion, as TRL calls a reward function; `answer` is the data's column of golds.

    >>> verifier_reward(["So it is \\\\boxed{14}.", "perhaps 14"], answer=["14", "14"])
    [1.0, 0.0]
    """
    texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
    return [verify(text, gold).reward for text, gold in zip(texts, answer, strict=True)]


def total_reward(per_function: Tensor, weights: Tensor) -> Tensor:
    """The reward r of each completion: the weighted sum over reward functions [TRL].

    per_function (B, functions), nan where a function did not grade; weights (functions,) -> (B,).
    Raises ValueError for a completion that no function graded.
    """
    if (lost := per_function.isnan().all(dim=1)).any():
        raise ValueError(
            f"{int(lost.sum())} of {len(lost)} completions have no reward: each needs one, since phi "
            "follows it. Let a reward function return 0.0 in the place of None"
        )
    return (per_function * weights.to(per_function.device)).nansum(dim=1)


# ---------------------------------------------------------------- scoring


def add_scoring(model: nn.Module) -> None:
    """Teach a causal language model `model(..., score=f)`: f(last hidden states, head), not logits.

    So the whole score happens inside the model's own forward pass, where DDP counts gradients and FSDP
    has gathered the weights.
    """
    forward = model.forward

    @functools.wraps(type(model).forward)  # `generate` checks its options against the signature
    def scoring(self, *args, score=None, labels=None, **options):
        if score is None:
            return forward(*args, labels=labels, **options)
        body = self.base_model  # the transformer without its head
        hidden = body(
            *args, **(options | {"use_cache": False})
        ).last_hidden_state  # (b, L+T, hidden)
        return score(hidden, self.get_output_embeddings())

    model.forward = MethodType(scoring, model)


PAPER = "Unlocking Reasoning Capabilities in LLMs via Reinforcement Learning Exploration"


class RAPOTrainer(GRPOTrainer):
    """TRL's GRPOTrainer with the objective of `objective.py`; arguments as there, and a RAPOConfig.

    Without `reward_funcs` the verifier rewards, and the data needs the columns prompt and answer.
    rate: update, from 0 -> share of args.learning_rate, in the place of TRL's schedule.
    Raises ValueError for a model that the objective cannot score, ImportError without TRL.
    """

    _tag_names = ("trl", "rapo")
    _name = "RAPO"
    _paper = MappingProxyType({"title": PAPER, "id": "2510.03865", "citation": ""})  # model card

    def __init__(
        self,
        model,
        reward_funcs=None,
        args: RAPOConfig | None = None,
        *,
        rate: Callable[[int], float] | None = None,
        **others,
    ):
        need_trl()
        if not isinstance(args, RAPOConfig):
            raise ValueError(f"RAPOTrainer needs args=RAPOConfig(...), got {type(args).__name__}")
        self.rate = rate
        super().__init__(model, reward_funcs or verifier_reward, args, **others)
        # TRL's own KL, of the sampled tokens alone, costs a pass and is not used: its weight is 0.
        self.alpha, self.beta = self.beta, 0.0
        self.kl_form = args.kl_form if self.alpha else "none"
        self.has_adapter = hasattr(self.model, "peft_config")
        check_model(self)
        if self.has_adapter and "ref" in self.model.peft_config:
            self.model.delete_adapter("ref")  # TRL's copy of a given adapter; pi_ref is the base
        add_scoring(self.model.get_base_model() if self.has_adapter else self.model)
        if self.ref_model is not None:
            add_scoring(self.ref_model)
        if self.has_adapter:  # over 4 bits TRL makes it bfloat16: no place for 1e-5 beside 0.01
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.float()

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        """TRL's schedule of the learning rate, or that of `rate`."""
        if self.rate is None or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        optimizer = self.optimizer if optimizer is None else optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)
        return self.lr_scheduler

    # -- the rollout: TRL's, with our weights

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        """TRL's rewards of all processes (B, functions), kept for `_generate_and_score_completions`."""
        self.rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        return self.rewards

    def _generate_and_score_completions(self, inputs: list) -> dict:
        """TRL's batch of this process, with the objective's A and phi; each (B of this process,)."""
        batch = super()._generate_and_score_completions(inputs)
        group = self.num_generations if self.model.training else self.num_generations_eval
        reward = total_reward(self.rewards, self.reward_weights).view(-1, group)  # (P, G)
        advantage, phi = advantage_and_phi(reward, self.args)  # (B,) of all processes
        shown = self._logs["advantages"]  # of log_completions
        for _ in range(min(len(shown), len(advantage))):
            shown.pop()
        shown.extend(advantage.tolist())
        first = self.accelerator.process_index * len(inputs)
        mine = slice(first, first + len(inputs))
        return batch | {"advantages": advantage[mine], "phi": phi[mine]}

    # -- the loss

    def _compute_loss(self, model: nn.Module, inputs: dict) -> Tensor:
        """This micro-batch's part of -J, and its metrics."""
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)  # (b, T)
        terms = self.token_terms(model, inputs, mask)  # (b, T)
        logp_old = inputs.get("old_per_token_logps", terms.logp.detach())  # (b, T)
        terms = weigh_kl(terms, logp_old, self.args.arm)  # (b, T)
        # With vLLM, TRL weighs g by pi_trainer / pi_sampler, which is >= 0: the same as weighing A.
        advantage = inputs["advantages"][:, None] * inputs.get("importance_sampling_ratio", 1)
        objective, clipped = token_objective(
            terms,
            logp_old,
            advantage,
            alpha=self.alpha,
            beta=self.entropy_coef,
            clip_eps=self.epsilon_low,
        )  # (b, T)
        self.log_terms(terms, clipped, mask)
        return -(objective * self.token_weights(inputs, mask)).sum()

    def token_terms(self, model: nn.Module, inputs: dict, mask: Tensor) -> TokenTerms:
        """The TokenTerms of TRL's batch, with gradients: fields of (b, T), 0 where mask is 0."""
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)  # (b, L + T)
        attended = torch.cat(
            [inputs["prompt_mask"], inputs["completion_mask"]], dim=1
        )  # (b, L + T)
        batch = {"input_ids": ids, "attention_mask": attended}
        real = mask.bool()  # (b, T)
        token = inputs["completion_ids"][real]  # (N,)
        phi = inputs["phi"][:, None].expand_as(mask)[real]  # (N,)

        def states(hidden: Tensor) -> Tensor:  # (b, L + T, hidden) -> (N, hidden)
            return hidden[:, -mask.shape[1] - 1 : -1][real]  # one place before each token

        def terms(hidden: Tensor, head: nn.Module) -> TokenTerms:
            at = None if ref_state is None else (ref_head or head, ref_state)
            return terms_in_chunks(
                (head, states(hidden)),
                at,
                token,
                phi,
                arm=self.args.arm,
                form=self.kl_form,
                temperature=self.temperature,
                chunk_tokens=self.args.chunk_tokens,
                terms=functools.partial(
                    token_terms,
                    plausible=self.args.plausible,
                    fork_entropy=self.args.fork_entropy,
                ),
            )

        ref_state = ref_head = None
        with self.accelerator.autocast():
            if self.kl_form != "none":
                with self.reference() as reference:
                    ref_state = reference(**batch, score=lambda hidden, _: states(hidden))
            if self.ref_model is not None:
                ref_head = self.ref_model.get_output_embeddings()
            return to_rows(model(**batch, score=terms), real)

    @contextmanager
    def reference(self) -> Iterator[nn.Module]:
        """pi_ref, without gradients: the model with its adapter off, or TRL's reference model."""
        with torch.no_grad(), ExitStack() as stack:
            if self.has_adapter:
                stack.enter_context(self.accelerator.unwrap_model(self.model).disable_adapter())
            yield self.model if self.has_adapter else self.ref_model

    def token_weights(self, inputs: dict, mask: Tensor) -> Tensor:
        """What each token weighs in the loss, by loss_type: mask (b, T) -> (b, T).

        Summed over a step's micro-batches and averaged over processes, as accelerate averages
        gradients, grpo's weights are the objective's, dapo's 1 / all tokens of the step. bnpo's
        depend on how the step is cut up; dr_grpo's have no length in them.
        """
        training = self.model.training
        pieces = self.current_gradient_accumulation_steps if training else 1
        if self.loss_type == "grpo":
            return completion_weights(mask, len(mask) * pieces)
        if self.loss_type == "bnpo":
            return mask / mask.sum().clamp_min(1) / pieces
        if self.loss_type == "dr_grpo":
            return mask / (len(mask) * pieces * self.max_completion_length)
        tokens = inputs["num_items_in_batch"].clamp_min(1) / self.accelerator.num_processes
        if training:  # counted over a rollout, which may be several steps
            tokens = tokens * pieces / self.args.steps_per_generation
        return mask / tokens

    def log_terms(self, terms: TokenTerms, clipped: Tensor, mask: Tensor) -> None:
        """Note KL, entropy (nats) and the clipped share, averaged as in the objective."""
        weights = completion_weights(mask, len(mask))  # (b, T)
        means = [(weights * x.detach()).sum() for x in (terms.kl, terms.entropy, clipped)]
        kl, entropy, clip = self.accelerator.reduce(torch.stack(means), reduction="mean").tolist()
        noted = self._metrics["train" if self.model.training else "eval"]
        if self.kl_form != "none":
            noted["kl"].append(kl)
        noted["entropy"].append(entropy)
        noted["clip_ratio/region_mean"].append(clip)


def check_model(trainer: RAPOTrainer) -> None:
    """Raise ValueError for a model or an engine that cannot be scored as the objective needs it."""
    text = trainer.model.config.get_text_config()
    scaled = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
    if found := [name for name in scaled if getattr(text, name, None) not in (None, 1.0)]:
        raise ValueError(
            f"{found[0]}={getattr(text, found[0])}: logits that are changed after the head are not "
            "scored here. Take a model whose head ends it, such as Qwen2.5 or Llama"
        )
    if trainer._is_vlm or trainer.aux_loss_enabled:
        kind = "images" if trainer._is_vlm else "mixture-of-experts"
        raise ValueError(f"models with {kind} are not scored here: take a dense text model")
    plugin = trainer.args.deepspeed_plugin
    if plugin is not None and plugin.zero_stage == 3:
        raise ValueError("ZeRO stage 3 takes the head apart: use scale/zero2.yaml or fsdp2.yaml")
    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if trainer.ref_model is not None and sharded:
        raise ValueError(
            "a reference model beside the policy is not supported under FSDP or DeepSpeed: train an "
            "adapter (peft_config), whose reference is the same model, or use DDP"
        )
