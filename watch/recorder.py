"""What a trace keeps of one update: every number of one prompt's group, token by token.

`step.learn` calls the recorder before each update of a traced step. The recorder looks at the same
completions, cut into the same pieces, by a pass of its own without gradients: its numbers are, to the
bit, the float32 numbers that the gradient came from. It turns them into a record that json can write
and `tracer.py` can show.

Which prompt: the one whose rewards differ most, the first of equals. There the advantages are largest
on both sides; where no group has a right and a wrong completion, it is the step's first prompt.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from machine.limit import Pieces
from objective import clipped_surrogate, completion_weights, ratio, target_row
from policy import Policy
from problems import render_prompt
from settings import Settings
from step import Rollout, Scored, advantage_and_phi, rows_of, score_rows, scored

SETTINGS = (
    "model",
    "arm",
    "kl_form",
    "alpha",
    "beta",
    "phi",
    "tau_max",
    "phi_min",
    "phi_from",
    "plausible",
    "fork_entropy",
    "clip_eps",
    "updates",
)
SETTINGS += ("prompts", "group_size", "temperature", "lr", "seed", "steps")


class Glimpse(NamedTuple):
    """Log-probs at each state of the drawn token and of the likeliest ones.

    N tokens, C = 1 + 5 + 5 candidates: y_t, the five likeliest of pi_theta, the five of pi_ref (ref^
    keeps their order; a candidate may stand there twice).
    """

    candidates: Tensor  # (N, C) token ids
    logp: Tensor  # (N, C) log pi_theta
    ref_logp: Tensor  # (N, C) log pi_ref
    target_logp: Tensor  # (N, C) log ref^, which is pi_ref where the arm does not reweight


class PolicyGlimpse(NamedTuple):
    """A `Glimpse` where there is no reference: C = 1 + 5."""

    candidates: Tensor  # (N, C)
    logp: Tensor  # (N, C)


def glimpse(
    logits: Tensor,
    ref_logits: Tensor | None,
    token: Tensor,
    phi: Tensor,
    arm: str,
    form: str,
    **flattened: float,
) -> Glimpse | PolicyGlimpse:
    """What a trace wants to see of each token's rows; arguments as for `objective.token_terms`."""
    row = torch.log_softmax(logits.float(), dim=-1)  # (N, V)
    if ref_logits is None or form == "none":
        at = candidates(token, row)  # (N, C)
        return PolicyGlimpse(at, row.gather(-1, at))
    ref_row = torch.log_softmax(ref_logits.float(), dim=-1)  # (N, V)
    at = candidates(token, row, ref_row)  # (N, C)
    target = target_row(ref_logits, phi, arm, **flattened)  # (N, V)
    return Glimpse(at, row.gather(-1, at), ref_row.gather(-1, at), target.gather(-1, at))


def candidates(token: Tensor, *rows: Tensor, count: int = 5) -> Tensor:
    """The drawn token, then the `count` likeliest of each row: token (N,), rows (N, V) -> (N, C).

    >>> candidates(torch.tensor([2]), torch.tensor([[0.1, 0.6, 0.3]]).log(), count=2)
    tensor([[2, 1, 2]])
    """
    likeliest = [row.topk(min(count, row.shape[-1])).indices for row in rows]
    return torch.cat([token[:, None], *likeliest], dim=1)  # (N, C)


class Recorder:
    """Records the updates of one step. B = P * G rows; the traced group is G rows of them."""

    def __init__(self, policy: Policy, rolled: Rollout, settings: Settings):
        self.policy, self.rolled, self.settings = policy, rolled, settings
        self.advantage, self.phi = advantage_and_phi(rolled, settings, policy.device)  # (B,), (B,)
        self.prompt = traced_prompt(rolled.reward)
        self.records: list[dict] = []

    @torch.no_grad()
    def __call__(self, update: int, metrics: dict, pieces: Pieces) -> None:
        """Record the update that comes next; `step.learn` calls this with what it has found."""
        self.rows: dict[int, dict] = {}  # row -> its sums, for every row of the step
        self.group: dict[int, dict] = {}  # row -> its tokens' numbers, for the traced group
        for micro_batch in scored(self.policy, self.rolled, self.settings, pieces):
            glimpses = None
            if (micro_batch.rows // self.settings.group_size == self.prompt).any():
                glimpses = score_rows(
                    self.policy,
                    self.rolled,
                    micro_batch.rows,
                    self.phi,
                    self.settings,
                    pieces.chunk_tokens,
                    glimpse,
                )
            self.add(micro_batch, glimpses)
        self.records.append(self.record(update, metrics))

    def add(self, micro_batch: Scored, glimpses: Glimpse | PolicyGlimpse | None) -> None:
        """Keep what a micro-batch says of its rows; glimpses: (b, T, C), if the group has rows here."""
        rows, mask, logp_old, terms, shares, clipped = micro_batch
        tokens, _, _ = rows_of(self.rolled, rows)  # (b, T)
        gain, _ = clipped_surrogate(
            terms.logp, logp_old, self.advantage[rows, None], self.settings.clip_eps
        )  # (b, T), the numbers that are in the shares
        rho = ratio(terms.logp, logp_old)  # (b, T)
        weight = completion_weights(mask, 1).double()  # (b, T) sums to 1 in each row
        sums = {"surrogate": gain, "kl": terms.kl, "entropy": terms.entropy}
        columns = {"logp": terms.logp, "logp_old": logp_old, "ratio": rho, "surrogate": gain}
        columns |= {"kl": terms.kl, "entropy": terms.entropy, "share": shares}
        for place, row in enumerate(rows.tolist()):
            length = int(mask[place].sum())
            means = {name: float((weight[place] * x[place]).sum()) for name, x in sums.items()}
            self.rows[row] = {"share": float(shares[place].double().sum())} | means
            if row // self.settings.group_size != self.prompt:
                continue
            self.group[row] = {
                "token": tokens[place, :length].tolist(),
                **{name: exact(x[place, :length]) for name, x in columns.items()},
                "clipped": clipped[place, :length].long().tolist(),
                **distributions(*(field[place, :length] for field in glimpses)),
            }

    def record(self, update: int, metrics: dict) -> dict:
        """The record of this update, in types that json knows.

        metrics: at least the update's loss, kl and entropy.
        """
        rolled, settings = self.rolled, self.settings
        problem, group = rolled.problems[self.prompt], settings.group_size
        reward = rolled.reward[self.prompt]  # (G,)
        completions = [self.completion(row) for row in sorted(self.group)]
        columns = [c["columns"] for c in completions]
        used = {t for c in columns for likely in [c["token"], *c["likely"]] for t in likely}
        return {
            "update": update,
            "settings": {name: getattr(settings, name) for name in SETTINGS},
            "metrics": metrics,
            "problems": [p.problem for p in rolled.problems],
            "rows": {
                "reward": rolled.reward.flatten().tolist(),
                **{
                    name: [self.rows[row][name] for row in sorted(self.rows)]
                    for name in ("share", "surrogate", "kl", "entropy")
                },
            },
            "prompt": {
                "index": self.prompt,
                "text": render_prompt(settings.prompt_template, problem),
                "problem": problem.problem,
                "answer": problem.answer,
                "first_row": self.prompt * group,
            },
            "reward_mean": float(reward.mean()),
            "reward_std": float(reward.std(correction=0)),
            "completions": completions,
            "vocabulary": {str(t): token_text(self.policy.tokenizer, t) for t in sorted(used)},
            "end_ids": self.policy.end_ids,
        }

    def completion(self, row: int) -> dict:
        """One completion of the traced group: what was sampled, its verdict, its tokens' numbers."""
        verdict = self.rolled.verdicts[row]
        return {
            "text": self.rolled.texts[row],
            "reward": verdict.reward,
            "reason": verdict.reason,
            "answer": verdict.answer,
            "ended": bool(self.rolled.completions.ended[row]),
            "advantage": exact(self.advantage[row, None])[0],
            "phi": exact(self.phi[row, None])[0],
            **self.rows[row],  # its share of the loss, and the means over its tokens
            "columns": self.group[row],  # one number a token in each
        }


def traced_prompt(reward: Tensor) -> int:
    """The prompt whose rewards differ most, the first of equals. reward (P, G).

    >>> import torch
    >>> traced_prompt(torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]))
    1
    """
    spread = reward.std(dim=1, correction=0).tolist()  # P numbers
    return max(range(len(spread)), key=lambda p: (spread[p], -p))


def distributions(
    candidates: Tensor,
    logp: Tensor,
    ref_logp: Tensor | None = None,
    target_logp: Tensor | None = None,
) -> dict:
    """The columns of one completion that come from a Glimpse; candidates and the others (T, C).

    "likely" holds the likeliest tokens at each place, each once, by falling pi_theta, and "p_policy",
    "p_ref", "p_target" their probabilities, to six digits for drawing; the log-probs of the drawn
    token stand apart and exact. Without a reference the last four are None.
    """
    rows = {"p_policy": logp, "p_ref": ref_logp, "p_target": target_logp}
    order = logp.argsort(dim=1, descending=True, stable=True)  # (T, C)
    ids = candidates.gather(1, order).tolist()
    kept = [[c for c, t in enumerate(row) if t not in row[:c]] for row in ids]
    out: dict = {"likely": [[row[c] for c in keep] for row, keep in zip(ids, kept, strict=True)]}
    for name, row in rows.items():
        if row is None:
            out[name] = None
            continue
        p = row.gather(1, order).exp().tolist()
        out[name] = [
            [float(f"{at[c]:.6g}") for c in keep] for at, keep in zip(p, kept, strict=True)
        ]
    out["logp_ref"] = None if ref_logp is None else exact(ref_logp[:, 0])
    out["logp_target"] = None if target_logp is None else exact(target_logp[:, 0])
    return out


def exact(numbers: Tensor) -> list[float]:
    """Float32 numbers (n,) as the shortest decimals that give them back.

    >>> import torch
    >>> exact(torch.tensor([0.1, -2.0]))
    [0.1, -2.0]
    """
    return [float(str(x)) for x in numbers.float().cpu().numpy()]


# ---------------------------------------------------------------- tokens as text


def token_text(tokenizer, token: int) -> str:
    """What one token adds to a text.

    A token of the byte-level kind may hold only part of a character: then its bytes, as <E282>. An id
    past the vocabulary, which a model with padded embeddings can draw, is shown as <id:151900>.
    """
    piece = tokenizer.convert_ids_to_tokens(token)
    if piece is None:
        return f"<id:{token}>"
    text = tokenizer.decode([token])
    if "\ufffd" not in text or any(c not in BYTE_OF for c in piece):
        return text or piece
    return "<" + "".join(f"{BYTE_OF[c]:02X}" for c in piece) + ">"


def _byte_of() -> dict[str, int]:
    """The byte behind each character of a byte-level vocabulary (GPT-2's table, which Qwen uses)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    return {chr(b): b for b in shown} | {chr(256 + n): b for n, b in enumerate(hidden)}


BYTE_OF = _byte_of()
