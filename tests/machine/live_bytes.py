"""The most bytes of tensors alive at one time, counted as they are made: memory measured on the CPU."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class LiveBytes(TorchDispatchMode):
    """`with LiveBytes() as live:` then live.peak, in bytes; what was alive before does not count."""

    def __init__(self, *before):
        super().__init__()
        self.now = self.peak = 0
        self.known = weakref.WeakSet()
        self.before = {t.untyped_storage()._cdata for t in before}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self.count(tensor.untyped_storage())
        return out

    def count(self, storage):
        if storage in self.known or storage._cdata in self.before:
            return
        self.known.add(storage)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.gone, size)

    def gone(self, size):
        self.now -= size
