"""segttt: medical image segmentation with test-time-training and state-space U-Nets."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segttt.commands.resident import Predictor

__all__ = ["Predictor", "__version__"]
__version__ = version("segttt")


def __getattr__(name: str) -> Any:
    """The public API, imported when it is asked for, so that the command line answers at once."""
    if name == "Predictor":
        from segttt.commands.resident import Predictor

        return Predictor
    raise AttributeError(f"module 'segttt' has no attribute '{name}'")
