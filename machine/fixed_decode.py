"""The decode step on fixed memory: slots for keys and values, and a CUDA graph that replays the step.

A decode step of Qwen2.5-3B is some thousands of small kernels; launched one by one from Python the GPU
waits for the processor. A CUDA graph launches them all at once, but only on tensors that never move and
never change their shape. So:

* the keys and values of all rows lie in one block of slots, as many as a completion may get;
* the step reads the first b rows and s slots of it. b is a power of two: when half of the rows have
  ended, those that go on move to the front and a smaller graph takes over. s grows in strides of SLOTS;
* a graph is captured the first time its (b, s) comes up, and dropped with the decoder. One decoder serves
  all the parts that a batch is sampled in, so each graph is captured once a step.

The adapter over 4-bit weights is not merged: LoRA's matrices are read where they lie, in the graph too.

Not verified: no GPU was at hand, so the capture itself has never run. On the CPU the same step runs on
the same slots without capture, equal token for token to the growing cache (tests). If a capture fails,
decoding goes on without graphs and says so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from machine.devices import empty_cache

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

    seconds: ClassVar[list[float]] = []  # of each capture in this process
    broken = False  # a capture has failed in this process: no second try
    stream: torch.cuda.Stream | None = None  # of all captures: libraries keep a workspace a stream

    def __init__(
        self,
        model: Callable,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        copies: Tensor,
        max_new_tokens: int,
    ):
        """The memory for the first prompts and max_new_tokens more; no later ones may need more of it."""
        self.model, self.device = model, prompt_ids.device
        self.most, self.size = power_of_two(int(copies.sum())), prompt_ids.shape[1] + max_new_tokens
        self.keys: list[Tensor] = []  # of each layer, (most, kv heads, size, head_dim)
        self.values: list[Tensor] = []
        # What the step reads, and what it writes: never replaced, only overwritten.
        self.token = torch.zeros((self.most, 1), dtype=torch.long, device=self.device)
        self.position = torch.zeros_like(self.token)
        self.slot = torch.zeros(1, dtype=torch.long, device=self.device)
        shape = (self.most, 1, 1, self.size)
        self.attended = torch.ones(shape, dtype=torch.bool, device=self.device)
        self.graphs: dict[tuple[int, int], tuple] = {}
        self.begin(prompt_ids, prompt_mask, copies)

    def begin(self, prompt_ids: Tensor, prompt_mask: Tensor, copies: Tensor) -> None:
        """The prefill. prompt_ids, prompt_mask (p, L); copies (p,): how many rows each prompt gets.

        The memory stays, and with it the graphs that were captured on it.
        """
        position, out = prefill(self.model, prompt_ids, prompt_mask)  # (p, L)
        row = torch.arange(len(copies), device=self.device).repeat_interleave(copies)  # (b,)
        self.rows, self.filled = power_of_two(len(row)), prompt_ids.shape[1]
        layers = out.past_key_values.layers
        if not self.keys:
            self.keys = [self.empty_block(layer.keys) for layer in layers]
            self.values = [self.empty_block(layer.values) for layer in layers]
        for i, layer in enumerate(layers):
            self.keys[i][: len(row), :, : self.filled] = layer.keys[row]
            self.values[i][: len(row), :, : self.filled] = layer.values[row]
        self.logits = out.logits[row, -1]  # (b, V)
        self.attended[:, :, :, : self.filled] = True
        self.attended[:, :, :, self.filled :] = False
        self.attended[: len(row), 0, 0, : self.filled] = prompt_mask[row].bool()
        self.position[: len(row), 0] = position[row, -1]
        self.place = torch.arange(len(row), device=self.device)  # (b,) where each running row lies

    def empty_block(self, filled: Tensor) -> Tensor:
        """The slots of one layer whose prompts fill (p, heads, L, d)."""
        _, heads, _, width = filled.shape
        return filled.new_zeros(self.most, heads, self.size, width)

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
        if (rows, slots) not in self.graphs and not self.captured(rows, slots):
            return self.forward(rows, slots)
        graph, logits = self.graphs[rows, slots]
        graph.replay()
        return logits

    def captured(self, rows: int, slots: int) -> bool:
        """Is there a graph of this step now? If not, none is tried again in this process, and it is said.

        A capture that fails may leave the stream and the allocator in capture. The stream is put back; if
        the device still takes no work, CaptureFailed ends the run and names the flag.
        """
        outside, began = current_stream(self.device), time.perf_counter()
        try:
            self.graphs[rows, slots] = self.capture(rows, slots)
            FixedDecoder.seconds.append(time.perf_counter() - began)
            return True
        except torch.OutOfMemoryError:
            set_stream(outside)
            raise
        except RuntimeError as error:
            set_stream(outside)
            FixedDecoder.broken = True
            self.graphs.clear()
            said = f"the decode step could not be captured ({str(error).splitlines()[0]})"
            if not works(self.device):
                raise CaptureFailed(
                    f"{said}, and the GPU takes no more work: go on with --fixed-decode False"
                ) from error
            print(f"{said}: sampling goes on without CUDA graphs, slower", file=sys.stderr)
            return False

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def forward(self, rows: int, slots: int) -> Tensor:
        """The step itself, on views of the fixed tensors."""
        keys, values = (
            [b[:rows, :, :slots] for b in blocks] for blocks in (self.keys, self.values)
        )
        out = self.model(
            input_ids=self.token[:rows],
            attention_mask=self.mask(rows, slots),
            position_ids=self.position[:rows],
            past_key_values=Slots(keys, values, self.slot),
            use_cache=True,
        )
        return out.logits[:, -1]  # (rows, V)

    def mask(self, rows: int, slots: int) -> Tensor:
        """Which slots each row looks at, (rows, 1, 1, slots); Gemma 2 adds it to its scores."""
        seen = self.attended[:rows, :, :, :slots]
        if self.model.config._attn_implementation != "eager":
            return seen
        least = torch.finfo(self.keys[0].dtype).min
        return torch.zeros_like(seen, dtype=self.keys[0].dtype).masked_fill(~seen, least)

    def capture(self, rows: int, slots: int) -> tuple:
        """A graph of the step, and the logits that its replay fills.

        Every run of the step writes the same token into the same slot, so the warm-up leaves no trace.
        """
        stream = FixedDecoder.stream = FixedDecoder.stream or torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.forward(rows, slots)
        torch.cuda.current_stream().wait_stream(stream)
        pool = next(iter(self.graphs.values()))[0].pool() if self.graphs else None
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=stream):
            logits = self.forward(rows, slots)  # (rows, V)
        return graph, logits


class CaptureFailed(RuntimeError):
    """A failed capture has left the GPU unusable for this process."""


def current_stream(device: torch.device):
    return torch.cuda.current_stream() if device.type == "cuda" else None


def set_stream(stream) -> None:
    if stream is not None:
        torch.cuda.set_stream(stream)


def works(device: torch.device) -> bool:
    """Does the device still take work, and its allocator believe that the capture is over?"""
    try:
        empty_cache()
        return float(torch.ones(8, device=device).sum()) == 8
    except RuntimeError:
        return False


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
