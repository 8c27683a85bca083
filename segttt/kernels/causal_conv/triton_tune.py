"""How the GPU kernels of the causal convolution are cut into programs and compiled.

Reasons are counts of registers after compilation for sm_90 and an H200's datasheet (132 processors,
4.8 TB/s); no kernel has been timed.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import triton

from segttt.kernels.specimen import Specimen

CHANNELS = 64
"""Of a program, at most: 256 bytes of float32 side by side."""

NUMBERS = 2048
"""Of a forward program's block: 16 per thread, whose loads are under way at once."""

WARPS = 4

PER_THREAD = 4
"""Numbers of a row that a thread of the backward pass has for one scan; with several scans of the
same tokens, fewer, as it then keeps for each scan what it keeps for one."""

TOGETHER = 4
"""Scans of the same tokens that go backwards in one program."""

AHEAD = 2
"""Steps of the backward pass that rows are fetched before they are needed: with two, 25 KiB per
processor are under way, what 4.8 TB/s times 0.7 us of latency take."""

PROGRAMS = 528
"""Backward programs from which on walks are longer: four for each of 132 processors."""

LENGTHS = (64, 32, 16, 8)
"""Tokens of a walk. It also walks over its neighbour's first `reach` - 1."""


@dataclass(frozen=True)
class Plan:
    """A backward program: walks side by side, channels, and tokens of a walk."""

    walks: int
    channels: int
    length: int

    @property
    def options(self) -> dict[str, Any]:
        """How the kernel is compiled, whatever the defaults."""
        return {"num_warps": WARPS, "enable_fp_fusion": True}


@cache
def forward_tile(d: int) -> dict[str, Any]:
    """For d channels."""
    channels = min(CHANNELS, triton.next_power_of_2(d))
    tile = {"BT": NUMBERS // channels, "BD": channels}
    return tile | {"num_warps": WARPS, "enable_fp_fusion": True}


@cache
def backward_plan(sequences: int, n: int, d: int, scans: int) -> Plan:
    """For so many sequences of n tokens and d channels, each read by `scans` scans."""
    channels = min(CHANNELS, triton.next_power_of_2(d))
    each = max(1, PER_THREAD // triton.next_power_of_2(scans))
    walks = max(1, 32 * WARPS * each // channels)
    wide = sequences * triton.cdiv(d, channels)
    enough = (one for one in LENGTHS if wide * triton.cdiv(n, walks * one) >= PROGRAMS)
    return Plan(walks, channels, next(enough, LENGTHS[-1]))


FORMS = ((4, 64, True), (4, 64, False), (1, 64, True), (2, 64, True), (8, 64, True), (4, 5, True))
"""Reach, channels, and whether there is an activation."""

STACK = {1: 8}
"""Bytes, by reach, else none: an address, where the compiler aims at 64 registers."""


def specimens() -> list[Specimen]:
    """Both kernels for every reach and up to `TOGETHER` scans, at two widths.

    The first of each kernel is that of the presets.
    """
    from segttt.kernels.causal_conv.triton_backward import conv_gradient_kernel
    from segttt.kernels.causal_conv.triton_forward import conv_kernel

    found = []
    for kind in ("fp32", "bf16"):
        for reach, d, silu in FORMS:
            fixed = {"REACH": reach, "SILU": silu}
            found.append(_specimen(conv_kernel, kind, d, forward_tile(d) | fixed))
            for scans in (1, 2, TOGETHER):
                plan = backward_plan(1, 2**20, d, scans)
                tile = {"WALKS": plan.walks, "BD": plan.channels, "SCANS": scans, "AHEAD": AHEAD}
                found.append(_specimen(conv_gradient_kernel, kind, d, tile | fixed))
    return found


WIDE = ("weight", "bias", "sums")
"""Arguments that are pointers to float32."""

TOKENS = ("x", "out", "d_out", "d_x")


def _specimen(kernel: Any, kind: str, d: int, constants: dict[str, Any]) -> Specimen:
    fixed = {key: value for key, value in constants.items() if key in kernel.arg_names}
    types = dict.fromkeys(WIDE, "*fp32") | dict.fromkeys(TOKENS, f"*{kind}")
    types |= dict.fromkeys(fixed, "constexpr")
    signature = {one: types.get(one, "i32") for one in kernel.arg_names}
    stack = STACK.get(fixed["REACH"], 0)
    label = f"{kernel.fn.__name__} {kind} d={d} " + " ".join(f"{k}={v}" for k, v in fixed.items())
    return Specimen(label, kernel, signature, fixed, WARPS, 1, stack, 10.0)
