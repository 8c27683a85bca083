"""Windows, shift masks and relative positions against their plain definitions."""

import math

import pytest
import torch

from segttt.networks.baselines.window_attention import (
    WindowAttention,
    Windows,
    merge,
    partition,
    relative_position,
    shift_mask,
    windows_of,
)

GRIDS = [
    Windows((8, 4, 12), 4, 0),
    Windows((8, 8, 8), 4, 2),
    Windows((5, 7, 9), 3, 1),
    Windows((4, 2, 6), 2, 1),
]


def features(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_window_holds_neighbours_in_reading_order():
    x = torch.arange(4 * 4 * 6).view(1, 4, 4, 6, 1)
    windows = partition(x, 2)
    assert windows.shape == (1, 12, 8, 1)
    assert windows[0, 0, :, 0].tolist() == [0, 1, 6, 7, 24, 25, 30, 31]
    assert windows[0, 1, :, 0].tolist() == [2, 3, 8, 9, 26, 27, 32, 33]
    assert windows[0, 3, 0, 0] == 12
    torch.testing.assert_close(merge(windows, (4, 4, 6), 2), x, rtol=0, atol=0)


@pytest.mark.parametrize("windows", GRIDS)
def test_join_undoes_cut(windows: Windows):
    x = features(2, *windows.grid, 3)
    torch.testing.assert_close(windows.join(windows.cut(x)), x, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("grid", "edge", "expected"),
    [
        ((32, 32, 32), 4, (4, 2)),
        ((8, 8, 8), 8, (8, 0)),
        ((6, 12, 12), 8, (6, 0)),
        ((3, 6, 6), 4, (3, 0)),
        ((5, 9, 9), 3, (3, 1)),
    ],
)
def test_windows_no_smaller_than_the_grid_are_clipped_and_do_not_shift(grid, edge, expected):
    windows = windows_of(grid, edge, shifted=True)
    assert (windows.edge, windows.shift) == expected
    assert windows_of(grid, edge, shifted=False).shift == 0


@pytest.mark.parametrize("edge", [1, 2, 3, 4])
def test_each_offset_has_its_own_number(edge: int):
    numbers = relative_position(edge)
    places = [(z, y, x) for z in range(edge) for y in range(edge) for x in range(edge)]
    offsets = {}
    for i, here in enumerate(places):
        for j, there in enumerate(places):
            offset = tuple(a - b for a, b in zip(here, there, strict=True))
            assert offsets.setdefault(offset, int(numbers[i, j])) == int(numbers[i, j])
    assert sorted(offsets.values()) == list(range((2 * edge - 1) ** 3))


def test_windows_in_the_middle_are_not_masked():
    mask = shift_mask(Windows((6, 6, 6), 2, 1))
    assert mask.shape == (27, 1, 8, 8)
    assert mask[0].abs().max() == 0
    assert mask[-1].unique().tolist() == [-100.0, 0.0]
    assert (mask[-1] == 0).sum() == 8  # the last corner holds eight strangers


def plain(attention: WindowAttention, windows: Windows, x: torch.Tensor) -> torch.Tensor:
    """Every token of the padded grid asks those in its window of the unrolled grid, one by one."""
    z, y, w = (full - size for full, size in zip(windows.padded, windows.grid, strict=True))
    x = torch.nn.functional.pad(x, (0, 0, 0, w, 0, y, 0, z))
    places = torch.cartesian_prod(*(torch.arange(size) for size in windows.padded))
    window = torch.div(places - windows.shift, windows.edge, rounding_mode="floor")
    offset = places[:, None] - places[None] + windows.edge - 1
    span = 2 * windows.edge - 1
    number = (offset[..., 0] * span + offset[..., 1]) * span + offset[..., 2]
    near = (window[:, None] == window[None]).all(-1)
    tokens = x.flatten(1, 3)
    out = torch.zeros_like(tokens)
    width = x.shape[-1] // attention.heads
    for head in range(attention.heads):
        part = tokens[..., head * width : (head + 1) * width]
        bias = attention.bias[number.clamp(0, span**3 - 1), head]
        score = part @ part.mT / math.sqrt(width) + bias
        weight = score.masked_fill(~near, -math.inf).softmax(-1)
        out[..., head * width : (head + 1) * width] = weight @ part
    out = attention.project(out).unflatten(1, windows.padded)
    return out[:, : windows.grid[0], : windows.grid[1], : windows.grid[2]]


@pytest.mark.parametrize("windows", GRIDS)
def test_attention_equals_its_definition(windows: Windows):
    torch.manual_seed(0)
    attention = WindowAttention(6, 2, windows).double()
    torch.nn.init.normal_(attention.bias)
    x = features(2, *windows.grid, 6)
    cut = windows.cut(x)
    with torch.no_grad():
        ours, expected = windows.join(attention(cut, cut, cut)), plain(attention, windows, x)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_queries_ask_keys_and_bring_values():
    """Equal scores take the mean of the values; a loud key takes its own."""
    windows = Windows((2, 2, 2), 2, 0)
    attention = WindowAttention(2, 1, windows).double()
    torch.nn.init.zeros_(attention.bias)
    attention.project = torch.nn.Identity()
    q, v = torch.ones(1, 1, 8, 2, dtype=torch.float64), features(1, 1, 8, 2)
    out = attention(q, torch.zeros_like(q), v)
    torch.testing.assert_close(out, v.mean(2, keepdim=True).expand_as(v))
    k = torch.zeros_like(q)
    k[:, :, 5] = 1000
    torch.testing.assert_close(attention(q, k, v), v[:, :, 5:6].expand_as(v))
