"""What planning knows of a dataset."""

from segttt.config.strict import Strict


class CaseFacts(Strict):
    """Geometry of one case in the canonical orientation, axes (z, y, x)."""

    id: str
    shape: tuple[int, int, int]
    """After cropping to non-zero."""
    full_shape: tuple[int, int, int]
    """Before cropping."""
    spacing_mm: tuple[float, float, float]
    relative_size: float
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

    cases: tuple[CaseFacts, ...]
    channels: tuple[ChannelFacts, ...]
    class_voxels: dict[str, int]
    """Voxels of each class, by name, over all cases."""
