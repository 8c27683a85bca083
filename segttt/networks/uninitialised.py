"""Networks whose weights are not drawn, because something else decides or nobody reads them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

FILLS = frozenset({torch.Tensor.normal_, torch.Tensor.uniform_})
"""Their first parameter, the mean or the lower end, is a value that they could draw."""

DRAWS = frozenset(
    {nn.init.normal_, nn.init.uniform_, nn.init.kaiming_normal_, nn.init.kaiming_uniform_}
)
"""Those that PyTorch hands to a mode; other initialisers are made of the two of a tensor."""


class Uninitialised(TorchFunctionMode):
    """Inside this context no weight is random: it stays as it was allocated, or is one number.

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
        if func in FILLS:
            # A truncated normal draws again until all numbers lie in its range, so that whatever
            # the memory held before could keep it drawing for ever.
            tensor = args[0]
            first = args[1] if len(args) > 1 else named.get("mean", named.get("from", 0.0))
            return tensor if tensor.is_meta else tensor.fill_(first)
        return func(*args, **named)
