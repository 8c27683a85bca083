"""The TTT mixer: a sequence layer whose hidden state is a linear model trained as it goes."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.network import NetworkSpec
from segttt.kernels.ttt_linear.op import ttt_linear
from segttt.networks.layout import MixerSite, Order
from segttt.networks.tokens import to_tokens, to_volume

ROPE_BASE = 10_000.0
CONV_WIDTH = 4
INIT_STD = 0.02


class TTTLinear(nn.Module):
    """TTT-Linear over tokens of any width; heads are padded to an even width that holds it.

    The inner model starts from its learned weight for every sequence. Source: arXiv 2407.04620.
    """

    def __init__(self, site: MixerSite, spec: NetworkSpec):
        super().__init__()
        self.heads, self.head_width, self.inner_lr = site.heads, site.head_width, spec.inner_lr
        width, inner = site.width, site.heads * site.head_width
        self.q, self.k, self.v = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, width, bias=False)
        self.gate = None if spec.gate == "none" else nn.Linear(width, inner, bias=False)
        self.gate_act = nn.SiLU() if spec.gate == "silu" else nn.GELU(approximate="tanh")
        self.conv_q = CausalConv(inner) if spec.conv_qk else None
        self.conv_k = CausalConv(inner) if spec.conv_qk else None
        self.lr = nn.Linear(width, site.heads)
        self.position = nn.Parameter(torch.zeros(spec.mini_batch))
        self.W0 = nn.Parameter(torch.empty(site.heads, site.head_width, site.head_width))
        self.b0 = nn.Parameter(torch.zeros(site.heads, site.head_width))
        self.gamma = nn.Parameter(torch.ones(site.heads, site.head_width))
        self.beta = nn.Parameter(torch.zeros(site.heads, site.head_width))
        self.post_norm = nn.LayerNorm(inner, eps=1e-6)
        nn.init.normal_(self.W0, std=INIT_STD)
        nn.init.normal_(self.lr.weight, std=INIT_STD)
        nn.init.zeros_(self.lr.bias)

    def forward(self, x: Float[Tensor, "b n width"]) -> Float[Tensor, "b n width"]:
        q, k = self.q(x), self.k(x)
        if self.conv_q is not None and self.conv_k is not None:
            q, k = self.conv_q(q), self.conv_k(k)
        q, k, v = (self._split(part) for part in (q, k, self.v(x)))
        order = torch.arange(x.shape[1], device=x.device) % len(self.position)
        lr = self.inner_lr / self.head_width * torch.sigmoid(self.lr(x)).transpose(1, 2)
        out = ttt_linear(
            rotate(q, order),
            rotate(k, order),
            v,
            lr,
            self._position_scale(),
            self.W0,
            self.b0,
            self.gamma,
            self.beta,
        )
        out = self.post_norm(out.transpose(1, 2).flatten(2))
        if self.gate is not None:
            out = out * self.gate_act(self.gate(x))
        return self.o(out)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, self.head_width)).transpose(1, 2)  # [b, h, n, d]

    def _position_scale(self) -> Tensor:
        count = torch.arange(1, len(self.position) + 1, device=self.position.device)
        return F.relu(1 / count + self.position)


class CausalConv(nn.Module):
    """A depthwise convolution along the tokens that sees a token and the three before it."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv1d(width, width, CONV_WIDTH, groups=width)

    def forward(self, x: Float[Tensor, "b n width"]) -> Float[Tensor, "b n width"]:
        return self.conv(F.pad(x.transpose(1, 2), (CONV_WIDTH - 1, 0))).transpose(1, 2)


class Mixer(nn.Module):
    """LayerNorm and TTT-Linear over the tokens of a feature map, always in float32 or better.

    The result replaces the feature map; it is added to it where the spec says so.
    """

    def __init__(self, site: MixerSite, spec: NetworkSpec):
        super().__init__()
        self.order: Order = site.order
        self.residual = spec.mixer_residual
        self.norm = nn.LayerNorm(site.width)
        self.layer = TTTLinear(site, spec)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        with torch.autocast(x.device.type, enabled=False):
            exact = x.to(torch.promote_types(x.dtype, torch.float32))
            tokens = to_tokens(exact, self.order)
            out = to_volume(self.layer(self.norm(tokens)), tuple(x.shape[2:]), self.order)
            return (exact + out if self.residual else out).to(x.dtype)


def rotate(x: Float[Tensor, "b h n d"], order: Tensor) -> Float[Tensor, "b h n d"]:
    """Rotary positions: turn the channels (2p, 2p + 1) of a token by order * 10000^(-2p / d).

    `order` [n] is the position of each token within its mini-batch. Source: arXiv 2104.09864.
    """
    d = x.shape[-1]
    pairs = torch.arange(0, d, 2, device=x.device, dtype=x.dtype)
    angle = order[:, None] * torch.exp(pairs * (-math.log(ROPE_BASE) / d))  # [n, d / 2]
    cos, sin = angle.cos(), angle.sin()
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)
