"""Synthetic label maps for the benchmarks of surface metrics."""

import numpy as np

BODY_MM = 384.0
ORGANS = {  # label -> centre as a share of the body, radii in mm (z, y, x), tolerance in mm
    1: ((0.55, 0.45, 0.30), (70, 60, 80), 5),
    2: ((0.40, 0.62, 0.33), (55, 28, 28), 3),
    3: ((0.60, 0.60, 0.75), (50, 40, 30), 3),
    4: ((0.48, 0.45, 0.52), (18, 22, 60), 5),
    5: ((0.50, 0.62, 0.50), (130, 11, 11), 2),
    6: ((0.50, 0.60, 0.44), (120, 12, 12), 2),
    7: ((0.52, 0.62, 0.38), (12, 6, 14), 2),
    8: ((0.52, 0.62, 0.63), (12, 6, 14), 2),
    9: ((0.45, 0.38, 0.37), (26, 15, 15), 2),
    10: ((0.75, 0.58, 0.50), (80, 9, 10), 3),
    11: ((0.57, 0.42, 0.65), (55, 45, 45), 5),
    12: ((0.42, 0.48, 0.45), (40, 16, 28), 7),
    13: ((0.40, 0.62, 0.67), (55, 28, 28), 3),
}
TOLERANCES = {label: float(organ[2]) for label, organ in ORGANS.items()}

Pair = tuple[np.ndarray, np.ndarray]
Three = tuple[float, float, float]


def fill(
    volume: np.ndarray, spacing: Three, centre_mm: np.ndarray, radii_mm: np.ndarray, label: int
):
    """Write an ellipsoid into a volume."""
    first = np.maximum((centre_mm - radii_mm) / spacing - 1, 0).astype(int)
    last = np.minimum((centre_mm + radii_mm) / spacing + 2, volume.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    steps = [np.arange(part.start, part.stop) for part in box]
    z, y, x = (
        ((n * s - c) / r) ** 2
        for n, s, c, r in zip(steps, spacing, centre_mm, radii_mm, strict=True)
    )
    volume[box][z[:, None, None] + y[:, None] + x <= 1] = label


def organs(shape: tuple[int, int, int], spacing: Three, *, stray: bool) -> Pair:
    """Truth and prediction; a prediction is 1.2 mm off in place and size, strays are far away."""
    random = np.random.default_rng(0)
    truth, prediction = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for volume, error_mm in ((truth, 0.0), (prediction, 1.2)):
        for label, (centre, radii, _) in ORGANS.items():
            off, more = error_mm * random.normal(size=(2, 3))
            fill(volume, spacing, np.multiply(centre, BODY_MM) + off, radii + more, label)
    for label in ORGANS if stray else ():
        fill(prediction, spacing, random.uniform(0.1, 0.9, 3) * BODY_MM, np.full(3, 6.0), label)
    return truth, prediction


def balls(first: tuple[float, float], second: tuple[float, float]) -> Pair:
    """Two balls in 256³ voxels, by place on the diagonal and radius: no surface is near."""
    masks = np.zeros((256,) * 3, np.uint8), np.zeros((256,) * 3, np.uint8)
    for mask, (centre, radius) in zip(masks, (first, second), strict=True):
        fill(mask, (1.0, 1.0, 1.0), np.full(3, centre), np.full(3, radius), 1)
    return masks


def random_mask(random: np.random.Generator, shape: tuple[int, ...], kind: int) -> np.ndarray:
    """Noise, ellipsoids or boxes."""
    if kind == 0:
        return random.random(shape) < random.random() ** 2
    mask = np.zeros(shape, bool)
    for _ in range(random.integers(1, 5)):
        centre, radius = random.uniform(0, shape), random.uniform(0.5, 8, len(shape))
        away = np.abs((np.indices(shape).T - centre) / radius)
        mask |= ((away**2).sum(-1) if kind == 1 else away.max(-1)).T <= 1
    return mask
