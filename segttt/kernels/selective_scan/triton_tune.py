"""How the GPU kernels of the selective scan are cut into programs, and compiled.

Reasons are counts of instructions after compilation for sm_90 and an H200's datasheet (132
processors of 4 schedulers, which each issue one instruction per cycle); no kernel has been timed.
"""

from dataclasses import dataclass
from typing import Any

import triton

from segttt.errors import UsageError
from segttt.kernels.selective_scan.cpu import CHUNK
from segttt.kernels.specimen import Specimen

CHANNELS = 32
"""One per lane of a warp. With two per lane a token takes 6 % fewer instructions, 30 registers more
and half as many warps, of which these networks have too few."""

WARPS = {
    1: (1, 1),
    2: (1, 1),
    4: (1, 1),
    8: (1, 1),
    16: (1, 1),
    32: (1, 2),
    64: (2, 4),
    128: (4, 8),
}
"""Forward and backward, by states, rounded up to a power of two. A lane then has at most 32 states
of its channel forward, and 16 backward, where four tiles live at once; more spill to memory, and so
would 256 states, as sixteen warps have half the registers each."""

FEW = 2
"""Tokens whose states the backward pass holds in registers. One takes 5 % fewer instructions and
notes every state in memory, twice as much; four take 5 % more and spill."""

FORWARD = 2_112
"""Warps that the forward pass is split for: four per scheduler, which 128 registers allow. A token
takes 182 instructions, with merge and gate 224, and some 700 cycles to arrive."""

BACKWARD = 1_056
"""Warps that the backward pass is split for: two per scheduler, all that fit with 238 registers."""

AHEAD = 1_400
"""Warps below which tokens are fetched two steps ahead, for a fifth more instructions; with more,
the others fill the time that one waits. Half-precision channels, two bytes each, are not."""

LEAST = {FORWARD: 3, BACKWARD: 2}
"""Segments from which the split pays: where they start costs 143 instructions a token, beside 182
and 666 for the pass itself."""

TILE, TILE_WARPS = {"BN": 16, "BD": 64}, 4
"""Tokens and channels of a program that only passes numbers through, eight per lane."""


STACK = 16
"""Bytes; two addresses, at most, which are needed once per chunk."""

WHOLE = ("n", "d", "scans", "segments", "length", "backwards", "unit")
WEIGHTS = ("A", "D", "bias", "d_A", "d_B", "d_C", "d_D", "d_bias")
WIDE = (*WEIGHTS, "entered", "ends", "totals", "sums", "starts", "notes", "d_merged")
"""Arguments that are integers, and pointers to float32."""


@dataclass(frozen=True)
class Plan:
    """Blocks of channels and segments of the sequence, one program each per row."""

    channels: int
    warps: int
    segments: int
    length: int
    """Tokens of a segment, a multiple of the chunk."""
    stages: int
    """1, or 3 where tokens are fetched ahead."""
    chunk: int = CHUNK
    few: int = FEW

    @property
    def options(self) -> dict[str, Any]:
        """How kernels are compiled, whatever the defaults."""
        return {"num_warps": self.warps, "num_stages": 1, "enable_fp_fusion": True}


def forward_plan(rows: int, n: int, d: int, s: int) -> Plan:
    """For `rows` walks along n tokens of d channels and s states."""
    return _plan(rows, n, d, _warps(s)[0], FORWARD)


def backward_plan(rows: int, n: int, d: int, s: int) -> Plan:
    """For `rows` walks along n tokens of d channels and s states."""
    return _plan(rows, n, d, _warps(s)[1], BACKWARD)


def _warps(s: int) -> tuple[int, int]:
    """Raises UsageError where a tile of all states is more than registers hold."""
    if s > max(WARPS):
        raise UsageError(
            f"selective_scan's GPU kernels take at most {max(WARPS)} states, not {s}; use fewer "
            "states, or backend.reference_only()"
        )
    return WARPS[triton.next_power_of_2(s)]


def _plan(rows: int, n: int, d: int, warps: int, full: int) -> Plan:
    together = rows * triton.cdiv(d, CHANNELS) * warps
    segments = min(full // together, triton.cdiv(n, CHUNK))
    if segments < LEAST[full]:
        segments = 1
    length = triton.cdiv(triton.cdiv(n, segments), CHUNK) * CHUNK
    segments = triton.cdiv(n, length)
    stages = 1 if together * segments >= AHEAD else 3
    return Plan(CHANNELS, warps, segments, length, stages)


def specimens() -> list[Specimen]:
    """Every kernel at the presets' 16 states, and at other numbers of states.

    The first of each kernel has all that the kernel can do.
    """
    from segttt.kernels.selective_scan.triton_backward import gradient_kernel
    from segttt.kernels.selective_scan.triton_forward import scan_kernel
    from segttt.kernels.selective_scan.triton_merge import gate_kernel
    from segttt.kernels.selective_scan.triton_split import carry_kernel, ends_kernel

    found = []
    for kind in ("fp32", "bf16"):
        for merge, gate in ((True, True), (True, False), (False, False)):
            for split, stages in ((True, 1), (True, 3), (False, 1)):
                more = {"MERGE": merge, "GATE": gate, "SPLIT": split, "STAGES": stages}
                found.append(_specimen(scan_kernel, kind, 16, more))
        for gradient, stages in ((False, 1), (False, 3), (True, 1), (True, 3)):
            more = {"GRADIENT": gradient, "STAGES": stages}
            found.append(_specimen(ends_kernel, kind, 16, more))
        found.append(_specimen(carry_kernel, kind, 16, {}))
        for split in (True, False):
            more = {"FEW": FEW, "SPLIT": split}
            found.append(_specimen(gradient_kernel, kind, 16, more))
        found.append(_specimen(gate_kernel, kind, 16, TILE, TILE_WARPS))
    for states in (1, 8, 24, 64, 128):
        warps = _warps(states)
        more = {"MERGE": True, "GATE": True, "SPLIT": True, "STAGES": 1}
        found.append(_specimen(scan_kernel, "fp32", states, more, warps[0]))
        more = {"FEW": FEW, "SPLIT": True}
        found.append(_specimen(gradient_kernel, "fp32", states, more, warps[1]))
    return found


def _specimen(
    kernel: Any, kind: str, states: int, more: dict[str, Any], warps: int = 1
) -> Specimen:
    """Widths are arguments, so one specimen stands for those of all presets' stages."""
    padded = triton.next_power_of_2(states)
    constants = {"BD": CHANNELS, "S": padded, "STATES": states, "CHUNK": CHUNK, **more}
    names = kernel.arg_names
    constants = {name: value for name, value in constants.items() if name in names}
    for needs, argument in (("SPLIT", "entered"), ("GATE", "z"), ("MERGE", "sums")):
        if not more.get(needs, True):
            constants[argument] = None
    signature = {name: "constexpr" if name in constants else _type(name, kind) for name in names}
    label = f"{kernel.fn.__name__} {kind} {states} " + " ".join(f"{k}={v}" for k, v in more.items())
    return Specimen(label, kernel, signature, constants, warps, 1, STACK, 5.0)


def _type(argument: str, kind: str) -> str:
    if argument in WHOLE or argument[-2:] in ("_b", "_g", "_n") or argument in ("A_d", "A_s"):
        return "i32"
    if argument == "share":
        return "fp32"
    return "*fp32" if argument in WIDE else f"*{kind}"
