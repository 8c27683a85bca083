"""Whether the arguments of an operator fit each other, which compiled loops take for granted."""

from collections.abc import Collection

from torch import Tensor

from segttt.errors import UsageError

Wanted = tuple[Tensor, Collection[int]]
"""An argument, and the shape that the others ask of it."""


def require(**arguments: Wanted) -> None:
    """Raise UsageError for the first argument that has another shape, or no numbers."""
    for name, (x, shape) in arguments.items():
        if list(x.shape) != list(shape):
            raise UsageError(
                f"{name} has the shape {list(x.shape)}, beside the other arguments it must be "
                f"{list(shape)}"
            )
        if not x.numel():
            raise UsageError(f"{name} has the shape {list(x.shape)}; give at least one number")


def directions(backwards: Collection[bool] | None, count: int, what: str) -> Collection[bool]:
    """Which of `count` sequences are read from the last token on; none without `backwards`.

    Raises UsageError where `backwards` has not one entry for each.
    """
    turned = [False] * count if backwards is None else list(backwards)
    if len(turned) != count:
        raise UsageError(f"backwards has {len(turned)} entries for {count} {what}; give as many")
    return turned
