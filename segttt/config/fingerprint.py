"""What planning knows of a dataset."""

from typing import Annotated, ClassVar

from pydantic import Field, PositiveFloat

from segttt.config.strict import Strict
from segttt.config.text import MAX_BYTES

Edge = Annotated[int, Field(ge=1, le=2**20)]
Edges = tuple[Edge, Edge, Edge]


class CaseFacts(Strict):
    """Geometry of one case in the canonical orientation, axes (z, y, x)."""

    id: str
    shape: Edges
    """After cropping to non-zero."""
    full_shape: Edges
    """Before cropping."""
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    relative_size: float = Field(ge=0, le=1)
    """Voxels after cropping over voxels before."""


class ChannelFacts(Strict):
    """Intensities of one channel over sampled foreground voxels of all cases."""

    mean: float
    median: float
    std: float
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float


class Fingerprint(Strict):
    """Geometry and intensities of all usable training cases."""

    largest_bytes: ClassVar[int] = MAX_BYTES

    cases: tuple[CaseFacts, ...]
    channels: tuple[ChannelFacts, ...]
    class_voxels: dict[str, int]
    """Voxels of each class, by name, over all cases."""
