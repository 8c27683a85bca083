"""How the GPU kernels of TTT-MLP are cut into tiles and compiled."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
import triton
from torch import Tensor

from segttt.kernels.lasting import lasting
from segttt.kernels.specimen import Specimen
from segttt.kernels.ttt_mlp import (
    triton_answer,
    triton_inner,
    triton_learn,
    triton_learn_backward,
    triton_outer,
    triton_taught,
)

Kernel = Literal[
    "learn",
    "inner",
    "answer",
    "loss",
    "queries_backward",
    "keys_backward",
    "weights_backward",
    "learn_backward",
    "tokens_backward",
]

RESIDENT = 512
"""Tokens times channels, both padded, up to which the weights stay in the registers of eight warps
as the inner model learns in tf32: 32 channels and 16 tokens. Beyond, they would be pushed out of
them in every mini-batch (1.6 kB per thread at 32 channels and 64 tokens, 0.4 kB in float32 at 16);
tiles of them go through L1."""

Cut = tuple[int, int, int]
"""Tokens of a block, columns of a tile of the inner width, and warps."""

TILES: dict[tuple[Kernel, str, int], Cut] = {
    ("learn", "tf32", 16): (64, 32, 8),
    ("learn", "tf32", 32): (64, 32, 8),
    ("learn", "tf32", 128): (16, 32, 8),
    ("learn", "ieee", 64): (32, 16, 8),
    ("learn", "ieee", 128): (16, 16, 8),
    ("inner", "ieee", 128): (16, 16, 8),
    ("answer", "ieee", 64): (32, 16, 8),
    ("answer", "ieee", 128): (16, 16, 8),
    ("queries_backward", "ieee", 64): (32, 16, 8),
    ("queries_backward", "ieee", 128): (16, 16, 8),
    ("keys_backward", "ieee", 64): (32, 16, 8),
    ("keys_backward", "ieee", 128): (16, 16, 8),
    ("weights_backward", "ieee", 64): (32, 16, 8),
    ("weights_backward", "ieee", 128): (32, 16, 8),
    ("learn_backward", "tf32", 64): (32, 16, 8),
    ("learn_backward", "tf32", 128): (16, 16, 8),
    ("learn_backward", "ieee", 16): (32, 16, 8),
    ("learn_backward", "ieee", 32): (32, 16, 8),
    ("learn_backward", "ieee", 64): (32, 16, 8),
    ("learn_backward", "ieee", 128): (16, 16, 8),
    ("tokens_backward", "tf32", 128): (32, 16, 8),
    ("tokens_backward", "ieee", 32): (32, 16, 8),
    ("tokens_backward", "ieee", 128): (32, 16, 8),
}
"""By kernel, rounding and padded channels: as much at once as the registers of eight warps hold.

More columns do not fit where the chain is longest: 32 in `learn_backward` are 320 bytes of stack at
32 channels and 64 tokens."""

OTHERS: Cut = (64, 16, 8)
"""The same where it is not in the table."""

ROOM = 2**26
"""Numbers that may lie between the launches of one call: 256 MB."""


SHAPES = (
    *((32, 64), (20, 64), (8, 64), (50, 64), (64, 64)),
    *((32, 16), (8, 16), (64, 16), (32, 25), (64, 25)),
    *((32, 128), (128, 64)),
)
"""Channels of a head and tokens of a mini-batch: those of the presets, short ones, and beyond."""

STACK = {16: 0, 32: 0, 64: 64, 128: 96}
"""Bytes per thread that a kernel may push out of the registers, by padded channels."""


@dataclass(frozen=True)
class Plan:
    """The compile-time numbers of all kernels for one shape."""

    d: int
    wide: int
    rows: int
    """Of the tokens of a mini-batch: what they are rounded up to."""
    block_channels: int
    precision: str

    def cut(self, kernel: Kernel) -> Cut:
        """Of what the kernel goes through, no more than there is."""
        key = (kernel, self.precision, self.block_channels)
        tokens, tile, warps = TILES.get(key, OTHERS)
        if kernel == "learn" and self.rows <= 32 and self.block_channels <= 64:
            tile = 64
        return min(tokens, self.rows), min(tile, _padded(self.wide)), warps

    def blocks(self, kernel: Kernel) -> int:
        """Blocks of tokens that make a mini-batch."""
        return self.rows // self.cut(kernel)[0]

    def tiles(self, kernel: Kernel) -> int:
        """Tiles that make the inner width."""
        return -(-self.wide // self.cut(kernel)[1])

    def constants(self, kernel: Kernel) -> dict[str, Any]:
        """What the kernel is compiled with, `num_warps` and `num_stages` among them.

        One stage, since a tile's loads come from L1 or L2 and what they would run ahead of is the
        state that they are part of.
        """
        tokens, tile, warps = self.cut(kernel)
        chosen = {}
        if kernel == "learn":
            whole = _padded(self.wide)
            small = self.rows * self.block_channels <= RESIDENT and whole <= 128
            held = small and self.precision == "tf32"
            tile, chosen = whole if held else tile, {"RESIDENT": held}
        return {
            "D": self.d,
            "W": self.wide,
            "BT": tokens,
            "BD": self.block_channels,
            "BW": tile,
            "BLOCKS": self.rows // tokens,
            **chosen,
            "PRECISION": self.precision,
            "num_warps": warps,
            "num_stages": 1,
        }


def plan(q: Tensor, tokens: int, wide: int) -> Plan:
    """For queries q [b, h, n, d] in mini-batches of `tokens`, and an inner width."""
    d = q.shape[3]
    return Plan(d, wide, _rows(tokens), _padded(d), precision(q))


def _rows(tokens: int) -> int:
    """Blocks of 64 tokens, or one that is smaller."""
    return -(-tokens // 64) * 64 if tokens > 64 else _padded(tokens)


def _padded(size: int) -> int:
    """A power of two, not below what a product needs."""
    return max(16, triton.next_power_of_2(size))


def precision(q: Tensor) -> str:
    """How the operands of a product are rounded; sums are in float32.

    tf32 has the ten bits of float16's fraction and the range of float32, so it takes bfloat16 and
    float16 as they are and rounds the float32 state less than they would.
    """
    half = q.dtype in (torch.bfloat16, torch.float16)
    allowed = torch.backends.cuda.matmul.fp32_precision == "tf32"
    if q.device.type == "cuda" and (half or allowed):
        return "tf32"
    return "ieee"


def ways(backwards: list[bool] | None, heads: int, device: torch.device) -> Tensor:
    """+1 or -1 for the way each head reads, [heads]."""
    return _ways(tuple(backwards or [False] * heads), device)


@cache
def _ways(backwards: tuple[bool, ...], device: torch.device) -> Tensor:
    signs = [-1 if one else 1 for one in backwards]
    return lasting(lambda: torch.tensor(signs, dtype=torch.int32, device=device))


def specimens() -> list[Specimen]:
    """Every kernel for the head widths of the presets, in full and in short mini-batches."""
    kernels: dict[Kernel, Any] = {
        "learn": triton_learn.learn_kernel,
        "inner": triton_inner.inner_kernel,
        "answer": triton_answer.answer_kernel,
        "loss": triton_inner.loss_kernel,
        "queries_backward": triton_outer.queries_backward_kernel,
        "keys_backward": triton_taught.keys_backward_kernel,
        "weights_backward": triton_taught.weights_backward_kernel,
        "learn_backward": triton_learn_backward.learn_backward_kernel,
        "tokens_backward": triton_taught.tokens_backward_kernel,
    }
    return [
        _specimen(name, kernel, Plan(d, 4 * d, _rows(t), _padded(d), rounded))
        for d, t in SHAPES
        for rounded in ("tf32", "ieee")
        for name, kernel in kernels.items()
    ]


def _specimen(name: Kernel, kernel: Any, plan: Plan) -> Specimen:
    given = plan.constants(name) | {"TURNED": True, "CAUSAL": True, "AGAIN": True}
    constants = {key: value for key, value in given.items() if key in kernel.arg_names}
    types = dict.fromkeys(("n", "h", "t", "begin", "count"), "i32")
    types |= {"eps": "fp32", "ways": "*i32"} | dict.fromkeys(constants, "constexpr")
    if plan.precision == "tf32":
        types |= dict.fromkeys(("q", "k", "v", "lr", "d_out"), "*bf16")
    return Specimen(
        name=f"ttt_mlp {name} d={plan.d} t={plan.rows} {plan.precision}",
        kernel=kernel,
        signature={one: types.get(one, "*fp32") for one in kernel.arg_names},
        constants=constants,
        num_warps=given["num_warps"],
        num_stages=given["num_stages"],
        stack_limit_bytes=STACK[plan.block_channels],
        seconds_limit=5.0,
    )
