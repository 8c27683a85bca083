"""How the GPU kernels of the TTT inputs are cut into programs and compiled.

No kernel has been timed on a GPU.
"""

from functools import cache
from typing import Any

import triton

from segttt.kernels.specimen import Specimen

NUMBERS = 1024
"""Of each tensor, per program: eight per thread, two loads of four. It gives the bottleneck of
abdomen CT, 32 heads of 210 tokens and 20 channels, 224 programs for the 132 processors of an H200.
"""

POSITIONS = 128
"""Of the position scale, at a time."""

WARPS = 4


@cache
def constants(d: int) -> dict[str, Any]:
    """For heads of d channels."""
    channels = triton.next_power_of_2(d)
    tokens = max(1, NUMBERS // channels)
    tile = {"D": d, "BD": channels, "BT": tokens, "BP": POSITIONS}
    return tile | {"num_warps": WARPS, "enable_fp_fusion": True}


def specimens() -> list[Specimen]:
    """Both kernels for the widths of the presets' heads and beyond."""
    from segttt.kernels.ttt_inputs.triton_heads import join_kernel, split_kernel

    return [
        _specimen(kernel, kind, d)
        for kernel in (split_kernel, join_kernel)
        for kind in ("fp32", "bf16")
        for d in (20, 2, 4, 8, 32, 50, 64, 128)
    ]


WIDE = ("rate", "bias", "position", "turns", "lr", "rho", "d_lr", "d_rho", "d_rate", "d_position")
"""Arguments that are pointers to float32."""

TOKENS = ("q", "k", "v")


def _specimen(kernel: Any, kind: str, d: int) -> Specimen:
    fixed = {key: value for key, value in constants(d).items() if key in kernel.arg_names}
    types = dict.fromkeys(WIDE, "*fp32") | {"scale": "fp32", "inverse": "fp32"}
    types |= dict.fromkeys(fixed, "constexpr")
    types |= {part + name: f"*{kind}" for name in TOKENS for part in ("", "d_", "own_")}
    signature = {one: types.get(one, "i32") for one in kernel.arg_names}
    label = f"{kernel.fn.__name__} {kind} d={d}"
    return Specimen(label, kernel, signature, fixed, WARPS, 1, 0, 5.0)
