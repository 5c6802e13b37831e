"""Scoring a group: its prompt goes through the model once, and so does each text among its completions.

G completions of a prompt are G texts that begin alike, and where the policy is sure of itself many are
the same text. As G rows the model would read the prompt G times, each copy again, and pad every row to
the longest. Here all tokens of a micro-batch lie in one row, each prompt and each completion of it once:

    | prompt 0 | prompt 1 | ... | completion 0 | completion 1 | ...        ids (1, N)

Everything in a transformer but attention works on single tokens and does not care who stands beside
whom. So only attention has to know: `attend` lets a prompt see itself, and a completion its prompt and
itself. Gradients reach a prompt's keys and values from all of its completions, and a completion from all
of its copies.

The plain twin, a row for each text, is in tests/machine/test_shared_prompts.py. A model whose layers
look at a window of the text, or do not take their attention from transformers' table, keeps to it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from machine.devices import sees_groups

NAME = "shared_prompts"  # of `attend` in transformers' table of attention functions


def row_order(lengths: Tensor, prompt_length: int, group_size: int, micro_batch: int) -> Tensor:
    """In which order a step's B completions are cut into micro-batches.

    By length a micro-batch holds little padding; prompt by prompt it reads few prompts, which is taken
    where it saves more than a tenth of the tokens. Both begin with the longest completion, so that memory
    runs out at once or not at all.

    lengths: (B,) tokens of each completion, `group_size` to a prompt. prompt_length: of the longest
    prompt; 0 where no prompt is shared -> (B,), which completions, the first ones first.

    Short prompts and long completions, two to a prompt; long prompts and short completions:

    >>> lengths = torch.tensor([9, 2, 8, 1])
    >>> row_order(lengths, 1, group_size=2, micro_batch=2).tolist()
    [0, 2, 1, 3]
    >>> row_order(lengths, 50, group_size=2, micro_batch=2).tolist()
    [0, 1, 2, 3]
    """
    groups = lengths.view(-1, group_size)  # (P, G)
    inside = groups.argsort(dim=1, stable=True, descending=True)  # (P, G)
    rows = inside + group_size * torch.arange(len(groups), device=lengths.device)[:, None]  # (P, G)
    first = groups.max(dim=1).values.argsort(stable=True, descending=True)  # (P,)
    by_length = lengths.argsort(stable=True, descending=True)  # (B,)
    by_prompt = rows[first].flatten()  # (B,)

    def tokens_read(order: Tensor) -> int:
        parts = order.split(micro_batch)
        prompts = sum(len((part // group_size).unique()) for part in parts)
        return prompts * prompt_length + sum(len(x) * int(lengths[x].max()) for x in parts)

    return by_prompt if tokens_read(by_prompt) < 0.9 * tokens_read(by_length) else by_length


class Packed(NamedTuple):
    """p distinct prompts of at most L tokens, then d distinct completions of C = T - 1, in one row.

    N = p * L + d * C. The last token of a completion is not there: nothing follows from it.
    """

    ids: Tensor  # (1, N)
    position: Tensor  # (1, N) of each token in its own text
    mask: Tensor  # (d, 1, C, L + C) added to the scores: 0 where a completion may look, -inf elsewhere
    prompts: tuple[int, int]  # (p, L)
    completions: tuple[int, int]  # (d, C)
    prompt: Tensor  # (d,) which of the p prompts a completion answers
    before: Tensor  # (b, T) where in the row the token before y_t stands, for each of the b rows


def pack(
    prompt_ids: Tensor, prompt_mask: Tensor, tokens: Tensor, dtype: torch.dtype = torch.float32
) -> Packed:
    """The row of a micro-batch. prompt_ids, prompt_mask (b, L), padded left; tokens (b, T), right.

    dtype: that of the model's activations. Rows with the same prompt share it, in whatever order, and
    rows with the same prompt and tokens are one: a model that reads the same thinks the same.
    """
    both = torch.cat([prompt_ids, prompt_mask], dim=1)  # (b, 2 L)
    distinct, prompt = torch.unique(both, dim=0, return_inverse=True)  # (p, 2 L), (b,)
    ids, real = distinct.chunk(2, dim=1)  # (p, L), (p, L)
    length = real.sum(dim=1)  # (p,)
    width = int(length.max())  # L from here on: that of the longest prompt
    place = torch.arange(width, device=ids.device)  # (L,)
    source = place + (ids.shape[1] - length)[:, None]  # (p, L): to the left edge
    ids = ids.gather(1, source.clamp_max(ids.shape[1] - 1))  # (p, L)

    last = tokens.shape[1] - 1  # T - 1
    columns = max(last, 1)  # C
    read = torch.cat([prompt[:, None], tokens[:, :columns]], dim=1)  # (b, 1 + C)
    read, copy_of = torch.unique(read, dim=0, return_inverse=True)  # (d, 1 + C), (b,)
    prompt, tokens, rows = read[:, 0], read[:, 1:], len(read)  # (d,), (d, C), d
    follows = torch.arange(columns, device=ids.device)  # (C,)
    first = length[prompt][:, None]  # (d, 1): the position of a completion's first token
    position = torch.cat([place.repeat(len(ids)), (first + follows).flatten()])  # (N,)

    sees_prompt = (place < first)[:, None].expand(rows, columns, width)  # (d, C, L)
    sees_itself = (follows[:, None] >= follows).expand(rows, columns, columns)  # (d, C, C)
    hidden = ~torch.cat([sees_prompt, sees_itself], dim=2)[:, None]  # (d, 1, C, L + C)
    mask = torch.zeros(hidden.shape, dtype=dtype, device=ids.device)
    mask.masked_fill_(hidden, float("-inf"))

    prompts_end = (prompt * width)[:, None] + first - 1  # (d, 1)
    begins = ids.numel() + columns * torch.arange(rows, device=ids.device)[:, None]  # (d, 1)
    before = torch.cat([prompts_end, begins + follows[:last]], dim=1)  # (d, T)
    return Packed(
        torch.cat([ids.flatten(), tokens.flatten()])[None],
        position[None],
        mask,
        (len(ids), width),
        (rows, columns),
        prompt,
        before[copy_of],
    )


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packed: Packed | None = None,
    **options,
) -> tuple[Tensor, None]:
    """Attention as transformers asks for it: query (1, heads, N, e), key, value -> (1, N, heads, e).

    Without `packed` it is PyTorch's scaled_dot_product_attention as transformers calls it.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if packed is None:
        mask = explicit(query, key) if attention_mask is None else attention_mask
        return sdpa_attention_forward(module, query, key, value, mask, **options)
    sizes = (packed.prompts, packed.completions)
    parts = [blocks(x, sizes) for x in (query, key, value)]  # each (p, h, L, e) and (d, h, C, e)
    (q_prompt, q), (k_prompt, k), (v_prompt, v) = parts
    mask = explicit(q_prompt, k_prompt)
    of_prompts, _ = sdpa_attention_forward(module, q_prompt, k_prompt, v_prompt, mask, **options)
    k = torch.cat([k_prompt.index_select(0, packed.prompt), k], dim=2)  # (d, h, L + C, e)
    v = torch.cat([v_prompt.index_select(0, packed.prompt), v], dim=2)  # (d, h, L + C, e)
    of_rows, _ = sdpa_attention_forward(module, q, k, v, packed.mask, **options)  # (d, C, heads, e)
    return torch.cat([of_prompts.flatten(0, 1), of_rows.flatten(0, 1)])[None], None


def explicit(query: Tensor, key: Tensor) -> Tensor | None:
    """The causal mask (1, 1, L, K) for a card before sm80, None for any other.

    query (b, heads, L, e), key (b, kv heads, K, e): the last L of K tokens ask.

    Without a mask transformers hands over grouped heads as they are, and there only the slowest form of
    attention takes them so; with one it repeats keys and values, and the memory-efficient form runs.
    """
    if sees_groups():
        return None
    size = (query.shape[2], key.shape[2])
    seen = torch.ones(size, dtype=torch.bool, device=query.device).tril(size[1] - size[0])
    return seen[None, None]


def blocks(row: Tensor, sizes: tuple[tuple[int, int], ...]) -> list[Tensor]:
    """(1, h, N, e) cut into rectangles: a view (rows, h, columns, e) for each of `sizes`."""
    cut = row[0].split([rows * columns for rows, columns in sizes], dim=1)
    return [x.unflatten(1, size).transpose(0, 1) for x, size in zip(cut, sizes, strict=True)]


def teach(model: nn.Module) -> None:
    """Put `attend` into a model of transformers that can take it: without `packed` nothing changes."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    supports = getattr(model, "_supports_attention_backend", False)
    if model.config._attn_implementation != "sdpa" or not supports:
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def taught(model: nn.Module) -> bool:
    """May its completions share their prompt? Not where a layer looks at a window of the text."""
    layers = getattr(model.config, "layer_types", None) or ["full_attention"]
    return model.config._attn_implementation == NAME and set(layers) == {"full_attention"}
