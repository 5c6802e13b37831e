"""watch/recorder.py: a trace holds the step's own numbers, all of them, and leaves the step as it was."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import rapo_mini
import step
from machine.loading import load_tokenizer
from objective import reweight
from policy import reference_weights
from settings import Settings, resolve
from watch import glimpse, tracer
from watch import recorder as room
from watch.files import finite

SMALL = {"prompts": 3, "group_size": 6, "max_new_tokens": 40, "threads": 1, "eval_problems": 0}
TIMES = ("seconds_sample", "seconds_verify", "seconds_learn", "tokens_per_second")
ARMS = [("rapo", "exact"), ("rapo", "sampled"), ("grpo", "auto"), ("reverse-kl", "exact")]
ARMS += [("reverse-kl", "sampled"), ("no-kl", "auto")]


def run_for(tmp_path, **changed):
    return rapo_mini.Run(resolve(Settings(**(SMALL | {"out": str(tmp_path)} | changed)))[0])


def traced_step(run, steps_before=2):
    """The records and metrics of a step of a policy that has left the reference."""
    for _ in range(steps_before):
        rapo_mini.train_step(run)
    rolled = step.rollout(run.policy, run.problems_of(run.step), run.settings, run.step)
    recorder = room.Recorder(run.policy, rolled, run.settings)
    metrics = step.learn(run.policy, run.optimizer, rolled, run.settings, recorder).metrics
    return rolled, recorder.finish(), metrics


def same_float32(numbers, tensor):
    return np.array_equal(np.array(numbers, dtype=np.float32), tensor.numpy())


@pytest.fixture(scope="module", params=ARMS, ids="-".join)
def of_an_arm(request, tmp_path_factory):
    """A record and the metrics of a step of each arm, with every term in its loss."""
    arm, form = request.param
    out = tmp_path_factory.mktemp("arm")
    run = run_for(out, arm=arm, kl_form=form, micro_batch=5, beta=0.01)
    _, [record], metrics = traced_step(run)
    return record, metrics


def test_the_shares_sum_to_the_steps_loss(of_an_arm):
    record, metrics = of_an_arm
    rows, completions = record["rows"], record["completions"]
    assert len(rows["share"]) == 18 and len(completions) == 6
    assert sum(rows["share"]) == pytest.approx(metrics["loss"], abs=1e-6)
    first = record["prompt"]["first_row"]
    for i, c in enumerate(completions):
        assert sum(c["columns"]["share"]) == pytest.approx(rows["share"][first + i], abs=1e-7)


def test_the_sums_of_a_record_are_those_of_the_metrics(of_an_arm):
    record, metrics = of_an_arm
    rows, s = record["rows"], record["settings"]
    mean = {name: sum(values) / len(values) for name, values in rows.items()}
    for name in ("kl", "entropy", "reward"):
        assert mean[name] == pytest.approx(metrics[name], abs=1e-6), name
    objective_value = mean["surrogate"] - s["alpha"] * mean["kl"] + s["beta"] * mean["entropy"]
    assert -objective_value == pytest.approx(metrics["loss"], abs=1e-6)
    assert record["metrics"]["loss"] == metrics["loss"]


@pytest.mark.parametrize("cut", [{"micro_batch": 4, "chunk_tokens": 7}, {"micro_batch": 100}])
def test_every_number_is_the_one_that_the_step_used(tmp_path, monkeypatch, cut):
    """What `score` and `token_shares` returned inside the step, caught on the way, to the bit."""
    caught = []

    def watched_score(*args, **kwargs):
        terms = score(*args, **kwargs)
        if torch.is_grad_enabled():  # the step's own pass, not the recorder's
            caught.append([args[3], args[4], terms])
        return terms

    def watched_shares(terms, logp_old, advantage, mask, **options):
        result = token_shares(terms, logp_old, advantage, mask, **options)
        if torch.is_grad_enabled():
            caught[-1] += [logp_old, advantage, *result]
        return result

    score, token_shares = step.score, step.token_shares
    run = run_for(tmp_path, **cut)
    for _ in range(2):
        rapo_mini.train_step(run)
    rolled = step.rollout(run.policy, run.problems_of(2), run.settings, 2)
    monkeypatch.setattr(step, "score", watched_score)
    monkeypatch.setattr(step, "token_shares", watched_shares)
    recorder = room.Recorder(run.policy, rolled, run.settings)
    step.learn(run.policy, run.optimizer, rolled, run.settings, recorder)
    records = recorder.records
    lengths = rolled.completions.mask.sum(dim=1)
    order = torch.argsort(lengths, stable=True, descending=True).tolist()
    rows = []  # in the step's order, the longest first
    for _, mask, terms, logp_old, advantage, shares, clipped in caught:
        for b, length in enumerate(mask.sum(dim=1).tolist()):
            numbers = {"logp": terms.logp, "kl": terms.kl, "entropy": terms.entropy}
            numbers |= {"share": shares, "logp_old": logp_old, "log_u": terms.log_u}
            row = {name: x[b, :length].detach() for name, x in numbers.items()}
            row |= {"A": advantage[b], "clipped": clipped[b, :length].tolist()}
            rows.append(row)
    used, first = dict(zip(order, rows, strict=True)), records[0]["prompt"]["first_row"]
    for i, c in enumerate(records[0]["completions"]):
        k, row = c["columns"], used[first + i]
        for name in ("logp", "logp_old", "kl", "entropy", "share"):
            assert same_float32(k[name], row[name]), name
        assert [bool(x) for x in k["clipped"]] == row["clipped"]
        assert np.float32(c["advantage"]) == row["A"].item()
        assert same_float32(k["ratio"], (row["logp"] - row["logp_old"]).exp())
        log_u = torch.tensor(k["logp_target"]) - torch.tensor(k["logp"])
        assert same_float32(log_u.tolist(), row["log_u"])
        assert c["phi"] == (1 if c["reward"] else run.settings.phi_min)


def test_the_group_is_that_of_the_rollout(tmp_path):
    run = run_for(tmp_path, micro_batch=4)
    rolled, [record], _ = traced_step(run)
    p = record["prompt"]["index"]
    assert record["prompt"]["answer"] == rolled.problems[p].answer
    assert record["reward_mean"] == pytest.approx(float(rolled.reward[p].mean()))
    for i, c in enumerate(record["completions"]):
        row = p * 6 + i
        assert c["text"] == rolled.texts[row] and c["reason"] == rolled.verdicts[row].reason
        length = int(rolled.completions.mask[row].sum())
        assert c["columns"]["token"] == rolled.completions.tokens[row, :length].tolist()
        words = [record["vocabulary"][str(t)] for t in c["columns"]["token"]]
        assert "".join(words).removesuffix("<eos>") == c["text"]
        if record["reward_std"]:
            by_hand = (c["reward"] - record["reward_mean"]) / record["reward_std"]
            assert c["advantage"] == pytest.approx(by_hand, rel=1e-5)
    assert {len(c["columns"]["token"]) for c in record["completions"]} != {40}, (
        "lengths must differ"
    )


@pytest.mark.parametrize("arm", ["rapo", "grpo"])
def test_candidates_are_the_likeliest_of_the_whole_vocabulary(tmp_path, arm):
    """Against a plain forward pass over the whole sequence, without chunks or micro-batches."""
    everywhere = {"plausible": 0.0, "fork_entropy": 0.0}
    run = run_for(tmp_path, arm=arm, micro_batch=4, chunk_tokens=7, temperature=0.9, **everywhere)
    torch.manual_seed(0)
    for name, p in run.policy.model.named_parameters():
        if "lora_B" in name:  # far from the reference, which then likes other tokens
            p.data.copy_(0.05 * torch.randn(p.shape))
    rolled = step.rollout(run.policy, run.problems_of(2), run.settings, 2)
    state = [p.detach().clone() for p in run.policy.trainable()]
    recorder = room.Recorder(run.policy, rolled, run.settings)
    step.learn(run.policy, run.optimizer, rolled, run.settings, recorder)
    records = recorder.records
    for p, before in zip(run.policy.trainable(), state, strict=True):
        p.data.copy_(before)
    c, prompt = records[0]["completions"][1], records[0]["prompt"]["index"]
    k = c["columns"]
    real = rolled.prompt_mask[prompt].bool()
    ids = torch.cat([rolled.prompt_ids[prompt][real], torch.tensor(k["token"])])[None]
    places = slice(int(real.sum()) - 1, -1)
    with torch.no_grad():
        policy = (run.policy.model(input_ids=ids).logits[0, places] / 0.9).log_softmax(-1)
    with reference_weights(run.policy) as model:
        ref = (model(input_ids=ids).logits[0, places] / 0.9).log_softmax(-1)
    target = (c["phi"] * ref).log_softmax(-1) if arm == "rapo" else ref
    truth = {"p_policy": policy, "p_ref": ref, "p_target": target}
    for t, token in enumerate(k["token"]):
        likely = k["likely"][t]
        assert len(set(likely)) == len(likely)
        for name, row in truth.items():
            assert {token, *row[t].topk(5).indices.tolist()} <= set(likely), name
            wanted = row[t, likely].exp().tolist()
            assert k[name][t] == pytest.approx(wanted, rel=2e-3, abs=1e-6), name
        assert k["logp_ref"][t] == pytest.approx(float(ref[t, token]), abs=1e-4)
        assert k["logp_target"][t] == pytest.approx(float(target[t, token]), abs=1e-4)


def test_without_a_kl_there_is_no_reference_to_record(tmp_path):
    _, [record], _ = traced_step(run_for(tmp_path, arm="no-kl"), 0)
    for c in record["completions"]:
        k = c["columns"]
        assert k["logp_ref"] is k["logp_target"] is k["p_ref"] is k["p_target"] is None
        assert len(k["p_policy"]) == len(k["token"]) and k["entropy"][0] > 0


def test_each_update_on_a_rollout_has_its_record(tmp_path):
    run = run_for(tmp_path, updates=2, lr=2e-2, clip_eps=0.01)
    for _ in range(20):  # until a group has an advantage, without which nothing is clipped
        _, records, metrics = traced_step(run, 1)
        if any(c["advantage"] for c in records[0]["completions"]):
            break
    assert [r["update"] for r in records] == [0, 1]
    ratios = [[x for c in r["completions"] for x in c["columns"]["ratio"]] for r in records]
    assert max(abs(x - 1) for x in ratios[0]) < 1e-3 < 0.01 < max(abs(x - 1) for x in ratios[1])
    assert any(any(c["columns"]["clipped"]) for c in records[1]["completions"])
    assert sum(records[1]["rows"]["share"]) == pytest.approx(metrics["loss"], abs=1e-6)
    assert records[0]["metrics"]["loss"] != metrics["loss"] == records[1]["metrics"]["loss"]


# ---------------------------------------------------------------- the policy after the update


@pytest.mark.parametrize("arm", ["rapo", "no-kl"])
def test_what_the_step_made_of_the_policy_is_recorded(tmp_path, arm):
    """Against a plain forward pass of the policy as it stands after the step."""
    run = run_for(tmp_path, arm=arm, micro_batch=4, chunk_tokens=7, lr=1e-2, temperature=0.9)
    rolled, [record], _ = traced_step(run, 0)
    prompt, moved = record["prompt"]["index"], 0.0
    for c in record["completions"]:
        k = c["columns"]
        real = rolled.prompt_mask[prompt].bool()
        ids = torch.cat([rolled.prompt_ids[prompt][real], torch.tensor(k["token"])])[None]
        with torch.no_grad():
            logits = run.policy.model(input_ids=ids).logits[0, int(real.sum()) - 1 : -1]
        row = (logits / 0.9).log_softmax(-1)
        for t, token in enumerate(k["token"]):
            assert k["logp_after"][t] == pytest.approx(float(row[t, token]), abs=1e-4)
            wanted = row[t, k["likely"][t]].exp().tolist()
            assert k["p_after"][t] == pytest.approx(wanted, rel=2e-3, abs=1e-6)
            moved = max(moved, abs(k["logp_after"][t] - k["logp"][t]))
    assert moved > 1e-3, "a step of this size is seen"


def test_after_an_update_stands_what_the_next_one_finds(tmp_path):
    run = run_for(tmp_path, updates=2, lr=5e-3, micro_batch=4)
    _, [first, second], _ = traced_step(run, 0)
    for one, other in zip(first["completions"], second["completions"], strict=True):
        one, other = one["columns"], other["columns"]
        assert one["logp_after"] == pytest.approx(other["logp"], abs=1e-4)
        assert second["settings"] and other["logp_after"] != pytest.approx(other["logp"], abs=1e-6)


def test_log_z_gives_the_reference_at_any_phi():
    torch.manual_seed(0)
    row = (3 * torch.randn(2, 40)).log_softmax(-1)
    for plausible in (0.0, 0.05):
        log_z = glimpse.log_powers(row, plausible)  # (2, 11)
        inside = row >= row.amax(-1, keepdim=True) + math.log(plausible or 1e-30)
        for i, phi in enumerate(glimpse.PHI_GRID):
            wanted = reweight(row, torch.tensor([phi]), plausible)
            by_hand = phi * row - log_z[:, i, None] + log_z[:, 10, None]
            assert torch.allclose(torch.where(inside, by_hand, row), wanted, atol=1e-5), phi


def test_a_wrong_order_is_an_error_and_no_wrong_number():
    terms = glimpse.log_probs_at(torch.tensor([[3, 1], [2, 1]]))
    logits = torch.zeros(1, 5)
    assert terms(logits, None, torch.tensor([3]), None, "rapo", "none").logp.shape == (1, 2)
    with pytest.raises(ValueError, match="another order"):
        terms(logits, None, torch.tensor([1]), None, "rapo", "none")


# ---------------------------------------------------------------- how much is kept


def test_a_long_group_keeps_candidates_for_its_first_tokens_only(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "CANDIDATE_TOKENS", 6 * 5)
    _, [record], metrics = traced_step(run_for(tmp_path), 0)
    for c in record["completions"]:
        k = c["columns"]
        for name in ("likely", "p_policy", "p_ref", "p_target", "p_after", "log_z"):
            assert len(k[name]) == min(5, len(k["token"])), name
        for name in ("logp", "logp_after", "logp_ref", "logp_target", "ref_entropy", "share"):
            assert len(k[name]) == len(k["token"]), name
    assert sum(record["rows"]["share"]) == pytest.approx(metrics["loss"], abs=1e-6)


def test_of_the_other_groups_the_texts_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "TEXT_LIMIT", 20)
    rolled, [record], _ = traced_step(run_for(tmp_path), 0)
    assert record["answers"] == [p.answer for p in rolled.problems]
    assert len(record["attempts"]) == len(rolled.texts) == 18
    for kept, text, verdict in zip(record["attempts"], rolled.texts, rolled.verdicts, strict=True):
        assert kept["reason"] == verdict.reason and len(kept["text"]) <= 20
        assert kept["text"] == text or (text.startswith(kept["text"][:10]) and "…" in kept["text"])


def test_a_record_is_as_large_as_its_page_says(tmp_path):
    """docs/trace.md: at most 1.2 kB a token, and every field has its line there."""
    _, [record], metrics = traced_step(run_for(tmp_path), 1)
    record["metrics"] = metrics
    tokens = sum(len(c["columns"]["token"]) for c in record["completions"])
    assert len(tracer.compact(record)) < 1200 * tokens
    page = (tracer.PARTS.parent.parent / "docs" / "trace.md").read_text(encoding="utf-8")
    c = record["completions"][0]
    for name in {"format", "step", *record, *record["rows"], *record["prompt"], *c, *c["columns"]}:
        assert f"`{name}`" in page, name


# ---------------------------------------------------------------- the run beside its trace


@pytest.mark.parametrize("changed", [{}, {"arm": "grpo", "updates": 2}, {"arm": "no-kl"}])
def test_tracing_leaves_the_run_bit_equal(tmp_path, changed):
    changed = {"micro_batch": 5, "steps": 3, **changed}
    plain = run_for(tmp_path / "plain", **changed)
    traced = run_for(tmp_path / "b", **changed, trace=str(tmp_path / "t"), trace_at="0,2")
    for _ in range(3):
        one, other = rapo_mini.train_step(plain)[0], rapo_mini.train_step(traced)[0]
        assert {k: v for k, v in one.items() if k not in TIMES} == {
            k: v for k, v in other.items() if k not in TIMES
        }
    for a, b in zip(plain.policy.trainable(), traced.policy.trainable(), strict=True):
        assert torch.equal(a, b)
    records = json.loads((tmp_path / "t" / "trace.json").read_text())
    assert [r["step"] for r in records if not r["update"]] == [0, 2]
    last = traced.settings.updates - 1
    assert [r["metrics"].get("step") for r in records if r["update"] == last] == [0, 2]


def test_an_untraced_step_does_none_of_it(tmp_path, monkeypatch):
    def not_now(*_args, **_kwargs):
        raise AssertionError("work for a trace that nobody asked for")

    run = run_for(tmp_path, trace=str(tmp_path / "t"), trace_at="1", steps=2)
    monkeypatch.setattr(room, "glimpse", not_now)
    monkeypatch.setattr(rapo_mini, "Recorder", not_now)
    rapo_mini.train_step(run)
    with pytest.raises(AssertionError, match="nobody asked"):
        rapo_mini.train_step(run)


def test_each_token_is_looked_at_once(tmp_path, monkeypatch):
    """Only micro-batches of the traced group are looked at, and no token of them twice."""
    run = run_for(tmp_path, chunk_tokens=5, micro_batch=3)
    seen, added = [], []
    glimpse, add = room.glimpse, room.Recorder.add

    def watched_glimpse(logits, ref_logits, token, *rest, **flattened):
        seen.append(len(token))
        return glimpse(logits, ref_logits, token, *rest, **flattened)

    def watched_add(self, micro_batch, looked_at):
        added.append((int(micro_batch.mask.sum()), looked_at is not None))
        add(self, micro_batch, looked_at)

    monkeypatch.setattr(room, "glimpse", watched_glimpse)
    monkeypatch.setattr(room.Recorder, "add", watched_add)
    traced_step(run, 0)
    assert not all(looked for _, looked in added)
    assert sum(seen) == sum(tokens for tokens, looked in added if looked)


def test_a_step_that_is_not_finite_is_still_json(tmp_path):
    run = run_for(tmp_path)
    rolled = step.rollout(run.policy, run.problems_of(0), run.settings, 0)
    broken = replace(
        rolled, completions=rolled.completions._replace(logp=rolled.completions.logp - 1e9)
    )
    recorder = room.Recorder(run.policy, broken, run.settings)
    metrics = step.learn(run.policy, run.optimizer, broken, run.settings, recorder).metrics
    records = recorder.finish()
    assert metrics["skipped"] and not math.isfinite(metrics["loss"])
    text = json.dumps(finite(records[0]), allow_nan=False)
    assert json.loads(text)["metrics"]["loss"] is None


# ---------------------------------------------------------------- which prompt, which text


def test_the_most_mixed_group_is_traced():
    assert room.traced_prompt(torch.tensor([[0.0, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 0]])) == 1
    assert room.traced_prompt(torch.zeros(3, 4)) == 0


def test_subwords_of_the_qwen_kind(tmp_path, qwen_like_base):
    """Byte-level subwords, 60 tokens long, embeddings past the vocabulary: the same record."""
    changed = {
        "model": str(qwen_like_base),
        "data": "puzzles",
        "prompt_template": "qwen-boxed",
        "max_new_tokens": 60,
    }
    _, [record], metrics = traced_step(run_for(tmp_path, **changed), 1)
    assert sum(record["rows"]["share"]) == pytest.approx(metrics["loss"], abs=1e-6)
    assert max(len(c["columns"]["token"]) for c in record["completions"]) == 60
    drawn = {t for c in record["completions"] for t in c["columns"]["token"]}
    assert all(record["vocabulary"][str(t)] for t in drawn)


def test_a_token_is_shown_as_what_it_is(qwen_like_base):
    tokenizer = load_tokenizer(str(qwen_like_base))
    text = "The answer is \\boxed{12}.\n step"
    words = [room.token_text(tokenizer, t) for t in tokenizer.encode(text)]
    assert "".join(words) == text and len(words) < len(text), "subwords"
    euro = [room.token_text(tokenizer, t) for t in tokenizer.encode("ż")]  # never seen: two bytes
    assert euro == ["<C5>", "<BC>"]
    assert room.token_text(tokenizer, len(tokenizer) + 3) == f"<id:{len(tokenizer) + 3}>"
    assert room.token_text(tokenizer, tokenizer.eos_token_id) == "<|endoftext|>"
