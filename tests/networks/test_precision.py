"""Which maps are refused in bfloat16 on a CPU, and that they have to be."""

import pytest
import torch

from segttt.errors import UsageError
from segttt.networks.precision import refuse_thin_maps


def network(*strides: int) -> torch.nn.Module:
    module = torch.nn.Identity()
    module.depth_strides = strides
    return module


def volume(depth: int) -> torch.Tensor:
    return torch.zeros(1, 1, depth, 8, 8)


@pytest.mark.parametrize("depth", [2, 4, 16])
def test_maps_of_depth_two_are_refused(depth: int):
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(UsageError, match=r"depth 2.*train\.precision=fp32"),
    ):
        refuse_thin_maps(network(1, 2, 8), volume(depth))
    with pytest.raises(UsageError, match="depth 2"):
        refuse_thin_maps(network(1, 2, 8), volume(depth).bfloat16())


def test_what_is_right_passes():
    refuse_thin_maps(network(1, 2), volume(4))
    with torch.autocast("cpu", torch.bfloat16):
        refuse_thin_maps(network(1, 2), volume(6))
        refuse_thin_maps(network(1, 2), volume(4).to("meta"))
        with torch.no_grad():
            refuse_thin_maps(network(1, 2), volume(4))
