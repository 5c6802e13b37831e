"""What a trace keeps of one update: every number of one prompt's group, token by token.

`step.learn` calls the recorder before each update of a traced step. The recorder looks at the same
completions, cut into the same pieces, by a pass of its own without gradients: its numbers are, to the
bit, the float32 numbers that the gradient came from. After the update it looks once more: what became
of the log-probs is what the step did. It turns all of it into a record that json can write and
`tracer.py` can show; docs/trace.md lists the fields.

Which prompt: the one whose rewards differ most, the first of equals. There the advantages are largest
on both sides; where no group has a right and a wrong completion, it is the step's first prompt.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from machine.limit import Pieces
from objective import advantage_and_phi, clipped_surrogate, completion_weights, ratio
from policy import Policy
from problems import render_prompt
from settings import Settings
from step import Rollout, Scored, rows_of, score_rows, scored, settings_at
from watch.glimpse import Glimpse, PolicyGlimpse, glimpse, log_probs_at

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
CANDIDATE_TOKENS = 4096  # of a group at most; a completion's later tokens have no candidates
TEXT_LIMIT = 400  # characters of each attempt of the groups that are not traced


class Recorder:
    """Records the updates of one step. B = P * G rows; the traced group is G rows of them."""

    def __init__(self, policy: Policy, rolled: Rollout, settings: Settings):
        self.policy, self.rolled, self.settings = policy, rolled, settings
        reward = rolled.reward.to(policy.device)  # (P, G)
        self.advantage, self.phi = advantage_and_phi(
            reward, settings, settings.right_at
        )  # (B,), (B,)
        self.prompt = traced_prompt(rolled.reward)
        self.records: list[dict] = []

    @torch.no_grad()
    def __call__(self, update: int, metrics: dict, pieces: Pieces) -> None:
        """Record the update that comes next; `step.learn` calls this with what it has found."""
        self.look_again()  # at what the update before this one did
        self.pieces, asked = pieces, settings_at(update, self.policy, self.settings)
        self.clip_eps = asked.clip_eps
        self.rows: dict[int, dict] = {}  # row -> its sums, for every row of the step
        self.group: dict[int, dict] = {}  # row -> its tokens' numbers, for the traced group
        for micro_batch in scored(self.policy, self.rolled, asked, pieces):
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

    def finish(self) -> list[dict]:
        """The records, one an update, after a last look at what the step has made of the policy."""
        self.look_again()
        return self.records

    @torch.no_grad()
    def look_again(self) -> None:
        """Add to the last record the log-probs of the same tokens under the policy as it is now."""
        if not self.records:
            return
        unreferenced = replace(self.settings, kl_form="none")  # pi_ref is as it was
        for rows in torch.tensor(sorted(self.group)).split(self.pieces.micro_batch):  # (b,)
            wanted = [at for row in rows.tolist() for at in places(self.group[row])]  # N lists
            width = max(map(len, wanted))
            wanted = [at + at[:1] * (width - len(at)) for at in wanted]  # C = width in all
            found = score_rows(
                self.policy,
                self.rolled,
                rows,
                self.phi,
                unreferenced,
                self.pieces.chunk_tokens,
                log_probs_at(torch.tensor(wanted, device=self.policy.device)),
            )  # (b, T, C)
            for place, row in enumerate(rows.tolist()):
                columns = self.group[row]
                logp = found.logp[place, : len(columns["token"])]  # (t, C)
                columns["logp_after"] = exact(logp[:, 0])
                columns["p_after"] = [
                    rounded(p[1 : 1 + len(at)])
                    for p, at in zip(logp.exp().tolist(), columns["likely"], strict=False)
                ]

    def add(self, micro_batch: Scored, glimpses: Glimpse | PolicyGlimpse | None) -> None:
        """Keep what a micro-batch says of its rows; glimpses: (b, T, C), if the group has rows here."""
        rows, mask, logp_old, terms, shares, clipped = micro_batch
        tokens, _, _ = rows_of(self.rolled, rows)  # (b, T)
        gain, _ = clipped_surrogate(
            terms.logp, logp_old, self.advantage[rows, None], self.clip_eps
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
                **distributions(
                    *(field[place, :length] for field in glimpses),
                    kept=CANDIDATE_TOKENS // self.settings.group_size,
                ),
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
            "answers": [p.answer for p in rolled.problems],
            "attempts": [
                {"text": shortened(text, TEXT_LIMIT), "reason": verdict.reason}
                for text, verdict in zip(rolled.texts, rolled.verdicts, strict=True)
            ],
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


def places(columns: dict) -> list[list[int]]:
    """Of each token of a completion: itself, then its candidates, if they were kept."""
    likely = columns["likely"]
    rest = [[]] * (len(columns["token"]) - len(likely))
    return [[token, *at] for token, at in zip(columns["token"], likely + rest, strict=True)]


def distributions(
    candidates: Tensor,
    logp: Tensor,
    ref_logp: Tensor | None = None,
    target_logp: Tensor | None = None,
    ref_entropy: Tensor | None = None,
    log_z: Tensor | None = None,
    *,
    kept: int,
) -> dict:
    """The columns of one completion that come from a Glimpse; candidates and the log-probs (T, C).

    "likely" holds the likeliest tokens at each place, each once, by falling pi_theta, and "p_policy",
    "p_ref", "p_target" their probabilities, to six digits for drawing; these and "log_z" for the first
    `kept` places. The log-probs of the drawn token stand apart, whole and exact. Without a reference
    all that is its is None.
    """
    rows = {"p_policy": logp, "p_ref": ref_logp, "p_target": target_logp}
    order = logp[:kept].argsort(dim=1, descending=True, stable=True)  # (t, C)
    ids = candidates[:kept].gather(1, order).tolist()
    once = [[c for c, t in enumerate(row) if t not in row[:c]] for row in ids]
    out: dict = {"likely": [[row[c] for c in at] for row, at in zip(ids, once, strict=True)]}
    for name, row in rows.items():
        p = None if row is None else row[:kept].gather(1, order).exp().tolist()
        out[name] = p and [rounded([q[c] for c in at]) for q, at in zip(p, once, strict=True)]
    out["logp_ref"] = None if ref_logp is None else exact(ref_logp[:, 0])
    out["logp_target"] = None if target_logp is None else exact(target_logp[:, 0])
    out["ref_entropy"] = None if ref_entropy is None else rounded(ref_entropy.tolist())
    out["log_z"] = None if log_z is None else [rounded(row, 8) for row in log_z[:kept].tolist()]
    return out


def rounded(numbers: list[float], count: int = 6) -> list[float]:
    """With so many digits that count, for drawing.

    >>> rounded([0.12345678])
    [0.123457]
    """
    return [float(f"{x:.{count}g}") for x in numbers]


def shortened(text: str, limit: int) -> str:
    """A text, cut in the middle if it is longer than `limit` characters.

    >>> shortened("0123456789", 6)
    '012…89'
    """
    half = limit // 2
    return text if len(text) <= limit else text[:half] + "…" + text[-(limit - half - 1) :]


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
