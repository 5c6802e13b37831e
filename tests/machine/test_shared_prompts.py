"""machine/shared_prompts.py against its plain twin, a row for each text."""

import pytest
import torch

import policy as room
from machine import shared_prompts

LENGTHS = [1, 2, 9, 14, 14, 14, 3, 1, 8]
PROMPT = [0, 2, 1, 0, 2, 2, 0, 1, 1]  # of each completion: mixed, as a micro-batch by length is


@pytest.fixture
def batch(prompts):
    """Nine completions of three prompts: prompt_ids, prompt_mask (b, L), tokens, mask (b, T).

    The sixth copies the fifth; the fourth says the same too, but of another prompt.
    """
    ids, real = (x[torch.tensor(PROMPT)] for x in prompts)
    tokens = torch.randint(2, 40, (9, 14), generator=torch.Generator().manual_seed(0))
    tokens[3] = tokens[5] = tokens[4]
    mask = (torch.arange(14) < torch.tensor(LENGTHS)[:, None]).long()
    return ids, real, tokens * mask, mask


def states_and_gradients(policy, batch, way):
    with room.learning_weights(policy) as learner:
        states = way(learner, *batch)
    policy.model.zero_grad()
    states.sin().sum().backward()
    return states.detach(), [p.grad.clone() for p in policy.trainable()]


def row_by_row(model, *batch):
    return room.states_row_by_row(model.get_base_model().model, *batch)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("columns", [14, 2, 1])
def test_the_same_states_and_gradients_as_a_row_for_each_text(
    small_base, batch, columns, checkpointed
):
    policy = room.load_policy(str(small_base), lora_r=4, checkpoint_layers=checkpointed)
    for name, p in policy.model.named_parameters():
        p.data = p.data.double()
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.05)
    batch = (*batch[:2], batch[2][:, :columns], batch[3][:, :columns])
    states, grads = states_and_gradients(policy, batch, room.completion_states)
    plain, plain_grads = states_and_gradients(policy, batch, row_by_row)
    assert states.shape == (int(batch[3].sum()), 64)
    torch.testing.assert_close(states, plain, rtol=0, atol=1e-7)
    for a, b in zip(grads, plain_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_each_prompt_and_each_text_stands_in_the_row_once(batch):
    ids, real, tokens, _ = batch
    packed = shared_prompts.pack(ids, real, tokens)
    (p, width), (d, columns) = packed.prompts, packed.completions
    assert (p, d, columns) == (3, 8, 13) and packed.ids.shape == (1, 3 * width + 8 * 13)
    for row, length in enumerate(LENGTHS):
        text = ids[row][real[row].bool()].tolist() + tokens[row][: length - 1].tolist()
        first, *rest = packed.before[row, :length].tolist()
        assert packed.ids[0, [first, *rest]].tolist() == text[-length:]
        prompt = text[: len(text) - length + 1]
        assert packed.ids[0, first + 1 - len(prompt) :][: len(prompt)].tolist() == prompt
        assert packed.position[0, [first, *rest]].tolist() == [*range(len(prompt) - 1, len(text))]
    assert torch.equal(packed.before[4], packed.before[5]), "a copy"
    assert not (packed.before[3] == packed.before[4]).any(), "another prompt's"


def test_rows_of_one_prompt_may_stand_anywhere(batch):
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    one, two = (shared_prompts.pack(*(x[o] for x in batch[:3])) for o in (torch.arange(9), order))
    assert torch.equal(one.ids[0, one.before][order], two.ids[0, two.before])


def test_a_model_that_looks_at_a_window_keeps_a_row_for_each_text(small_base, batch):
    policy = room.load_policy(str(small_base), lora_r=4)
    body = policy.model.get_base_model().model
    assert shared_prompts.taught(body)
    full, body.config.layer_types = body.config.layer_types, ["sliding_attention", "full_attention"]
    assert not shared_prompts.taught(body)
    body.config.layer_types = full  # the random model has no window
    body.config._attn_implementation = "sdpa"
    assert not shared_prompts.taught(body)
    with torch.no_grad():
        states = room.completion_states(policy.model, *batch)
        assert torch.equal(states, row_by_row(policy.model, *batch))


@pytest.mark.parametrize("prompt_length", [0, 1, 400, 4000])
def test_the_order_holds_each_row_once_begins_with_the_longest_and_saves_long_prompts(
    prompt_length,
):
    lengths = torch.randint(1, 60, (48,), generator=torch.Generator().manual_seed(2))

    def tokens_read(order):
        parts = order.split(6)
        widths = sum(len(part) * int(lengths[part].max()) for part in parts)
        return widths + prompt_length * sum(len(set((part // 8).tolist())) for part in parts)

    order = shared_prompts.row_order(lengths, prompt_length, group_size=8, micro_batch=6)
    assert sorted(order.tolist()) == list(range(48)) and lengths[order[0]] == lengths.max()
    by_length = lengths.argsort(stable=True, descending=True)
    if prompt_length <= 1:
        assert torch.equal(order, by_length)
    else:
        assert tokens_read(order) < 0.9 * tokens_read(by_length)
