"""segttt: medical image segmentation with test-time-training and state-space U-Nets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segttt.commands.resident import Predictor

    __version__: str

__all__ = ["Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    """The public API, imported when it is asked for, so that the command line answers at once."""
    if name == "Predictor":
        from segttt.commands.resident import Predictor

        return Predictor
    if name == "__version__":
        from importlib.metadata import version

        return version("segttt")
    raise AttributeError(f"module 'segttt' has no attribute '{name}'")
