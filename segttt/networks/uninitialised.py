"""Networks whose weights are not drawn, because something else decides or nobody reads them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

DRAWS = frozenset(
    {
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.kaiming_normal_,
        nn.init.kaiming_uniform_,
    }
)
"""Those that PyTorch hands to a mode; other initialisers are made of the first two."""


class Uninitialised(TorchFunctionMode):
    """Inside this context new weights stay as they were allocated.

    For networks that get their weights from a file, and for those that are only counted: drawing
    normal numbers on the meta device costs a second, since it imports the compiler.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The tensor itself in place of the draw; everything else as ever."""
        named = kwargs or {}
        if func in DRAWS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)
