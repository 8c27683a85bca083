"""What would keep a CPU waiting for a GPU, counted on tensors of a CPU or on none at all."""

from collections import Counter

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

READS = ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__")
"""Methods of a tensor that bring its numbers to Python."""
MADE = ("tensor", "as_tensor", "new_tensor")
"""What copies Python's numbers to a device."""
SIZED = ("nonzero", "masked_select", "_unique2", "bincount", "repeat_interleave")
"""Operators whose result is as large as the numbers say."""


class Waits(TorchFunctionMode):
    """Counts what waits, by name; copies that do not wait are counted as `queued`."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()
        self._operators = _Operators(self.counts)

    def __enter__(self):
        self._operators.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._operators.__exit__(*error)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in READS + MADE:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):
    """The same below autograd."""

    def __init__(self, counts):
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in SIZED or (name in ("index", "index_put", "index_put_") and _masked(args[1])):
            self.counts[name] += 1
        there = kwargs.get("device")
        if name == "_to_copy" and there is not None and torch.device(there) != args[0].device:
            self.counts["queued" if kwargs.get("non_blocking") else "copied"] += 1
        if name == "copy_" and args[0].device != args[1].device:
            self.counts["queued" if len(args) > 2 and args[2] else "copied"] += 1
        return func(*args, **kwargs)


def _masked(indices):
    return any(isinstance(one, Tensor) and one.dtype == torch.bool for one in indices)
