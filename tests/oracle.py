"""The enumerated truth that `objective.py` is held against, in the tests and in notebook 03.

A toy policy whose completions can all be listed: V = 5 tokens, T = 3 steps, a table of logits for each
of the 1 + 5 + 25 states. Whatever an estimator promises as a mean over samples is here a finite sum
over all 125 completions, and its gradient is taken by autograd on that sum.
"""

from __future__ import annotations

import itertools

import torch

V, T = 5, 3
COMPLETIONS = list(itertools.product(range(V), repeat=T))


class Oracle:
    """Two tabular policies over the same states, in float64."""

    def __init__(self, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        states = [prefix for n in range(T) for prefix in itertools.product(range(V), repeat=n)]
        self.index = {prefix: i for i, prefix in enumerate(states)}
        shape = len(states), V
        self.theta = torch.randn(
            shape, generator=generator, dtype=torch.float64, requires_grad=True
        )
        self.ref_logp = torch.randn(shape, generator=generator, dtype=torch.float64).log_softmax(-1)
        # the states each completion passes through, and the tokens it takes there
        self.state = torch.tensor([[self.index[y[:t]] for t in range(T)] for y in COMPLETIONS])
        self.token = torch.tensor(COMPLETIONS)  # (125, T)

    def logp(self):
        return self.theta.log_softmax(-1)  # (states, V)

    def probability(self):
        """Of each completion under the policy, without gradient: y ~ pi_old = pi_theta."""
        logp = self.logp().detach()
        return logp[self.state, self.token].sum(dim=1).exp()  # (125,)

    def visits(self):
        """How often the policy is at each state, without gradient: (states,)."""
        visits = torch.zeros(len(self.theta), dtype=torch.float64)
        for t in range(T):
            visits.index_add_(0, self.state[:, t], self.probability())
        return visits

    def expected_gradient(self, estimator, ref_logp):
        """E_y[ sum_t grad k(log pi(y_t|s_t), log ref(y_t|s_t)) ], by summing over all completions."""
        k = estimator(self.logp()[self.state, self.token], ref_logp[self.state, self.token])
        loss = (self.probability()[:, None] * k).sum()
        return loss.detach(), torch.autograd.grad(loss, self.theta)[0]

    def gradient_at_visited_states(self, divergence):
        """The gradient of sum_s visits(s) * divergence(s): what a per-state KL is as a loss."""
        loss = (self.visits() * divergence).sum()
        return loss.detach(), torch.autograd.grad(loss, self.theta)[0]
