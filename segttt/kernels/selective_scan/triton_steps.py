"""What the GPU kernels of the selective scan share: tokens, steps, and the way along them.

A program has a tile [S, BD], all states of a block of channels. Times are tokens' own positions: a
scan that runs backwards counts them down. Kernels are exempt from run-time checks of types, which
would wrap them in what Triton cannot read.
"""

from typing import no_type_check

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
LINEAR = tl.constexpr(20.0)  # from here on softplus(x) = x in float32


@triton.jit
@no_type_check
def softplus(x):
    """log(1 + e^x), accurate where it is small, too."""
    power = tl.exp(tl.minimum(x, LINEAR))
    total = 1.0 + power
    # The rounding of 1 + e^x is divided out again; where nothing is left of e^x, it is the result.
    lost = total == 1.0
    small = tl.where(lost, power, tl.log(total) * (power / tl.where(lost, 1.0, total - 1.0)))
    return tl.where(x > LINEAR, x, small)


@triton.jit
@no_type_check
def sigmoid(x):
    """The derivative of softplus. Beyond `LINEAR` it is 1 in float32, and nothing overflows."""
    power = tl.exp(tl.minimum(x, LINEAR))
    return power / (1.0 + power)


@triton.jit
@no_type_check
def channel_row(x, t, stride, channels, width):
    """Token t of x [n, d] as float32; zero from channel `width` on."""
    place = x + tl.cast(t, tl.int64) * stride + channels
    return tl.load(place, mask=channels < width, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def state_row(x, t, states, STATES: tl.constexpr, S: tl.constexpr):
    """Token t of x [n, s] as float32; zero where the tile has more states."""
    place = x + tl.cast(t, tl.int64) * STATES + states
    if STATES == S:
        return tl.load(place).to(tl.float32)
    return tl.load(place, mask=states < STATES, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def store_row(x, t, stride, places, value, width):
    """Token t of x [n, stride], in its dtype, up to place `width`."""
    place = x + tl.cast(t, tl.int64) * stride + places
    tl.store(place, value.to(x.dtype.element_ty), mask=places < width)


@triton.jit
@no_type_check
def tile_mask(states, channels, d, STATES: tl.constexpr):
    return (states < STATES)[:, None] & (channels < d)[None, :]


@triton.jit
@no_type_check
def tile_place(index, states, channels, d, unit, STATES: tl.constexpr):
    """Where tile `index` of [..., s, d] lies; anew each time, as the addresses fill 32 registers.

    `unit` is 1, which the compiler must not know where its lanes shall keep one channel each.
    """
    return (index * STATES + states)[:, None] * d + channels[None, :] * unit


@triton.jit
@no_type_check
def rates(A, scan, A_g, A_d, A_s, states, channels, mask):
    """A / ln 2 of one scan, [S, BD], so that the decay is exp2(delta rate).

    The strides are not known when the kernel is compiled. So the compiler gives a lane one channel
    and all of its states, and the sum over states needs no other lane.
    """
    place = A + scan * A_g + states[:, None] * A_s + channels[None, :] * A_d
    return tl.load(place, mask=mask, other=0.0).to(tl.float32) * LOG2_E


@triton.jit
@no_type_check
def chunk_of(i, segment, length, n, back, CHUNK: tl.constexpr):
    """The i-th chunk that a scan enters in a segment: its index, first token read, and tokens."""
    first = segment * (length // CHUNK)
    last = tl.minimum(first + length // CHUNK, tl.cdiv(n, CHUNK)) - 1
    chunk = tl.where(back, last - i, first + i)
    tokens = tl.minimum(CHUNK, n - chunk * CHUNK)
    return chunk, chunk * CHUNK + tl.where(back, tokens - 1, 0), tokens


@triton.jit
@no_type_check
def chunks_in(segment, length, n, CHUNK: tl.constexpr):
    return tl.cdiv(tl.minimum(length, n - segment * length), CHUNK)
