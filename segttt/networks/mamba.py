"""The Mamba mixer: a selective state-space layer along any number of scan orders."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.network import UNetSpec
from segttt.kernels.selective_scan.op import selective_scan
from segttt.networks.causal_conv import CausalConv, of_orders
from segttt.networks.layout import MixerSite
from segttt.networks.mamba_init import state_matrix_log, step_bias
from segttt.networks.sequences import RASTER, Grid, Sequences


class Mamba(nn.Module):
    """Mamba-1 whose projections are shared by all scan orders and whose inner weights are not.

    With one order this is the layer of U-Mamba, with an order and its reverse that of Vim and of
    MM-UNet's BiScan. Sources: arXiv 2312.00752, 2401.09417, 2503.17540.
    """

    def __init__(self, site: MixerSite, spec: UNetSpec):
        super().__init__()
        width, inner = site.width, spec.expand * site.width
        own = 1 if spec.share_orders else len(site.scans)
        self.rank, self.states = math.ceil(width / 16), spec.states
        self.sequences = Sequences(site.scans, site.grid, mean=spec.merge == "mean")
        self.merge: Literal["sum", "mean"] = spec.merge
        self.ways = [RASTER[order] for order in site.scans if order in RASTER]
        self.in_place = len(self.ways) == len(site.scans)
        self.enter = nn.Linear(width, 2 * inner, bias=False)
        self.leave = nn.Linear(inner, width, bias=False)
        self.conv = CausalConv(own, inner, spec.conv_width, "silu")
        self.select = nn.Parameter(torch.empty(own, self.rank + 2 * spec.states, inner))
        self.step = nn.Parameter(torch.empty(own, inner, self.rank))
        self.step_bias = nn.Parameter(step_bias((own, inner)))
        self.A_log = nn.Parameter(state_matrix_log((own, inner, spec.states)))
        self.D = nn.Parameter(torch.ones(own, inner))
        for weight in (self.select, self.step):  # PyTorch's default for linear maps, and Mamba's
            nn.init.uniform_(weight, -(weight.shape[-1] ** -0.5), weight.shape[-1] ** -0.5)

    def forward(self, x: Float[Tensor, "b n c"], grid: Grid) -> Float[Tensor, "b n c"]:
        """`x` are the tokens of a map of edge lengths `grid`, in raster order."""
        u, z = self.enter(x).chunk(2, -1)
        if not self.in_place:
            return self.leave(self.sequences(u, grid, self._scan) * F.silu(z))
        orders = len(self.ways)  # all of the raster, so that the operator can join and gate them
        return self.leave(self._scan(u[:, None], slice(0, orders), self.ways, z))

    def _scan(
        self,
        u: Float[Tensor, "b _ n d"],
        which: slice,
        backwards: list[bool],
        z: Float[Tensor, "b n d"] | None = None,
    ) -> Float[Tensor, "b *g n d"]:
        """Along the orders in `which`; where there is a `z`, joined and gated by it.

        One sequence will do where all orders read the same tokens.
        """
        u = self.conv(u, which, backwards)
        small = torch.einsum("bgnd,grd->bgnr", u, of_orders(self.select, which))
        low, B, C = small.split([self.rank, self.states, self.states], -1)
        dt = torch.einsum("bgnr,gdr->bgnd", low, of_orders(self.step, which))
        A = -torch.exp(of_orders(self.A_log, which))
        D, bias = of_orders(self.D, which), of_orders(self.step_bias, which)
        merge = "none" if z is None else self.merge
        return selective_scan(u, dt, A, B, C, D, bias, backwards=backwards, merge=merge, z=z)
