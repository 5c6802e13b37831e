"""The decode step on fixed memory: slots for keys and values, and a CUDA graph that replays the step.

A decode step of Qwen2.5-3B is some thousands of small kernels; launched one by one from Python the GPU
waits for the processor. A CUDA graph launches them all at once, but only on tensors that never move and
never change their shape. So:

* the keys and values of all rows lie in one block of slots, as many as a completion may get;
* the step reads the first b rows and s slots of it. b is a power of two: when half of the rows have
  ended, those that go on move to the front and a smaller graph takes over. s grows in strides of SLOTS;
* a graph is captured the first time its (b, s) comes up, and dropped with the decoder.

The adapter over 4-bit weights is not merged: LoRA's matrices are read where they lie, in the graph too.

Not verified: no GPU was at hand, so the capture itself has never run. On the CPU the same step runs on
the same slots without capture, equal token for token to the growing cache (tests). If a capture fails,
decoding goes on without graphs and says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

SLOTS = 256  # the step reads a multiple of so many slots
WARM_UP = 2  # runs before a capture: libraries choose their kernels and workspaces then


class Slots:
    """A key/value cache that never moves: the two methods that a decoder layer of transformers calls."""

    def __init__(self, keys: list[Tensor], values: list[Tensor], slot: Tensor):
        """keys, values: one (b, kv heads, s, head_dim) a layer; slot (1,): where the next token goes."""
        self.keys, self.values, self.slot = keys, values, slot

    def update(self, key: Tensor, value: Tensor, layer: int, *_args, **_kwargs):
        """Write the new token's key and value (b, kv heads, 1, head_dim); all slots are read."""
        self.keys[layer].index_copy_(2, self.slot, key)
        self.values[layer].index_copy_(2, self.slot, value)
        return self.keys[layer], self.values[layer]

    def get_seq_length(self, _layer: int = 0) -> int:
        return self.keys[0].shape[2]


class FixedDecoder:
    """Runs the model one token at a time, on fixed slots; used like `sampler.GrowingDecoder`."""

    broken = False  # a capture has failed in this process: no second try

    def __init__(
        self,
        model: Callable,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        copies: Tensor,
        max_new_tokens: int,
    ):
        """The prefill. prompt_ids, prompt_mask (p, L); copies (p,): how many rows each prompt gets."""
        self.model, device = model, prompt_ids.device
        position, out = prefill(model, prompt_ids, prompt_mask)  # (p, L)
        row = torch.arange(len(copies), device=device).repeat_interleave(copies)  # (b,)
        self.rows, self.filled = power_of_two(len(row)), prompt_ids.shape[1]
        self.size = self.filled + max_new_tokens
        self.keys, self.values = [], []
        for layer in out.past_key_values.layers:
            self.keys.append(self.block_of(layer.keys, row))  # (rows, kv heads, size, head_dim)
            self.values.append(self.block_of(layer.values, row))
        self.logits = out.logits[row, -1]  # (b, V)
        # What the step reads, and what it writes: never replaced, only overwritten.
        self.token = torch.zeros((self.rows, 1), dtype=torch.long, device=device)
        self.position = torch.zeros((self.rows, 1), dtype=torch.long, device=device)
        self.slot = torch.zeros(1, dtype=torch.long, device=device)
        self.attended = torch.ones((self.rows, 1, 1, self.size), dtype=torch.bool, device=device)
        self.attended[:, :, :, self.filled :] = False
        self.attended[: len(row), 0, 0, : self.filled] = prompt_mask[row].bool()
        self.position[: len(row), 0] = position[row, -1]
        self.place = torch.arange(len(row), device=device)  # (b,) where each running row lies
        self.graphs: dict[tuple[int, int], tuple] = {}

    def block_of(self, filled: Tensor, row: Tensor) -> Tensor:
        """The slots of one layer: a prompt's (p, heads, L, d) copied for each of its rows, then zeros."""
        _, heads, length, width = filled.shape
        block = filled.new_zeros(self.rows, heads, self.size, width)
        block[: len(row), :, :length] = filled[row]
        return block

    def keep(self, kept: Tensor) -> None:
        """Only these of the rows go on; at half of the rows, they move to the front."""
        self.place = self.place[kept]
        rows = power_of_two(len(kept))
        if rows == self.rows:
            return
        for block in (*self.keys, *self.values, self.attended, self.position):
            block[: len(kept)] = block[self.place]
        self.rows, self.place = rows, torch.arange(len(kept), device=kept.device)

    def step(self, token: Tensor) -> Tensor:
        """token (b,), the last one of each row -> logits (b, V) of the next."""
        self.token[self.place, 0] = token
        self.position[: self.rows] += 1
        self.slot.fill_(self.filled)
        self.attended[:, :, :, self.filled] = True
        self.filled += 1
        slots = min(-(-self.filled // SLOTS) * SLOTS, self.size)
        return self.run(self.rows, slots)[self.place]  # (b, V)

    def run(self, rows: int, slots: int) -> Tensor:
        """The step on the first `rows` rows and `slots` slots: a replay, or plain; (rows, V)."""
        if not self.on_gpu or FixedDecoder.broken:
            return self.forward(rows, slots)
        if (rows, slots) not in self.graphs:
            try:
                self.graphs[rows, slots] = self.capture(rows, slots)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                FixedDecoder.broken = True
                self.graphs.clear()
                print(
                    f"the decode step could not be captured ({str(error).splitlines()[0]}): sampling "
                    "goes on without CUDA graphs, slower",
                    file=sys.stderr,
                )
                return self.forward(rows, slots)
        graph, logits = self.graphs[rows, slots]
        graph.replay()
        return logits

    @property
    def on_gpu(self) -> bool:
        return self.token.device.type == "cuda"

    def forward(self, rows: int, slots: int) -> Tensor:
        """The step itself, on views of the fixed tensors."""
        keys, values = (
            [b[:rows, :, :slots] for b in blocks] for blocks in (self.keys, self.values)
        )
        out = self.model(
            input_ids=self.token[:rows],
            attention_mask=self.attended[:rows, :, :, :slots],
            position_ids=self.position[:rows],
            past_key_values=Slots(keys, values, self.slot),
            use_cache=True,
        )
        return out.logits[:, -1]  # (rows, V)

    def capture(self, rows: int, slots: int) -> tuple:
        """A graph of the step, and the logits that its replay fills.

        Every run of the step writes the same token into the same slot, so the warm-up leaves no trace.
        """
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.forward(rows, slots)
        torch.cuda.current_stream().wait_stream(stream)
        pool = next(iter(self.graphs.values()))[0].pool() if self.graphs else None
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            logits = self.forward(rows, slots)  # (rows, V)
        return graph, logits


def prefill(model: Callable, prompt_ids: Tensor, prompt_mask: Tensor) -> tuple[Tensor, object]:
    """Each prompt once through the model: its tokens' positions (p, L), and the model's output.

    prompt_ids, prompt_mask (p, L), padded on the left; the output has the cache and the last logits.
    """
    position = (prompt_mask.cumsum(dim=1) - 1).clamp_min(0)  # (p, L): padding does not count
    out = model(
        input_ids=prompt_ids,
        attention_mask=prompt_mask,
        position_ids=position,
        use_cache=True,
        logits_to_keep=1,
    )
    return position, out


def power_of_two(rows: int) -> int:
    """The smallest power of two that is not below `rows`.

    >>> [power_of_two(n) for n in (1, 2, 3, 8, 9)]
    [1, 2, 4, 8, 16]
    """
    return 1 << (rows - 1).bit_length()
