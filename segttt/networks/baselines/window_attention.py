"""Attention within windows of a volume, plain or shifted, as nnFormer uses it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from segttt.shapes import Shape3

MASKED = -100.0  # e^-100 is nothing beside a token's own weight, and no kernel stumbles over it


@dataclass(frozen=True)
class Windows:
    """Cubic windows over a grid of tokens, and how far the grid is rolled before it is cut."""

    grid: Shape3
    edge: int
    shift: int

    @property
    def padded(self) -> Shape3:
        """The grid, filled up to whole windows."""
        z, y, x = (-(-size // self.edge) * self.edge for size in self.grid)
        return z, y, x

    def cut(self, x: Float[Tensor, "b z y x c"]) -> Float[Tensor, "b w n c"]:
        """The n tokens of each of w windows; zeros fill the grid up."""
        missing = [full - size for full, size in zip(self.padded, self.grid, strict=True)]
        if any(missing):
            x = F.pad(x, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))
        if self.shift:
            x = x.roll((-self.shift,) * 3, (1, 2, 3))
        return partition(x, self.edge)

    def join(self, windows: Float[Tensor, "b w n c"]) -> Float[Tensor, "b z y x c"]:
        """Inverse of `cut`."""
        x = merge(windows, self.padded, self.edge)
        if self.shift:
            x = x.roll((self.shift,) * 3, (1, 2, 3))
        z, y, width = self.grid
        return x[:, :z, :y, :width]


def windows_of(grid: Shape3, edge: int, shifted: bool) -> Windows:
    """Windows of `edge` tokens, shifted by half of it or not.

    Where the shortest side of the grid is no longer than that, it is the edge, and nothing shifts.
    """
    if min(grid) <= edge:
        return Windows(grid, min(grid), 0)
    return Windows(grid, edge, edge // 2 if shifted else 0)


def partition(x: Shaped[Tensor, "b z y x c"], edge: int) -> Shaped[Tensor, "b w n c"]:
    """Cut a grid of whole windows into w windows of n = edge³ tokens each."""
    b, *grid, c = x.shape
    z, y, width = (size // edge for size in grid)
    x = x.reshape(b, z, edge, y, edge, width, edge, c)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(b, z * y * width, edge**3, c)


def merge(
    windows: Shaped[Tensor, "b w n c"], grid: Shape3, edge: int
) -> Shaped[Tensor, "b z y x c"]:
    """Inverse of `partition`."""
    b, c = windows.shape[0], windows.shape[-1]
    z, y, width = (size // edge for size in grid)
    x = windows.reshape(b, z, y, width, edge, edge, edge, c)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(b, *grid, c)


def relative_position(edge: int) -> Int[Tensor, "n n"]:
    """Number of the offset between each two tokens of a window, from 0 to (2 edge - 1)³ - 1.

    Each offset has its own number. In the published code the factor of z is 3 edge - 1 in place of
    (2 edge - 1)², which lets different offsets share one (115 for 343 at an edge of 4).
    """
    span = 2 * edge - 1
    axis = torch.arange(edge)
    place = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).flatten(1)  # [3, n]
    z, y, x = place[:, :, None] - place[:, None, :] + edge - 1
    return (z * span + y) * span + x


def shift_mask(windows: Windows) -> Float[Tensor, "w 1 n n"]:
    """0 between tokens that were neighbours before the grid was rolled, -100 between others."""
    region = torch.zeros((), dtype=torch.long)
    for axis, size in enumerate(windows.padded):
        place = torch.arange(size)
        part = (place >= size - windows.edge).long() + (place >= size - windows.shift)
        region = 3 * region + part.view([-1 if each == axis else 1 for each in range(3)])
    parts = partition(region[None, ..., None], windows.edge)[0]  # [w, n, 1]
    return torch.where(parts == parts.mT, 0.0, MASKED)[:, None]


class WindowAttention(nn.Module):
    """Attention of queries to the keys of their window, with a learned bias per relative position.

    Source: Swin transformer, arXiv 2103.14030, equation 4, in three dimensions.
    """

    position: Tensor
    mask: Tensor | None

    def __init__(self, width: int, heads: int, windows: Windows):
        super().__init__()
        self.heads = heads
        self.bias = nn.Parameter(torch.empty((2 * windows.edge - 1) ** 3, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.project = nn.Linear(width, width)
        self.register_buffer("position", relative_position(windows.edge), persistent=False)
        mask = shift_mask(windows) if windows.shift else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(
        self,
        q: Float[Tensor, "b w n c"],
        k: Float[Tensor, "b w n c"],
        v: Float[Tensor, "b w n c"],
    ) -> Float[Tensor, "b w n c"]:
        bias = F.embedding(self.position, self.bias).movedim(-1, 0)[None]  # [1, h, n, n]
        if self.mask is not None:
            bias = (bias + self.mask).repeat(len(q), 1, 1, 1)  # [bw, h, n, n]
        heads = (x.flatten(0, 1).unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        out = F.scaled_dot_product_attention(*heads, attn_mask=bias)  # [bw, h, n, d]
        return self.project(out.transpose(1, 2).reshape(q.shape))
