"""Rotation, scaling and mirroring of a sample; angles in degrees about the (z, y, x) axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segttt.config.recipe import Augmentation

OUTSIDE = -1


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


def apply_turn(
    image: Float[Tensor, "c *grid"],
    labels: Int[Tensor, "*grid"],
    patch: Sequence[int],
    turn: Turn,
) -> tuple[Float[Tensor, "c *patch"], Int[Tensor, "*patch"]]:
    """Cut a turned patch from the middle of a larger window by (tri)linear interpolation.

    Labels are interpolated class by class and the largest wins. What comes from outside the
    window is 0 in the image and -1 in the labels.
    """
    values = labels.unique()
    values = values[values != OUTSIDE]
    planes = torch.cat([image, (labels[None] == values.view(-1, *[1] * labels.ndim)).to(image)])
    planar = len(turn.angles_deg) == 1 and image.ndim == 4
    if planar:  # dummy-2D: every slice is a picture of its own
        planes = planes.flatten(0, 1)
        sampled = _sample(planes, patch[1:], turn).unflatten(0, (-1, patch[0]))
    else:
        sampled = _sample(planes, patch, turn)
    channels = image.shape[0]
    shares = sampled[channels:]
    outside = 1 - shares.sum(0, keepdim=True)
    best = torch.cat([outside, shares]).argmax(0)
    return sampled[:channels], torch.cat([values.new_tensor([OUTSIDE]), values])[best]


def mirror(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    """Flip spatial axes, counted from the first spatial one after the leading axis."""
    return tensor.flip([axis + 1 for axis in axes]) if axes else tensor


def _sample(
    planes: Float[Tensor, "c *grid"], patch: Sequence[int], turn: Turn
) -> Float[Tensor, "c *patch"]:
    matrix = reduce(np.matmul, _rotations([math.radians(angle) for angle in turn.angles_deg]))
    size = planes.shape[1:]
    axes = [torch.arange(n, device=planes.device) - (n - 1) / 2 for n in patch]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).to(planes)
    turned = offsets @ planes.new_tensor(matrix * turn.scale)
    # grid_sample: -1 and 1 are the outer faces, axes in (x, y, z) order
    place = (turned * planes.new_tensor([2.0 / n for n in size])).flip(-1)
    return F.grid_sample(
        planes[None], place[None], mode="bilinear", padding_mode="zeros", align_corners=False
    )[0]


def _rotations(angles: Sequence[float]) -> list[np.ndarray]:
    """Rotation matrices for row vectors: one in 2D, one about each axis in 3D."""
    if len(angles) == 1:
        c, s = math.cos(angles[0]), math.sin(angles[0])
        return [np.array([[c, s], [-s, c]])]
    matrices = []
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(3)
        matrix[a, a] = matrix[b, b] = math.cos(angle)
        matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
        matrices.append(matrix)
    return matrices
