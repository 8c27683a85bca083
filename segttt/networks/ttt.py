"""The TTT mixer: a sequence layer whose hidden state is a small model trained as it goes."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.network import UNetSpec
from segttt.kernels.ttt_inputs.op import ttt_inputs
from segttt.kernels.ttt_linear.op import ttt_linear
from segttt.kernels.ttt_mlp.op import ttt_mlp
from segttt.networks.causal_conv import CausalConv, of_orders
from segttt.networks.layout import MixerSite
from segttt.networks.sequences import Grid, Sequences

CONV_WIDTH = 4
INIT_STD = 0.02
MLP_RATIO = 4


class TTT(nn.Module):
    """TTT-Linear or TTT-MLP over tokens of any width, along any number of scan orders.

    Heads are padded to an even width that holds the tokens. The inner model starts from its
    learned weights for every sequence. Projections are shared by all orders; the inner model and
    its learning rates are not, unless the spec says so. Source: arXiv 2407.04620.
    """

    def __init__(self, site: MixerSite, spec: UNetSpec):
        super().__init__()
        self.heads, self.head_width, self.inner_lr = site.heads, site.head_width, spec.inner_lr
        width, inner = site.width, site.heads * site.head_width
        own = 1 if spec.share_orders else len(site.scans)
        self.sequences = Sequences(site.scans, site.grid, mean=spec.merge == "mean")
        self.q, self.k, self.v = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, width, bias=False)
        self.gate = None if spec.gate == "none" else nn.Linear(width, inner, bias=False)
        self.gate_act = nn.SiLU() if spec.gate == "silu" else nn.GELU(approximate="tanh")
        self.conv_q = CausalConv(own, inner, CONV_WIDTH) if spec.conv_qk else None
        self.conv_k = CausalConv(own, inner, CONV_WIDTH) if spec.conv_qk else None
        self.lr = nn.Linear(width, own * site.heads)
        self.position = nn.Parameter(torch.zeros(spec.mini_batch))
        model = InnerMLP if spec.mixer == "ttt_mlp" else InnerLinear
        self.inner = model(own, own * site.heads, site.head_width, causal=spec.causal)
        self.post_norm = nn.LayerNorm(inner, eps=1e-6)
        nn.init.normal_(self.lr.weight, std=INIT_STD)
        nn.init.zeros_(self.lr.bias)

    def forward(self, x: Float[Tensor, "b n width"], grid: Grid) -> Float[Tensor, "b n width"]:
        """`x` are the tokens of a map of edge lengths `grid`, in raster order."""
        weights = [part.weight for part in (self.q, self.k, self.v, self.lr)]
        parts = F.linear(x, torch.cat(weights))
        out = self.post_norm(self.sequences(parts, grid, self._learn))
        if self.gate is not None:
            out = out * self.gate_act(self.gate(x))
        return self.o(out)

    def _learn(
        self, parts: Float[Tensor, "b g n _"], which: slice, backwards: list[bool]
    ) -> Float[Tensor, "b g n d"]:
        """What the inner model says along the sequences of the orders in `which`."""
        inner = self.heads * self.head_width
        q, k, v, rate = parts.split([inner, inner, inner, self.lr.out_features], -1)
        if self.conv_q is not None and self.conv_k is not None:
            q, k = self.conv_q(q, which, backwards), self.conv_k(k, which, backwards)
        bias = of_orders(self.lr.bias.unflatten(0, (-1, self.heads)), which)
        rates = (self._rates(rate, which), bias, self.position)
        sequence = ttt_inputs(q, k, v, *rates, self.inner_lr / self.head_width, backwards)
        turned = [one for one in backwards for _ in range(self.heads)]
        out = self.inner(sequence, which, turned)
        return out.unflatten(1, (-1, self.heads)).transpose(2, 3).flatten(3)

    def _rates(
        self, rate: Float[Tensor, "b g n _"], which: slice
    ) -> Float[Tensor, "b g n {self.heads}"]:
        """Of the rates of all orders, [b, g, n, own * h], each sequence's own."""
        each = rate.unflatten(-1, (-1, self.heads))  # [b, g, n, own, h]
        if each.shape[3] == 1:
            return each.squeeze(3)
        return each[:, :, :, which].diagonal(0, 1, 3).movedim(3, 1)


Sequence = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""q, k, v, lr and rho of the operators."""


class InnerLinear(nn.Module):
    """The inner model x W + b of each head, with the norm of its loss.

    `own` sets of them, `heads` in all. No weight has four axes, which PyTorch would take for the
    weight of a convolution when the network goes to another memory format.
    """

    def __init__(self, own: int, heads: int, width: int, *, causal: bool):
        super().__init__()
        self.own, self.causal = own, causal
        self.W = _small(heads, width, width)
        self.b = nn.Parameter(torch.zeros(heads, width))
        self.gamma = nn.Parameter(torch.ones(heads, width))
        self.beta = nn.Parameter(torch.zeros(heads, width))

    def forward(self, sequence: Sequence, which: slice, backwards: list[bool]) -> Tensor:
        weights = (self.W, self.b, self.gamma, self.beta)
        W, b, gamma, beta = _chosen(weights, self.own, which)
        how = {"causal": self.causal, "backwards": backwards}
        return ttt_linear(*sequence, W, b, gamma, beta, **how)


class InnerMLP(nn.Module):
    """The inner model GELU(x W1 + b1) W2 + b2 of each head, four times as wide inside."""

    def __init__(self, own: int, heads: int, width: int, *, causal: bool):
        super().__init__()
        self.own, self.causal = own, causal
        self.W1 = _small(heads, width, MLP_RATIO * width)
        self.b1 = nn.Parameter(torch.zeros(heads, MLP_RATIO * width))
        self.W2 = _small(heads, MLP_RATIO * width, width)
        self.b2 = nn.Parameter(torch.zeros(heads, width))
        self.gamma = nn.Parameter(torch.ones(heads, width))
        self.beta = nn.Parameter(torch.zeros(heads, width))

    def forward(self, sequence: Sequence, which: slice, backwards: list[bool]) -> Tensor:
        weights = (self.W1, self.b1, self.W2, self.b2, self.gamma, self.beta)
        W1, b1, W2, b2, gamma, beta = _chosen(weights, self.own, which)
        how = {"causal": self.causal, "backwards": backwards}
        return ttt_mlp(*sequence, W1, b1, W2, b2, gamma, beta, **how)


def _small(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).normal_(std=INIT_STD))


def _chosen(weights: tuple[Tensor, ...], own: int, which: slice) -> list[Tensor]:
    """Weights [own * h, ...] of the orders in `which`, as those of g * h heads."""
    return [of_orders(one.unflatten(0, (own, -1)), which).flatten(0, 1) for one in weights]
