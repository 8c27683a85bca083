"""Token orders, value by value."""

import pytest
import torch

from segttt.networks.tokens import to_tokens, to_volume


def test_raster_tokens_are_voxels_with_the_last_axis_fastest():
    x = torch.arange(2 * 3 * 2 * 2 * 2.0).view(2, 3, 2, 2, 2)
    tokens = to_tokens(x, "raster")
    assert tokens.shape == (2, 8, 3)
    assert torch.equal(tokens[1, 0b101], x[1, :, 1, 0, 1])


def test_channel_tokens_are_channels():
    x = torch.arange(2 * 3 * 2 * 2.0).view(2, 3, 2, 2)
    tokens = to_tokens(x, "channels")
    assert tokens.shape == (2, 3, 4)
    assert torch.equal(tokens[1, 2], x[1, 2].flatten())


@pytest.mark.parametrize("order", ["raster", "channels"])
@pytest.mark.parametrize("grid", [(2, 3), (2, 3, 4)])
@pytest.mark.parametrize("last", [False, True])
def test_there_and_back(order, grid, last: bool):
    x = torch.randn(2, 5, *grid)
    x = x.movedim(1, -1).contiguous().movedim(-1, 1) if last else x
    assert torch.equal(to_volume(to_tokens(x, order), grid, order), x)
