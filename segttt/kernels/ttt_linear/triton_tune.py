"""How the GPU kernels of TTT-Linear are cut into blocks and compiled.

Registers and stack are those of the compiler for sm_90; no kernel has been timed on a GPU.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from segttt.errors import UsageError
from segttt.kernels.lasting import lasting
from segttt.kernels.specimen import Specimen

SHORT = 256
"""Tokens up to which one program does all of a sequence: 16 mini-batches of 16."""

FUSED = {"bf16": 32, "fp32": 0}
"""Channels up to which one program has registers for all of a mini-batch's answers, or for a whole
short sequence forward. At 64, bf16 takes 300 bytes of stack forward, at 32 fp32 takes 456."""

BLOCK = 64
"""Tokens of a block, at most: 64 channels of them in float32 are 16 registers of 256 threads."""

MOST = {("bf16", 128): 16, ("fp32", 64): 32, ("fp32", 128): 16}
"""The same by type of operands and padded channels, where 64 tokens take kilobytes of stack."""

SMALLER = {
    ("queries_backward", "bf16", 64): 32,
    ("tokens_backward", "bf16", 64): 16,
    ("chain_backward", "bf16", 64): 32,
    ("chain_backward", "fp32", 16): 32,
    ("chain_backward", "fp32", 32): 32,
    ("queries_backward", "fp32", 16): 32,
    ("queries_backward", "fp32", 32): 16,
    ("keys_backward", "fp32", 32): 16,
    ("queries_backward", "fp32", 64): 16,
    ("tokens_backward", "fp32", 64): 16,
}
"""The same for kernels that hold more tiles than others."""

WARPS = {16: 4, 32: 4, 64: 8, 128: 8}
"""By padded channels."""

CHAINS = {"learn": 2, "chain_backward": 2, "learn_block": 1, "chain_block": 1}
"""Kernels that would wait for memory in each step, and mini-batches whose tokens are fetched ahead;
else 1. It is some 0.6 µs of latency in each step. Not above 64 channels, where it takes more shared
memory than an A100 has. They run in eight warps, which hold what is fetched. Split over programs,
they have no loop to fetch ahead in."""

MULTIPROCESSORS = 132
"""Of an H100 or H200."""

LAUNCH_US, REPLAYED_US, STEP_US, BYTES_PER_US = 7.0, 2.5, 1.0, 5e6
"""Of a model, not measured: a launch from Python, the same within a CUDA graph, a block in a serial
kernel, and what the second cache gives to all multiprocessors."""


NARROW, SHARED = 64, 147_456
"""Channels beyond which a program takes so many bytes of shared memory."""


def widest(shared: int) -> int:
    """Channels of the widest heads that programs with so many bytes of shared memory can serve.

    GPUs for workstations and games have 101,376, an A100 has 166,912.
    """
    return max(WARPS) if shared >= SHARED else NARROW


@dataclass(frozen=True)
class Plan:
    """The compile-time numbers of all kernels for one shape."""

    d: int
    n: int
    tokens: int
    """Of a mini-batch."""
    sequences: int
    """Samples times heads."""
    arithmetic: tuple[Any, str]
    """The type of a product's operands, and how a float32 operand is rounded."""

    @property
    def channels(self) -> int:
        return max(16, triton.next_power_of_2(self.d))

    @property
    def kind(self) -> str:
        return "bf16" if self.arithmetic[0] == tl.bfloat16 else "fp32"

    @property
    def fused(self) -> bool:
        """Whether one program does all that a mini-batch's answers ask."""
        return self.tokens <= BLOCK and self.channels <= FUSED[self.kind]

    @property
    def short(self) -> bool:
        """Whether one program does all of a sequence, forward."""
        return self.n <= SHORT and self.fused

    @property
    def split(self) -> bool:
        """Whether each mini-batch is a launch, and each of its blocks a program of its own.

        It is where Python's launch, or else the GPU's own, the programs and all that they add up,
        takes less time than the blocks one after another.
        """
        blocks = self.blocks("learn")
        serial = triton.cdiv(self.sequences, MULTIPROCESSORS) * blocks * STEP_US
        programs = triton.cdiv(self.sequences * blocks, MULTIPROCESSORS) * STEP_US
        shares = 4 * self.d * (self.d + 1) * self.sequences * blocks**2 / BYTES_PER_US
        return max(LAUNCH_US, REPLAYED_US + programs + shares) < serial

    def block(self, kernel: str) -> int:
        """Tokens of a block."""
        most = MOST.get((self.kind, self.channels), BLOCK)
        most = SMALLER.get((kernel, self.kind, self.channels), most)
        return min(most, max(16, triton.next_power_of_2(self.tokens)))

    def blocks(self, kernel: str) -> int:
        """Blocks that make a mini-batch."""
        return triton.cdiv(self.tokens, self.block(kernel))

    def constants(self, kernel: str) -> dict[str, Any]:
        """What `kernel` is compiled with, beside what it is to do."""
        whole = kernel in ("short_forward", "answers_backward")
        blocks = {} if whole else {"BLOCKS": self.blocks(kernel)}
        stages = CHAINS.get(kernel, 1) if self.channels <= 64 else 1
        return {
            "D": self.d,
            "BT": self.block(kernel),
            "BD": self.channels,
            **blocks,
            "DOT": self.arithmetic[0],
            "PRECISION": self.arithmetic[1],
            "num_warps": 8 if kernel in CHAINS else WARPS[self.channels],
            "num_stages": stages,
            "enable_fp_fusion": True,
        }


def plan(q: Tensor, tokens: int) -> Plan:
    """For queries q [b, h, n, d] in mini-batches of `tokens`.

    Raises UsageError where a head has more channels than the kernels' tiles, or than the GPU's
    shared memory holds.
    """
    b, h, n, d = q.shape
    most = max(WARPS)
    if q.device.type == "cuda" and d > NARROW:
        most = widest(torch.cuda.get_device_properties(q.device).shared_memory_per_block_optin)
    if d > most:
        raise UsageError(
            f"ttt_linear's GPU kernels take heads of at most {most} channels here, not {d}; use "
            "more heads, or backend.reference_only()"
        )
    return Plan(d, n, tokens, b * h, arithmetic(q))


EXACT = {tl.bfloat16: "ieee", tl.float32: "tf32x3"}
"""How operands are rounded that are to count in full. tf32x3 is three products of tf32, together as
good as float32; without tensor cores, "ieee" takes 8 to 20 KB of stack for 64 tokens of 64 channels
and minutes to compile."""


def arithmetic(q: Tensor) -> tuple[Any, str]:
    """The type of a product's operands, and how a float32 operand is rounded.

    float16 has not the range for gradients, and the ten bits of its fraction are those of tf32. The
    interpreter, which runs on the CPU, cannot multiply bfloat16.
    """
    if q.device.type == "cpu":
        return tl.float32, "ieee"
    if q.dtype == torch.bfloat16:
        return tl.bfloat16, EXACT[tl.bfloat16]
    allowed = torch.backends.cuda.matmul.fp32_precision == "tf32"
    rounded = q.dtype == torch.float16 or allowed
    return tl.float32, "tf32" if rounded else EXACT[tl.float32]


def turned_heads(backwards: list[bool] | None, heads: int, device: torch.device) -> Tensor:
    """Which heads read from the last token to the first, [heads], in the memory of the kernels."""
    return _turned_heads(tuple(backwards or [False] * heads), device)


@cache
def _turned_heads(backwards: tuple[bool, ...], device: torch.device) -> Tensor:
    return lasting(lambda: torch.tensor(backwards, dtype=torch.int32, device=device))


SHAPES = ((32, 64), (8, 64), (20, 64), (32, 16), (50, 64), (64, 16), (64, 64), (128, 64))
"""Channels of a head and tokens of a mini-batch, of the presets and beyond."""

LONG = ((32, 1024), (20, 1024), (64, 1024), (128, 1024))
"""The same where a mini-batch is split over programs."""

STACK = {
    ("chain_block", "bf16", 128): 128,
    ("chain_block", "fp32", 128): 256,
    ("learn_block", "bf16", 128): 64,
    ("learn_block", "fp32", 128): 128,
    ("chain_backward", "bf16", 128): 32,
    ("chain_backward", "fp32", 64): 64,
    ("chain_backward", "fp32", 128): 640,
    ("learn", "fp32", 64): 64,
    ("learn", "fp32", 128): 512,
    ("losses", "fp32", 128): 16,
    ("queries_backward", "bf16", 128): 320,
    ("queries_backward", "fp32", 64): 64,
    ("queries_backward", "fp32", 128): 1280,
    ("tokens_backward", "bf16", 128): 192,
    ("tokens_backward", "fp32", 128): 1344,
}
"""Limits of stack in bytes, by kernel, type of operands and padded channels; else none. In loops it
is mostly addresses in shared memory, which the compiler works out before the first round."""


def specimens() -> list[Specimen]:
    """Every kernel for every shape, and in its non-causal form for one."""
    from segttt.kernels.ttt_linear import (
        triton_asked,
        triton_chain,
        triton_forward,
        triton_losses,
        triton_outer,
        triton_short,
        triton_split,
    )

    kernels = [
        triton_forward.learn,
        triton_forward.answer,
        triton_losses.losses,
        triton_outer.inner,
        triton_outer.queries_backward,
        triton_outer.keys_backward,
        triton_chain.chain_backward,
        triton_chain.tokens_backward,
    ]
    fused = [triton_short.short_forward, triton_asked.answers_backward]
    split = [triton_split.learn_block, triton_split.chain_block]
    found = []
    for kind in (tl.bfloat16, tl.float32):
        for d, tokens in SHAPES + LONG:
            cut = Plan(d, SHORT, tokens, 1, (kind, EXACT[kind]))
            mine = kernels + (fused if cut.fused else [])
            if (d, tokens) in LONG:
                mine = split
            found += [_specimen(kernel, cut, True) for kernel in mine]
            if (d, tokens) in (SHAPES[0], LONG[0]):
                both = [kernel for kernel in mine if "CAUSAL" in kernel.arg_names]
                found += [_specimen(kernel, cut, False) for kernel in both]
    return found


def _specimen(kernel: Any, cut: Plan, causal: bool) -> Specimen:
    name = kernel.fn.__name__
    constants = {"CAUSAL": causal, "KEEP": True, **cut.constants(name)}
    warps, stages = constants["num_warps"], constants["num_stages"]
    constants = {key: value for key, value in constants.items() if key in kernel.arg_names}
    types = dict.fromkeys(("state", "n", "t", "heads"), "i32") | {"eps": "fp32", "turned": "*i32"}
    types |= dict.fromkeys(("q", "k", "v", "out", "d_out", "slopes"), f"*{cut.kind}")
    signature = {
        one: "constexpr" if one in constants else types.get(one, "*fp32")
        for one in kernel.arg_names
    }
    label = f"{name} {cut.kind} d={cut.d} t={cut.tokens}" + ("" if causal else " not causal")
    stack = STACK.get((name, cut.kind, cut.channels), 0)
    return Specimen(label, kernel, signature, constants, warps, stages, stack, 5.0)
