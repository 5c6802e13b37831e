"""The sampler against a plain one: no cache, no shared prefill, no row ever leaves."""

import pytest
import torch

from objective import token_terms
from policy import sampling_weights
from sampler import draw, sample

OPTIONS = {"group_size": 4, "max_new_tokens": 24, "temperature": 0.7}


def end_and_pad(policy):
    return {"end_ids": policy.end_ids, "pad_id": policy.pad_id}


def plain_sample(
    model, prompt_ids, prompt_mask, noise, end_ids, group_size, max_new_tokens, temperature
):
    """Each completion alone, the whole text through the model again for every token."""
    rows = []
    for p in range(len(prompt_ids)):
        prompt = prompt_ids[p][prompt_mask[p].bool()].tolist()
        for g in range(group_size):
            text, tokens, logps = list(prompt), [], []
            for t in range(max_new_tokens):
                logits = model(input_ids=torch.tensor([text])).logits[:, -1]
                logp = (logits / temperature).log_softmax(-1)[0]
                below = logp.double().exp().cumsum(-1)
                u = noise[t, p * group_size + g].double() * below[-1]
                token = int((below > u).nonzero()[0])
                tokens.append(token)
                logps.append(float(logp[token]))
                text.append(token)
                if token in end_ids:
                    break
            rows.append((tokens, logps, tokens[-1] in end_ids))
    return rows


@torch.no_grad()
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("lean", [True, False])
@pytest.mark.parametrize("way", [{}, {"fixed": True}, {"rows_at_once": 5}])
def test_equal_token_for_token_to_a_plain_sampler(
    small_policy, prompts, seed, way, lean, monkeypatch
):
    monkeypatch.setattr("sampler.fits", lambda _model: lean)
    noise = torch.rand(24, 12, generator=torch.Generator().manual_seed(seed))
    ends = [*small_policy.end_ids, 7, 11, 30]  # several ends, so that rows leave at many lengths
    with sampling_weights(small_policy) as model:
        got = sample(
            model,
            *prompts,
            **OPTIONS,
            **way,
            end_ids=ends,
            pad_id=small_policy.pad_id,
            generator=torch.Generator().manual_seed(seed),
        )
        expected = plain_sample(model, *prompts, noise, ends, **OPTIONS)
    assert len({len(tokens) for tokens, _, _ in expected}) > 3, "rows of one length prove little"
    assert {ended for _, _, ended in expected} == {True, False}
    assert got.tokens.shape[1] == max(len(tokens) for tokens, _, _ in expected)  # trimmed
    for row, (tokens, logps, ended) in enumerate(expected):
        n = len(tokens)
        assert got.tokens[row, :n].tolist() == tokens
        assert got.mask[row].tolist() == [1] * n + [0] * (got.mask.shape[1] - n)
        assert (got.tokens[row, n:] == small_policy.pad_id).all() and (got.logp[row, n:] == 0).all()
        assert bool(got.ended[row]) == ended
        torch.testing.assert_close(got.logp[row, :n], torch.tensor(logps), rtol=0, atol=1e-5)


def test_draw_follows_the_distribution():
    logits = torch.tensor([[0.0, 1.0, -2.0, 0.5]])
    noise = torch.rand(40_000, generator=torch.Generator().manual_seed(0))
    token, logp = draw(logits.expand(len(noise), -1), noise, temperature=0.5)
    shares = token.bincount(minlength=4) / len(noise)
    expected = (logits[0] / 0.5).softmax(-1)
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.01)
    torch.testing.assert_close(logp, expected.log()[token])


def test_top_p_draws_from_the_nucleus_and_renormalises_it():
    """Probabilities 0.4, 0.3, 0.2, 0.1: a mass of 0.6 is in the first two, 0.75 needs a third."""
    logits = torch.tensor([[0.3, 0.1, 0.4, 0.2]]).log()
    noise = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    for top_p, expected in ((0.6, [3 / 7, 0, 4 / 7, 0]), (0.75, [3 / 9, 0, 4 / 9, 2 / 9])):
        token, logp = draw(logits.expand(len(noise), -1), noise, 1.0, top_p)
        shares = token.bincount(minlength=4) / len(noise)
        torch.testing.assert_close(shares, torch.tensor(expected), rtol=0, atol=0.015)
        torch.testing.assert_close(logp, torch.tensor(expected).log()[token])
    plain, _ = draw(logits.expand(len(noise), -1), noise, 1.0)
    whole, _ = draw(logits.expand(len(noise), -1), noise, 1.0, 1.0)
    assert torch.equal(plain, whole)


def test_the_likeliest_token_is_always_in_the_nucleus():
    token, logp = draw(torch.tensor([[2.0, 1.0]]), torch.tensor([0.999]), 1.0, top_p=1e-6)
    assert token.item() == 0 and logp.item() == 0


def test_the_ends_of_the_noise_draw_tokens_that_can_occur():
    logits = torch.tensor([[-1e9, 0.0, 0.0, -1e9]] * 2)
    token, _ = draw(logits, torch.tensor([0.0, 1 - 2**-24]), temperature=1.0)
    assert token.tolist() == [1, 2]


def test_same_seed_same_completions_and_another_seed_others(small_policy, prompts):
    def run(seed):
        return sample(
            small_policy.model,
            *prompts,
            **OPTIONS,
            **end_and_pad(small_policy),
            generator=torch.Generator().manual_seed(seed),
        )

    assert torch.equal(run(3).tokens, run(3).tokens)
    assert run(3).tokens.tolist() != run(4).tokens.tolist()


@pytest.mark.parametrize(
    ("broken", "names"),
    [
        ({"temperature": 0.0}, "--temperature"),
        ({"top_p": 0.0}, "--top-p"),
        ({"top_p": 1.5}, "--top-p"),
        ({"flip": True}, "left"),
    ],
)
def test_wrong_input_is_named(small_policy, prompts, broken, names):
    ids, mask = (x.flip(1) for x in prompts) if broken.pop("flip", False) else prompts
    with pytest.raises(ValueError, match=names):
        sample(
            small_policy.model,
            ids,
            mask,
            **(OPTIONS | broken),
            **end_and_pad(small_policy),
            generator=torch.Generator(),
        )


def test_scoring_the_sampled_tokens_needs_their_temperature():
    """A guard for the parity test in test_policy.py: the log-prob does depend on it."""
    logits = torch.tensor([[0.0, 1.0]])
    _, logp = draw(logits, torch.tensor([0.0]), temperature=0.5)
    at = [
        token_terms(logits / t, None, torch.tensor([0]), torch.ones(1), "no-kl", "none").logp
        for t in (0.5, 1.0)
    ]
    assert torch.allclose(at[0], logp) and not torch.allclose(at[1], logp)
