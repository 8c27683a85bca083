"""Vectors in compiled loops: what each operation does, lane by lane."""

import numba
import numpy as np
import pytest

from segttt.kernels.numba_lanes import (
    from_lane,
    load,
    read,
    splat,
    spread,
    sqrt,
    store,
    total,
    until_lane,
    write,
    zeros,
)
from segttt.kernels.numba_powers import exp2, minus_absolute, where_less

F32 = np.float32


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 2, shape).astype(F32)


@numba.njit
def arithmetic(x, y, out) -> None:
    a, b = load(x, 1, 3), load(y, 0, 0)
    store(a + b, out, 0, 0)
    store(a - b, out, 1, 0)
    store(a * b, out, 2, 0)
    store(a / b, out, 3, 0)
    store(sqrt(a), out, 4, 0)
    store(splat(F32(2)) - zeros(), out, 5, 0)
    store(spread(x, 1, 5), out, 6, 0)
    store(from_lane(a, 3), out, 7, 0)
    store(until_lane(a, 3), out, 8, 0)
    store(where_less(a, b, a, b), out, 9, 0)
    store(minus_absolute(a - b), out, 10, 0)
    out[11, 0] = total(a)


def test_each_operation_is_numpys():
    x, y, out = numbers(2, 20), numbers(1, 16), np.full((12, 16), np.nan, F32)
    arithmetic(x, y, out)
    a, b, none = x[1, 3:19], y[0], np.zeros(16, F32)
    wanted = [a + b, a - b, a * b, a / b, np.sqrt(a), none + 2, none + x[1, 5]]
    wanted += [np.r_[none[:3], a[3:]], np.r_[a[:3], none[3:]], np.minimum(a, b), -np.abs(a - b)]
    np.testing.assert_allclose(out[:11], np.stack(wanted), rtol=1e-6)
    assert out[11, 0] == pytest.approx(a.sum(), rel=1e-6)


@numba.njit
def powers(x, out) -> None:
    for lane in range(0, x.shape[1], 16):
        store(exp2(load(x, 0, lane)), out, 0, lane)


def test_powers_are_as_exact_as_they_say():
    x = np.linspace(-125, 127, 16_000, dtype=F32)[None]
    out = np.empty_like(x)
    powers(x, out)
    assert np.abs(out / np.exp2(x.astype(np.float64)) - 1).max() <= 2e-7
    edges = np.array([[np.nan, -np.inf, -1e30, *[0] * 13]], F32)
    powers(edges, out)
    assert np.isnan(out[0, 0])
    assert ((out[0, 1:3] >= 0) & (out[0, 1:3] < 2e-38)).all()


@numba.njit
def bring(array, i, j, step, high, wide, into, row, lane) -> None:
    read(array, i, j, step, high, wide, into, row, lane)


@numba.njit
def send(array, i, j, step, high, wide, source, row, lane) -> None:
    write(array, i, j, step, high, wide, source, row, lane)


TILES = [
    (0, 0, 1, 16, 16),
    (3, 2, 1, 40, 18),
    (3, 16, 1, 16, 4),
    (39, 4, -1, 5, 9),
    (0, 0, 1, 1, 1),
]


@pytest.mark.parametrize(("i", "j", "step", "high", "wide"), TILES)
def test_tiles_are_turned_and_nothing_else_is_touched(i, j, step, high, wide):
    array, into = numbers(40, 20), np.full((20, 40), np.nan, F32)
    bring(array, i, j, step, high, wide, into, 2, 5)
    rows = i + step * np.arange(min(high, 16))
    tile = np.zeros((16, 16), F32)
    tile[: min(wide, 16), : len(rows)] = array[rows, j : j + min(wide, 16)].T
    np.testing.assert_array_equal(into[2:18, 5:21], tile)
    into[2:18, 5:21] = np.nan
    assert np.isnan(into).all()

    source, back = numbers(20, 40), np.full((40, 20), np.nan, F32)
    send(back, i, j, step, high, wide, source, 2, 5)
    wanted = np.full((40, 20), np.nan, F32)
    wanted[rows, j : j + min(wide, 16)] = source[2 : 2 + min(wide, 16), 5 : 5 + len(rows)].T
    np.testing.assert_array_equal(back, wanted)


def test_a_tile_may_lie_at_the_very_end_of_memory():
    """Two tokens of three channels: reading 16 of either would leave what was allocated."""
    pages = np.zeros(2 * 3, F32)
    pages[:] = numbers(6)
    into = np.full((16, 16), np.nan, F32)
    bring(pages.reshape(2, 3), 0, 0, 1, 2, 3, into, 0, 0)
    np.testing.assert_array_equal(into[:3, :2], pages.reshape(2, 3).T)
    assert not into[3:].any()
    assert not into[:, 2:].any()
