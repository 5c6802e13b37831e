"""What a trace keeps of one update: every number of one prompt's group, token by token.

`step.backward` hands its tensors over as it uses them, micro-batch by micro-batch; `Recorder` copies
the rows of one prompt's group out of them and turns them into plain numbers, a record that json can
write and `watch/watch/tracer.py` can show. Nothing is computed another way than in the step: a record's numbers
are the float32 numbers that the gradient came from.

Which prompt: the one whose rewards differ most, the first of equals. There the advantages are largest
on both sides; where no group has a right and a wrong completion, it is the step's first prompt.

All of this is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from objective import Glimpse, TokenTerms, clipped_surrogate, completion_weights, ratio
from policy import Policy
from problems import render_prompt
from settings import Settings

if TYPE_CHECKING:
    from step import Rollout

SETTINGS = (
    "model",
    "arm",
    "kl_form",
    "alpha",
    "beta",
    "phi_min",
    "phi_from",
    "clip_eps",
    "updates",
)
SETTINGS += ("prompts", "group_size", "temperature", "lr", "seed", "steps")


class Recorder:
    """Collects one update of one step. B = P * G rows; the traced group is G rows of them."""

    def __init__(
        self, policy: Policy, rolled: Rollout, advantage: Tensor, phi: Tensor, settings: Settings
    ):
        """advantage, phi (B,), as the step uses them."""
        self.policy, self.rolled, self.settings = policy, rolled, settings
        self.advantage, self.phi = advantage, phi
        self.prompt = traced_prompt(rolled.reward)
        self.rows: dict[int, dict] = {}  # row -> its sums, for every row of the step
        self.group: dict[int, dict] = {}  # row -> its tokens' numbers, for the traced group

    def wants(self, part: Tensor) -> bool:
        """Whether a micro-batch of these rows (b,) holds any of the traced group."""
        return bool((part // self.settings.group_size == self.prompt).any())

    def add(
        self,
        part: Tensor,
        terms: TokenTerms,
        glimpses: list[Glimpse] | None,
        shares: Tensor,
        clipped: Tensor,
    ) -> None:
        """What the step made of the rows `part` (b,); terms, shares, clipped (b, T)."""
        terms = TokenTerms(*(field.detach() for field in terms))
        shares, width = shares.detach(), shares.shape[1]
        done = self.rolled.completions
        tokens, mask, logp_old = (x[part, :width] for x in done[:3])  # (b, T)
        gain, _ = clipped_surrogate(
            terms.logp, logp_old, self.advantage[part, None], self.settings.clip_eps
        )  # (b, T), the numbers that are in the shares
        rho = ratio(terms.logp, logp_old)  # (b, T)
        weight = completion_weights(mask, 1).double()  # (b, T) sums to 1 in each row
        sums = {"surrogate": gain, "kl": terms.kl, "entropy": terms.entropy}
        columns = {"logp": terms.logp, "logp_old": logp_old, "ratio": rho, "surrogate": gain}
        columns |= {"kl": terms.kl, "entropy": terms.entropy, "share": shares}
        for place, row in enumerate(part.tolist()):
            length = int(mask[place].sum())
            means = {name: float((weight[place] * x[place]).sum()) for name, x in sums.items()}
            self.rows[row] = {"share": float(shares[place].double().sum())} | means
            if row // self.settings.group_size != self.prompt:
                continue
            likely = [x if x is None else x[place, :length] for x in glimpses[0]]  # (length, C)
            self.group[row] = {
                "token": tokens[place, :length].tolist(),
                **{name: exact(x[place, :length]) for name, x in columns.items()},
                "clipped": clipped[place, :length].long().tolist(),
                **distributions(*likely),
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
    candidates: Tensor, logp: Tensor, ref_logp: Tensor | None, target_logp: Tensor | None
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
