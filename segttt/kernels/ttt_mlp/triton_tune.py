"""How the GPU kernels of TTT-MLP are cut into tiles and compiled."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
import triton
from torch import Tensor

from segttt.kernels.specimen import Specimen
from segttt.kernels.ttt_mlp import (
    triton_answer,
    triton_answer_backward,
    triton_learn,
    triton_learn_backward,
)

Kernel = Literal["learn", "answer", "loss", "mixed_backward", "direct_backward", "learn_backward"]

RESIDENT = 512
"""Tokens times channels, both padded, up to which the weights stay in the registers of eight warps
as the inner model learns: 32 channels and 16 tokens. Beyond, they would be pushed out of them in
every mini-batch (1.6 kB per thread at 32 channels and 64 tokens); tiles of them go through L1."""

TILES: dict[tuple[Kernel, int], tuple[int, int]] = {
    ("learn", 16): (64, 8),
    ("learn", 32): (64, 8),
    ("learn", 64): (32, 8),
    ("answer", 16): (32, 8),
    ("answer", 32): (32, 8),
    ("answer", 64): (16, 8),
    ("mixed_backward", 16): (16, 4),
    ("mixed_backward", 32): (32, 8),
    ("mixed_backward", 64): (16, 8),
    ("direct_backward", 64): (16, 8),
    ("loss", 64): (32, 8),
    ("learn_backward", 16): (16, 4),
    ("learn_backward", 32): (16, 8),
    ("learn_backward", 64): (16, 8),
}
"""Columns of a tile of the inner width, and warps, by kernel and padded mini-batch: of the tiles
that push little out of the registers the widest, with which the chain waits least often."""

FOR_WIDE_HEADS: dict[tuple[Kernel, int], tuple[int, int]] = {("learn", 64): (16, 8)}
"""The same where a head has more than 32 channels."""

OTHERS = (32, 4)
"""The same for the kernels that fit anyway."""

STACK: dict[Kernel, dict[int, int]] = {
    "learn": {16: 64, 32: 512, 64: 256},
    "answer": {16: 0, 32: 64, 64: 512},
    "loss": {16: 0, 32: 0, 64: 320},
    "mixed_backward": {16: 1280, 32: 1536, 64: 2304},
    "direct_backward": {16: 0, 32: 0, 64: 320},
    "learn_backward": {16: 64, 32: 512, 64: 5888},
}
"""Bytes per thread that a kernel may push out of the registers, by padded head width: a little more
than it does as compiled for sm_90 by Triton 3.9."""

ROOM = 2**26
"""Numbers that may lie between the launches of one call: 256 MB."""


@dataclass(frozen=True)
class Plan:
    """The compile-time numbers of all kernels for one shape."""

    d: int
    wide: int
    block_tokens: int
    block_channels: int
    precision: str

    def constants(self, kernel: Kernel) -> dict[str, Any]:
        """Their values for one kernel, `num_warps` and `num_stages` among them.

        One stage, since a tile's loads come from L1 or L2 and what they would run ahead of is the
        state that they are part of.
        """
        table = TILES | FOR_WIDE_HEADS if self.block_channels > 32 else TILES
        tile, warps = table.get((kernel, self.block_tokens), OTHERS)
        whole = max(16, triton.next_power_of_2(self.wide))
        chosen = {}
        if kernel == "learn":
            held = self.block_tokens * self.block_channels <= RESIDENT and whole <= 128
            tile, chosen = whole if held else tile, {"RESIDENT": held}
        return {
            "D": self.d,
            "W": self.wide,
            "BT": self.block_tokens,
            "BD": self.block_channels,
            "BW": min(tile, whole),
            **chosen,
            "PRECISION": self.precision,
            "num_warps": warps,
            "num_stages": 1,
        }


def plan(q: Tensor, tokens: int, wide: int) -> Plan:
    """For queries q [b, h, n, d] in mini-batches of `tokens`, and an inner width."""
    d = q.shape[3]
    return Plan(d, wide, *_padded(tokens, d), precision(q))


def _padded(*sizes: int) -> list[int]:
    """Powers of two, none below what a product needs."""
    return [max(16, triton.next_power_of_2(size)) for size in sizes]


def precision(q: Tensor) -> str:
    """How the operands of a product are rounded; sums are in float32.

    tf32 has the ten bits of float16's fraction and the range of float32, so it takes bfloat16 and
    float16 as they are and rounds the float32 state less than they would.
    """
    half = q.dtype in (torch.bfloat16, torch.float16)
    if q.device.type == "cuda" and (half or torch.backends.cuda.matmul.allow_tf32):
        return "tf32"
    return "ieee"


def ways(backwards: list[bool] | None, heads: int, device: torch.device) -> Tensor:
    """+1 or -1 for the way each head reads, [heads]."""
    return _ways(tuple(backwards or [False] * heads), device)


@cache
def _ways(backwards: tuple[bool, ...], device: torch.device) -> Tensor:
    return torch.tensor([-1 if one else 1 for one in backwards], dtype=torch.int32, device=device)


def specimens() -> list[Specimen]:
    """Every kernel for the head widths of the presets, in full and in short mini-batches."""
    kernels: dict[Kernel, Any] = {
        "learn": triton_learn.learn_kernel,
        "answer": triton_answer.answer_kernel,
        "loss": triton_answer.loss_kernel,
        "mixed_backward": triton_answer_backward.mixed_backward_kernel,
        "direct_backward": triton_answer_backward.direct_backward_kernel,
        "learn_backward": triton_learn_backward.learn_backward_kernel,
    }
    full, short = [(d, 64) for d in (32, 20, 8, 50, 64)], [(d, 16) for d in (32, 8, 64)]
    return [
        _specimen(name, kernel, Plan(d, 4 * d, *_padded(t, d), rounded))
        for d, t in (*full, *short, (32, 25))
        for rounded in ("tf32", "ieee")
        for name, kernel in kernels.items()
    ]


def _specimen(name: Kernel, kernel: Any, plan: Plan) -> Specimen:
    constants = plan.constants(name) | {"TURNED": True}
    if name in ("answer", "learn_backward"):
        constants["CAUSAL"] = True
    warps, stages = constants.pop("num_warps"), constants.pop("num_stages")
    types = dict.fromkeys(("n", "h", "t", "begin", "count", "batches"), "i32")
    types |= {"eps": "fp32", "ways": "*i32"} | dict.fromkeys(constants, "constexpr")
    if plan.precision == "tf32":
        types |= dict.fromkeys(("q", "k", "v", "lr", "out", "d_out"), "*bf16")
    return Specimen(
        name=f"ttt_mlp {name} d={plan.d} t={plan.block_tokens} {plan.precision}",
        kernel=kernel,
        signature={one: types.get(one, "*fp32") for one in kernel.arg_names},
        constants=constants,
        num_warps=warps,
        num_stages=stages,
        stack_limit_bytes=STACK[name][plan.block_channels],
        seconds_limit=60.0,
    )
