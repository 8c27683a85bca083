"""Small kernels with specimens, as operators have them."""

import triton
import triton.language as tl

from segttt.kernels.specimen import Specimen


@triton.jit
def double(source, target, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(source + at, mask=at < n, other=0)
    tl.store(target + at, 2 * x, mask=at < n)


@triton.jit
def near(source, target, n, BLOCK: tl.constexpr):
    """`double`, but for tensors of up to 2^31 numbers."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(source + at, mask=at < n, other=0)
    tl.store(target + at, 2 * x, mask=at < n)


@triton.jit
def centred(source, target, n, BLOCK: tl.constexpr):
    """A square, so large that two warps cannot hold it."""
    at = tl.arange(0, BLOCK)[:, None] * n + tl.arange(0, BLOCK)[None]
    x = tl.load(source + at)
    tl.store(target + at, x - tl.sum(x, 0)[None] - tl.sum(x, 1)[:, None])


def specimens() -> list[Specimen]:
    signature = {"source": "*fp32", "target": "*fp32", "n": "i32", "BLOCK": "constexpr"}
    return [
        Specimen("double 256", double, signature, {"BLOCK": 256}, 4, 2, 0, 30.0),
        Specimen("double 512", double, signature, {"BLOCK": 512}, 4, 2, 0, 0.0),
        Specimen("near 256", near, signature, {"BLOCK": 256}, 4, 2, 0, 30.0),
        Specimen("centred 128", centred, signature, {"BLOCK": 128}, 2, 2, 16, 60.0),
    ]
