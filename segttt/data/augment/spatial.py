"""Rotation, scaling and mirroring of a sample; angles in degrees about the (z, y, x) axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from segttt.config.recipe import Augmentation
from segttt.data.augment.interpolate import Places, image_at, labels_at


@dataclass(frozen=True)
class Turn:
    """One rotation and scaling. `scale` above 1 makes objects smaller."""

    angles_deg: tuple[float, ...]
    """About (z, y, x) in 3D; one angle in the plane for 2D and dummy-2D."""
    scale: float


def draw_turn(random: np.random.Generator, recipe: Augmentation, rank: int) -> Turn | None:
    """Rotation and scaling of one sample, or None where neither is drawn."""
    rotated, scaled = random.random() < recipe.rotation, random.random() < recipe.scaling
    axes = 3 if rank == 3 and not recipe.dummy_2d else 1
    angles = random.uniform(-recipe.rotation_deg, recipe.rotation_deg, axes)
    scale = float(random.uniform(*recipe.scaling_range))
    if not rotated and not scaled:
        return None
    return Turn(tuple(angles.tolist()) if rotated else (0.0,) * axes, scale if scaled else 1.0)


def reach(patch: Sequence[int], recipe: Augmentation) -> tuple[int, ...]:
    """Window that a rotated and scaled patch is cut from.

    Per axis the largest extent of the patch diagonal turned by the largest angle (at most 90
    degrees) about each axis, divided by 0.85 (nnU-Net's rule).
    """
    planar = len(patch) == 2 or recipe.dummy_2d
    fixed, turned = (tuple(patch[:-2]), patch[-2:]) if planar else ((), patch)
    angle = math.radians(min(recipe.rotation_deg, 90.0))
    largest = np.array(turned, dtype=float)
    for matrix in _rotations((angle,) * (1 if planar else 3)):
        largest = np.maximum(largest, np.abs(np.array(turned) @ matrix))
    return (*fixed, *(int(edge) for edge in largest / 0.85))


def needed(window: Sequence[int], patch: Sequence[int], turn: Turn | None) -> tuple[int, ...]:
    """The middle part of a window that a turned patch takes voxels from, at most the window.

    Every edge has the parity of the window's, so that both have the same centre; without a turn
    it is the patch.
    """
    if turn is None:
        return tuple(patch)
    matrix = np.abs(_matrix(turn))
    fixed = len(patch) - len(matrix)  # dummy-2D turns the last two axes
    half = np.array([(n - 1) / 2 for n in patch[fixed:]]) @ matrix
    spans = [2 * math.ceil(h) + 2 for h in half]
    wide = (n + (edge - n) % 2 for n, edge in zip(spans, window[fixed:], strict=True))
    kept = (min(n, edge) for n, edge in zip(wide, window[fixed:], strict=True))
    return (*window[:fixed], *kept)


def apply_turn(
    image: Float[Tensor, "c *grid"],
    labels: Int[Tensor, "*grid"],
    patch: Sequence[int],
    turn: Turn,
) -> tuple[Float[Tensor, "c *patch"], Int[Tensor, "*patch"]]:
    """Cut a turned patch from the middle of a larger window by (tri)linear interpolation.

    The label of the largest interpolated share wins. What comes from outside the window is 0 in
    the image and -1 in the labels.
    """
    planar = len(turn.angles_deg) == 1 and image.ndim == 4
    if planar:  # dummy-2D: every slice is a picture of its own
        places = _places(image.shape[2:], patch[1:], turn, image.device)
        slices = image_at(image.flatten(0, 1), places).unflatten(0, (-1, patch[0]))
        return slices, labels_at(labels, places)
    places = _places(image.shape[1:], patch, turn, image.device)
    return image_at(image, places), labels_at(labels[None], places)[0]


def mirror(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    """Flip spatial axes, counted from the first spatial one after the leading axis."""
    return tensor.flip([axis + 1 for axis in axes]) if axes else tensor


def _places(size: Sequence[int], patch: Sequence[int], turn: Turn, device: torch.device) -> Places:
    """Where each voxel of the patch lies in the window."""
    matrix = _matrix(turn)
    steps = [torch.arange(n, device=device, dtype=torch.float32) - (n - 1) / 2 for n in patch]
    lines = [line.view(-1, *[1] * (len(patch) - 1 - axis)) for axis, line in enumerate(steps)]
    coordinates = [
        reduce(torch.add, (line * float(m) for line, m in zip(lines, matrix[:, axis], strict=True)))
        + (n - 1) / 2
        for axis, n in enumerate(size)
    ]
    return Places.of(coordinates, size)


def _matrix(turn: Turn) -> np.ndarray:
    """From offsets in the patch to offsets in the window, for row vectors."""
    rotations = _rotations([math.radians(angle) for angle in turn.angles_deg])
    return reduce(np.matmul, rotations) * turn.scale


def _rotations(angles: Sequence[float]) -> list[np.ndarray]:
    """Rotation matrices for row vectors: one in 2D, one about each axis in 3D."""
    if len(angles) == 1:
        c, s = math.cos(angles[0]), math.sin(angles[0])
        return [np.array([[c, -s], [s, c]])]
    matrices = []
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(3)
        matrix[a, a] = matrix[b, b] = math.cos(angle)
        matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
        matrices.append(matrix)
    return matrices
