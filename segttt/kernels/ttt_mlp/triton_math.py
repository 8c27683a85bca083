"""What the GPU kernels of TTT-MLP compute on one mini-batch: gelu, layer norm, their derivatives.

Rows are tokens, columns are channels. Columns beyond the real ones hold zeros and stay zero, which
is what `real` [1, BD] is for. Kernels are exempt from run-time checks of types, which would wrap
them in what Triton cannot read.
"""

from typing import no_type_check

import triton
import triton.language as tl

from segttt.kernels.ttt_mlp.gelu import CUBIC, RATE

TWICE_RATE = tl.constexpr(2 * RATE)
TWICE_RATE_CUBIC = tl.constexpr(2 * RATE * CUBIC)
TWICE_RATE_CUBIC_3 = tl.constexpr(6 * RATE * CUBIC)


@triton.jit
@no_type_check
def dot(a, b, PRECISION: tl.constexpr):
    """The product in float32; what a factor is rounded to before it is up to the caller."""
    return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
@no_type_check
def gelu(z):
    """z p, where p = (1 + tanh(RATE (z + CUBIC z^3))) / 2 is a logistic function."""
    return z * _logistic(z)


@triton.jit
@no_type_check
def gelu_and_slope(z):
    """gelu(z) and gelu'(z); the vanishing p (1 - p) meets the growing powers of z last."""
    p = _logistic(z)
    bend = p * (1 - p) * (TWICE_RATE + z * z * TWICE_RATE_CUBIC_3)
    return z * p, p + z * bend


@triton.jit
@no_type_check
def gelu_twice(z):
    """gelu(z), gelu'(z) and gelu''(z)."""
    p = _logistic(z)
    inner = TWICE_RATE + z * z * TWICE_RATE_CUBIC_3
    bend = p * (1 - p) * inner
    curve = bend * (1 - 2 * p) * inner + p * (1 - p) * z * (2 * TWICE_RATE_CUBIC_3)
    return z * p, p + z * bend, 2 * bend + z * curve


@triton.jit
@no_type_check
def _logistic(z):
    return 1 / (1 + tl.exp(-(z * TWICE_RATE + z * z * z * TWICE_RATE_CUBIC)))


@triton.jit
@no_type_check
def mean(x, D: tl.constexpr):
    """Over the real columns, [rows, 1]."""
    return tl.sum(x, 1, keep_dims=True) * (1.0 / D)


@triton.jit
@no_type_check
def normalise(z, real, eps, D: tl.constexpr):
    """Zero mean and unit variance of each row, and the factor that did it."""
    centred = tl.where(real, z - mean(z, D), 0.0)
    rstd = 1 / tl.sqrt(mean(centred * centred, D) + eps)
    return centred * rstd, rstd


@triton.jit
@no_type_check
def project(x, normed, real, D: tl.constexpr):
    """Take from x its mean and its part along `normed`; rstd times this is LN's derivative."""
    return tl.where(real, x - mean(x, D), 0.0) - normed * mean(x * normed, D)


@triton.jit
@no_type_check
def inner_loss(z, target, scale, shift, real, eps, D: tl.constexpr):
    """The norm of z, its factor, the error of scale * normed + shift, and the loss's slope in z."""
    normed, rstd = normalise(z, real, eps, D)
    error = scale * normed + shift - target
    return normed, rstd, error, rstd * project(scale * error, normed, real, D)


@triton.jit
@no_type_check
def slope_backward(normed, rstd, error, slope, scale, d_slope, real, D: tl.constexpr):
    """Gradients of scale * error and of z, from that of the slope; see `../inner_loss.py`."""
    scaled = scale * error
    d_scaled = rstd * project(d_slope, normed, real, D)
    aside = d_slope * mean(scaled * normed, D) + scaled * mean(d_slope * normed, D)
    d_normed = scale * scale * d_scaled - rstd * aside
    length = mean(d_slope * slope, D)
    return d_scaled, rstd * (project(d_normed, normed, real, D) - normed * length)


@triton.jit
@no_type_check
def reading(ways, head, n, TURNED: tl.constexpr):
    """Where a head begins to read, and +1 or -1 for the way it goes."""
    way = tl.load(ways + head) if TURNED else 1
    return (1 - way) // 2 * (n - 1), way


@triton.jit
@no_type_check
def this_program(count, BLOCKS: tl.constexpr):
    """Of a program for a block of tokens: its sample and head, mini-batch of `count`, and block."""
    whole = tl.program_id(0) // BLOCKS
    return (whole // count).to(tl.int64), whole % count, tl.program_id(0) % BLOCKS


@triton.jit
@no_type_check
def tokens_of(rows, batch, n, t, origin, way):
    """Where the rows of mini-batch `batch` lie in the sequence, [BT] int64, and which exist."""
    read = batch * t + rows
    return (origin + way * read).to(tl.int64), (rows < t) & (read < n)


@triton.jit
@no_type_check
def last_row(batch, n, t):
    """The last row of mini-batch `batch` that exists."""
    return tl.minimum(t, n - batch * t) - 1


@triton.jit
@no_type_check
def steps(rows, scales, others, rates):
    """How much row i sees of the slope of another row j <= i, rho_i lr_j."""
    return tl.where(rows[:, None] >= others[None, :], scales[:, None] * rates[None, :], 0.0)
