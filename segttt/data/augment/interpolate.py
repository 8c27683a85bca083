"""Images and label maps between their voxels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from math import prod
from operator import mul

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

OUTSIDE = -1
MIXED = -(2**15)
"""Of a cell whose corners differ; no label is that small."""
EDGE = 2  # a place outside by any distance falls into a cell without a voxel of the grid


@dataclass(frozen=True)
class Places:
    """Fractional places in a grid: the cell of voxels around each, and where in it."""

    size: tuple[int, ...]
    """Voxels of the grid with EDGE around it."""
    cell: Int[Tensor, "*patch"]
    """Lowest corner in the flattened grid."""
    shares: tuple[Float[Tensor, "*patch"], ...]
    """How far along each axis, 0 to 1."""

    @classmethod
    def of(cls, coordinates: Sequence[Float[Tensor, "*patch"]], grid: Sequence[int]) -> "Places":
        """From voxel coordinates, one tensor for each axis of the grid."""
        size = tuple(n + 2 * EDGE for n in grid)
        corners = [at.floor().clamp_(-EDGE, n) for at, n in zip(coordinates, grid, strict=True)]
        cell = _flat([corner.int() + EDGE for corner in corners], size)
        pairs = zip(coordinates, corners, strict=True)
        return cls(size, cell, tuple((at - corner).clamp_(0, 1) for at, corner in pairs))

    def steps(self) -> list[int]:
        """From the lowest corner of a cell to each, in the flattened grid; last axis fastest."""
        strides = [prod(self.size[axis + 1 :]) for axis in range(len(self.size))]
        corners = product((0, 1), repeat=len(strides))
        return [sum(map(mul, corner, strides)) for corner in corners]


def image_at(planes: Float[Tensor, "n *grid"], places: Places) -> Float[Tensor, "n *patch"]:
    """(Tri)linear interpolation; voxels beyond the grid are 0."""
    cell = places.cell.flatten()
    shares = [share.flatten() for share in places.shares]
    found = [
        _blended(_corners(plane.flatten(), cell, places), shares) for plane in _edged(planes, 0)
    ]
    return torch.stack(found).view(len(planes), *places.cell.shape)


def labels_at(labels: Int[Tensor, "n *grid"], places: Places) -> Int[Tensor, "n *patch"]:
    """The label with the largest share of the linear interpolation; of two, the lower one.

    Voxels beyond the grid are -1. This is the argmax of the interpolated indicators of all labels,
    whose cost would grow with their number; here it grows with the corners of a cell.
    """
    edged = _edged(labels, OUTSIDE)
    # A GPU that is asked for the places that need work is waited for; to work out all costs less.
    found = (_of_mixed if labels.device.type == "cpu" else _of_all)(edged, places)
    return found.view(len(labels), *places.cell.shape)


def _of_all(edged: Int[Tensor, "n *grid"], places: Places) -> Int[Tensor, "n places"]:
    cell = places.cell.flatten()
    around = [edged.flatten(1)[:, step:].index_select(1, cell) for step in places.steps()]
    return _of_several(around, [share.flatten() for share in places.shares])


def _of_mixed(edged: Int[Tensor, "n *grid"], places: Places) -> Int[Tensor, "n places"]:
    """Works out only the places in cells of several labels."""
    found = _cells(edged).index_select(1, places.cell.flatten())
    picture, place = (found == MIXED).nonzero(as_tuple=True)
    cell = places.cell.flatten()[place] + picture * edged[0].numel()
    around = _corners(edged.flatten(), cell, places)
    shares = [share.flatten()[place] for share in places.shares]
    found[picture, place] = _largest(around, shares)
    return found


def _corners(flat: Tensor, cell: Int[Tensor, " places"], places: Places) -> list[Tensor]:
    """The values at the corners of cells, last axis fastest."""
    # A shifted view and one line of numbers are gathered a third faster than shifted places.
    return [flat[step:].index_select(0, cell) for step in places.steps()]


def _edged(planes: Tensor, value: int) -> Tensor:
    return pad(planes, (EDGE, EDGE) * (planes.ndim - 1), value=value)


def _cells(edged: Int[Tensor, "n *grid"]) -> Int[Tensor, "n cells"]:
    """For the cell above each voxel its label where its corners agree, else MIXED."""
    cells = edged.clone()
    low = high = edged
    for axis in range(1, edged.ndim):
        n = low.shape[axis] - 1
        low = torch.minimum(low.narrow(axis, 0, n), low.narrow(axis, 1, n))
        high = torch.maximum(high.narrow(axis, 0, n), high.narrow(axis, 1, n))
    inside = tuple(slice(n) for n in low.shape)
    cells[inside] = torch.where(low == high, low, MIXED)  # the last along an axis is never asked
    return cells.flatten(1)


def _flat(index: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """Position in the flattened grid."""
    return reduce(lambda flat, axis: flat * size[axis] + index[axis], range(1, len(size)), index[0])


def _blended(values: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
    """Linear interpolation between the corners of cells, last axis first."""
    for share in reversed(shares):
        pairs = zip(values[0::2], values[1::2], strict=True)
        values = [torch.lerp(low, high, share) for low, high in pairs]
    return values[0]


def _largest(
    around: Sequence[Int[Tensor, " places"]], shares: Sequence[Float[Tensor, " places"]]
) -> Int[Tensor, " places"]:
    """The label of the largest share among the corners, the lower one of two."""
    low, high = reduce(torch.minimum, around), reduce(torch.maximum, around)
    upper = _blended([(label == high).to(shares[0]) for label in around], shares)
    winner = torch.where(upper > 0.5, high, low)
    third = reduce(torch.logical_or, ((label != low) & (label != high) for label in around))
    several = third.nonzero().flatten()
    if len(several):
        corners = [label[several] for label in around]
        winner[several] = _of_several(corners, [share[several] for share in shares])
    return winner


def _of_several(around: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
    best = torch.full_like(around[0], -1, dtype=shares[0].dtype)
    winner = around[0].clone()
    for label in around:
        total = _blended([(label == other).to(best) for other in around], shares)
        better = (total > best) | ((total == best) & (label < winner))
        winner = torch.where(better, label, winner)
        best = torch.maximum(best, total)
    return winner
