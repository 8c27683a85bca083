"""Stages of a U-Net from the spacing and size of its window: where to pool, where to convolve."""

from segttt.config.network import Topology

SMALLEST_POOLED = 8
"""Edges below this are not halved: a bottleneck edge keeps at least 4 voxels."""
SMALLEST_POOLED_ALONE = 12
"""The same where only one axis is left to pool."""
ISOTROPIC_BELOW = 2.0
"""Axes whose spacings differ by less than this factor pool and convolve together."""


def make_topology(
    spacing_mm: tuple[float, ...], patch: tuple[int, ...], *, width: int, max_features: int
) -> Topology:
    """The stages for a window of at least `patch` voxels; its edges are padded to fit them.

    Coarse axes join the pooling once the fine ones have caught up with them. A window too small
    for any pooling is enlarged on its fine axes until it has two stages. Works on (z, y, x) and
    on (y, x). Source: nnU-Net (Isensee et al., Nature Methods 18, 203, 2021), version 2.
    """
    strides, kernels = _stages(spacing_mm, patch)
    if len(strides) < 2:
        finest = min(spacing_mm)
        patch = tuple(
            max(edge, SMALLEST_POOLED_ALONE) if step < ISOTROPIC_BELOW * finest else edge
            for edge, step in zip(patch, spacing_mm, strict=True)
        )
        strides, kernels = _stages(spacing_mm, patch)
    total = [1] * len(patch)
    for stride in strides:
        total = [have * more for have, more in zip(total, stride, strict=True)]
    return Topology(
        patch=tuple(-(-edge // unit) * unit for edge, unit in zip(patch, total, strict=True)),
        strides=tuple(strides),
        kernels=tuple(kernels),
        features=stage_features(width, max_features, len(strides)),
    )


def stage_features(width: int, max_features: int, stages: int) -> tuple[int, ...]:
    """Channels of each stage: doubled at every stage up to a limit."""
    return tuple(min(width * 2**stage, max_features) for stage in range(stages))


def default_max_features(width: int, rank: int) -> int:
    """The limit of nnU-Net (320 in 3D, 512 in 2D at width 32), in proportion to the width."""
    return width * (10 if rank == 3 else 16)


def _stages(
    spacing_mm: tuple[float, ...], patch: tuple[int, ...]
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Strides and kernels, the first stage at full resolution, the last the bottleneck."""
    size, spacing, kernel = list(patch), list(spacing_mm), [1] * len(patch)
    strides, kernels = [(1,) * len(patch)], []
    while pooled := _pooled(spacing, size):
        finest = min(spacing)
        kernel = [
            3 if step / finest < ISOTROPIC_BELOW else edge
            for edge, step in zip(kernel, spacing, strict=True)
        ]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in pooled else 1 for axis in range(len(patch))))
        for axis in pooled:
            spacing[axis] *= 2
            size[axis] = -(-size[axis] // 2)
    return strides, [*kernels, (3,) * len(patch)]


def _pooled(spacing: list[float], size: list[int]) -> list[int]:
    """Axes that the next stage halves; none where the network ends."""
    large = [axis for axis, edge in enumerate(size) if edge >= SMALLEST_POOLED]
    if not large:
        return []
    finest = min(spacing[axis] for axis in large)
    fine = [axis for axis in large if spacing[axis] / finest < ISOTROPIC_BELOW]
    return fine if len(fine) > 1 or size[fine[0]] >= SMALLEST_POOLED_ALONE else []
