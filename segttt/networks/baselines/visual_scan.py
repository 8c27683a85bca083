"""Visual state-space blocks: maps scanned in four directions, and the encoder made of them.

Maps are channel-last inside, [b, y, x, c]. Source: VMamba, arXiv 2401.10166.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segttt.errors import UsageError
from segttt.kernels.selective_scan.op import selective_scan
from segttt.networks.baselines.drop_path import DropPath, Rates
from segttt.networks.layer_norm import LayerNorm
from segttt.networks.mamba_init import state_matrix_log, step_bias

DIRECTIONS = 4
"""Along rows, along columns, and both of these backwards."""
BLOCK_EPS = 1e-6
MULTIPLE = 32
LINEAR_STD = 0.02


def rows_of(x: Float[Tensor, "b y x c"]) -> Float[Tensor, "b n c"]:
    """The pixels row by row."""
    return x.flatten(1, 2)


def columns_of(x: Float[Tensor, "b y x c"]) -> Float[Tensor, "b n c"]:
    """The pixels column by column."""
    return x.transpose(1, 2).flatten(1, 2)


def to_map(
    rows: Float[Tensor, "b n c"], columns: Float[Tensor, "b n c"], width: int
) -> Float[Tensor, "b y x c"]:
    """Put the tokens of both back on their pixels, and add; `width` pixels a row."""
    return rows.unflatten(1, (-1, width)) + columns.unflatten(1, (width, -1)).transpose(1, 2)


class SS2D(nn.Module):
    """A gated selective scan of a map along its rows and columns, forwards and backwards.

    Each direction has its own parameters. The scan runs in float32 or better, whatever the
    autocast; the projections follow it. Source: VMamba, arXiv 2401.10166, section 4.2.
    """

    def __init__(self, width: int, states: int):
        super().__init__()
        inner, rank = 2 * width, math.ceil(width / 16)
        self.selected = [rank, states, states]
        self.enter = nn.Linear(width, 2 * inner, bias=False)
        self.conv = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.select = nn.Parameter(torch.empty(DIRECTIONS, sum(self.selected), inner))
        self.step = nn.Parameter(torch.empty(DIRECTIONS, inner, rank))
        self.step_bias = nn.Parameter(step_bias((DIRECTIONS, inner)))
        self.A_log = nn.Parameter(state_matrix_log((DIRECTIONS, inner, states)))
        self.D = nn.Parameter(torch.ones(DIRECTIONS, inner))
        self.norm = LayerNorm(inner)
        self.leave = nn.Linear(inner, width, bias=False)
        for weight, fan_in in ((self.select, inner), (self.step, rank)):
            nn.init.uniform_(weight, -(fan_in**-0.5), fan_in**-0.5)

    def forward(self, x: Float[Tensor, "b y x c"]) -> Float[Tensor, "b y x c"]:
        u, z = self.enter(x).chunk(2, -1)
        u = F.silu(self.conv(u.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        rows, columns = self._scan(rows_of(u), 0), self._scan(columns_of(u), 1)
        return self.leave(self.norm(to_map(rows, columns, x.shape[2])) * F.silu(z))

    def _scan(self, u: Float[Tensor, "b n d"], first: int) -> Float[Tensor, "b n d"]:
        """The tokens forwards and backwards, directions `first` and `first` + 2, added."""
        which = slice(first, None, DIRECTIONS // 2)
        same = u[:, None]
        low, B, C = (same @ self.select[which].mT).split(self.selected, -1)
        dt = low @ self.step[which].mT  # [b, 2, n, d]
        weights = self.A_log[which], self.D[which], self.step_bias[which]
        parts = (same.expand_as(dt), dt, -weights[0].exp(), B, C, *weights[1:])
        # The operator itself is deaf to autocast: it computes in the dtype that it is given.
        wide = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in parts)
        return selective_scan(*wide, backwards=(False, True), merge="sum")


class VSSBlock(nn.Module):
    """x + drop_path(SS2D(LN x)); there is no MLP."""

    def __init__(self, width: int, states: int, rate: float):
        super().__init__()
        self.norm = LayerNorm(width, eps=BLOCK_EPS)
        self.mixer = SS2D(width, states)
        self.drop_path = DropPath(rate)

    def forward(self, x: Float[Tensor, "b y x c"]) -> Float[Tensor, "b y x c"]:
        return x + self.drop_path(self.mixer(self.norm(x)))


def vss_stage(width: int, states: int, rates: tuple[float, ...]) -> nn.Sequential:
    """One block per rate."""
    return nn.Sequential(*(VSSBlock(width, states, rate) for rate in rates))


class PatchEmbedding(nn.Module):
    """One token per square of `edge` x `edge` pixels, and a norm."""

    def __init__(self, c_in: int, width: int, edge: int):
        super().__init__()
        self.conv = nn.Conv2d(c_in, width, edge, edge)
        self.norm = LayerNorm(width)

    def forward(self, x: Float[Tensor, "b c_in y x"]) -> Float[Tensor, "b small_y small_x c"]:
        return self.norm(self.conv(x).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Halve the resolution and double the width: 2 x 2 tokens become one."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Float[Tensor, "b y x c"]) -> Float[Tensor, "b small_y small_x c_out"]:
        cells = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # [b, y, 2, x, 2, c]
        return self.reduce(self.norm(cells.permute(0, 1, 3, 4, 2, 5).flatten(3)))


class PatchExpanding(nn.Module):
    """Raise the resolution by `factor`: one token becomes `factor` x `factor` of `c_out` values."""

    def __init__(self, c_in: int, c_out: int, factor: int):
        super().__init__()
        self.factor = factor
        self.expand = nn.Linear(c_in, factor**2 * c_out, bias=False)
        self.norm = LayerNorm(c_out)

    def forward(self, x: Float[Tensor, "b y x c_in"]) -> Float[Tensor, "b large_y large_x c_out"]:
        cells = self.expand(x).unflatten(-1, (self.factor, self.factor, -1))
        return self.norm(cells.transpose(2, 3).flatten(3, 4).flatten(1, 2))


class VSSEncoder(nn.Module):
    """A patch embedding of `edge` pixels, and stages of blocks; merging doubles the width between.

    Its linear layers start truncated normal, as in Swin.
    """

    def __init__(self, c_in: int, edge: int, width: int, states: int, rates: Rates):
        super().__init__()
        widths = [width << stage for stage in range(len(rates))]
        self.embedding = PatchEmbedding(c_in, width, edge)
        self.stages = nn.ModuleList(
            vss_stage(wide, states, rate) for wide, rate in zip(widths, rates, strict=True)
        )
        self.merges = nn.ModuleList(PatchMerging(wide) for wide in widths[:-1])
        initialise_linear(self)

    def forward(
        self, x: Float[Tensor, "b c_in y x"]
    ) -> tuple[list[Float[Tensor, "b _ _ _"]], list[Float[Tensor, "b _ _ _"]]]:
        """The map that enters each stage, and the map that leaves it, highest resolution first."""
        entering, leaving = [self.embedding(x)], []
        for stage in self.stages:
            leaving.append(stage(entering[-1]))
            if len(leaving) <= len(self.merges):
                entering.append(self.merges[len(leaving) - 1](leaving[-1]))
        return entering, leaving


def initialise_linear(network: nn.Module) -> None:
    """Truncated normal weights of deviation 0.02 and zero biases for all linear layers."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=LINEAR_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_grid(grid: tuple[int, ...]) -> None:
    """A `UsageError` tells that an edge of the input is not a multiple of 32."""
    if any(edge % MULTIPLE for edge in grid):
        raise UsageError(
            f"The input is {list(grid)}, but this network needs edges that are multiples of "
            f"{MULTIPLE}."
        )
