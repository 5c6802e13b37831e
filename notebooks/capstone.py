"""What notebook 08 gives to the student's own step: rows of log-probs, fixed groups, and a run around it.

The step itself is the student's (`my_step`); `our_step` is ours, from the library's functions that stand
behind the four of 04, and stands in where theirs does not pass its check yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from machine.limit import pieces_of
from objective import clipped_surrogate, entropy, exact_forward_kl, group_advantages, reweight
from policy import Policy, completion_states, encode_prompts, load_policy, reference_weights
from problems import Problem, puzzles
from sampler import Completions
from settings import BUNDLED_BASE, Settings, resolve
from step import MAX_GRAD_NORM, Rollout, make_optimizer, rollout
from verifier import verify

Step = Callable[[Policy, torch.optim.Optimizer, Rollout, Settings], float]

GROUPS = {  # two groups whose rewards are 1 0 0 0 and 1 1 0 0
    Problem("What comes next: 2, 5, 8, 11?", "14"): (
        r"common difference 11-8=3, 11+3=14. \boxed{14}",
        r"growing difference 3, 3, 3, 11+3=15. \boxed{15}",
        r"cycle of three back to 5. \boxed{5}",
        r"sum of two 8+11=19. \boxed{19}",
    ),
    Problem("What comes next: 7, 28, 112, 448?", "1792"): (
        r"common ratio 448 is 4*112, 4*448=1792. \boxed{1792}",
        r"common ratio 448 is 4*112, 4*448=1792. \boxed{1792}",
        r"alternating step 112-28=84, 448+84=532. \boxed{532}",
        r"common difference 448-112=336, 448+336=784. \boxed{784}",
    ),
}


def log_prob_rows(model: nn.Module, rolled: Rollout) -> Tensor:
    """log pi(. | s_t) at every token of every completion: (B, T, V); zeros where there is padding.

    model: `policy.model`, or what `reference_weights(policy)` yields.
    """
    done = rolled.completions
    prompt = torch.arange(len(done.mask)) // rolled.reward.shape[1]  # (B,) the prompt of each row
    states = completion_states(
        model, rolled.prompt_ids[prompt], rolled.prompt_mask[prompt], done.tokens, done.mask
    )  # (N, d)
    rows = torch.log_softmax(model.get_output_embeddings()(states), dim=-1)  # (N, V)
    real = done.mask.bool()[..., None]  # (B, T, 1)
    return torch.zeros(*done.mask.shape, rows.shape[1]).masked_scatter(real, rows)


def settings_of(**given) -> Settings:
    """Settings of a small run whose reference is flattened everywhere alike, as in 04."""
    small = Settings(
        model=str(BUNDLED_BASE),
        prompts=2,
        group_size=4,
        plausible=0.0,
        fork_entropy=0.0,
        phi_min=0.7,
        threads=1,
    )
    return resolve(replace(small, **given))[0]


def fixed_groups(policy: Policy, settings: Settings) -> Rollout:
    """GROUPS as a step would have sampled them: their log-probs are the policy's."""
    end = policy.tokenizer.eos_token_id
    texts = [text for some in GROUPS.values() for text in some]
    golds = [problem.answer for problem, some in GROUPS.items() for _ in some]
    encoded = [[*policy.tokenizer.encode(text), end] for text in texts]
    tokens = torch.full((len(texts), max(map(len, encoded))), policy.pad_id)  # (B, T)
    mask = torch.zeros_like(tokens)  # (B, T)
    for i, row in enumerate(encoded):
        tokens[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
    verdicts = [verify(text, gold) for text, gold in zip(texts, golds, strict=True)]
    reward = torch.tensor([v.reward for v in verdicts]).view(len(GROUPS), -1)  # (P, G)
    prompts = encode_prompts(policy, [problem.problem + "\n" for problem in GROUPS])
    drawn = Completions(tokens, mask, torch.zeros(mask.shape), torch.ones(len(texts)).bool())
    spent = {"sample": 0.0, "verify": 0.0}
    rolled = Rollout(
        list(GROUPS), *prompts, drawn, texts, verdicts, reward, pieces_of(settings), spent
    )
    with torch.no_grad():
        rows = log_prob_rows(policy.model, rolled)  # (B, T, V)
    logp = rows.gather(-1, tokens[..., None])[..., 0] * mask  # (B, T)
    return replace(rolled, completions=drawn._replace(logp=logp))


def our_step(
    policy: Policy, optimizer: torch.optim.Optimizer, rolled: Rollout, settings: Settings
) -> float:
    """One RAPO update on the groups, in the library's names; gives back the loss -J before it."""
    tokens, mask, old, _ = rolled.completions  # (B, T) each
    advantage = group_advantages(rolled.reward).flatten()[:, None]  # (B, 1)
    phi = settings.phi_min + (1 - settings.phi_min) * rolled.reward.flatten()  # (B,)
    with reference_weights(policy) as model:
        target = reweight(log_prob_rows(model, rolled), phi[:, None, None])  # (B, T, V)
    rows = log_prob_rows(policy.model, rolled)  # (B, T, V)
    logp = rows.gather(-1, tokens[..., None])[..., 0]  # (B, T)
    gain, _ = clipped_surrogate(logp * mask, old * mask, advantage, settings.clip_eps)  # (B, T)
    price = settings.alpha * exact_forward_kl(rows, target) - settings.beta * entropy(rows)
    loss = -(((gain - price) * mask).sum(dim=1) / mask.sum(dim=1)).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.trainable(), MAX_GRAD_NORM)
    optimizer.step()
    return loss.item()


def train_with(step: Step, settings: Settings) -> list[float]:
    """A run with this step: the mean reward at each of `settings.steps` steps."""
    policy = load_policy(str(BUNDLED_BASE), seed=settings.seed)
    optimizer = make_optimizer(policy, settings)
    problems = puzzles("train", settings.steps * settings.prompts, settings.seed)
    rewards = []
    for number in range(settings.steps):
        some = problems[number * settings.prompts : (number + 1) * settings.prompts]
        rolled = rollout(policy, some, settings, number)
        step(policy, optimizer, rolled, settings)
        rewards.append(float(rolled.reward.mean()))
    return rewards
