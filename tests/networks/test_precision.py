"""Which maps are refused in bfloat16 on a CPU, and that they have to be."""

import pytest
import torch

from segttt.errors import UsageError
from segttt.networks.precision import refuse_thin_maps


def volume(depth: int) -> torch.Tensor:
    return torch.zeros(1, 1, depth, 8, 8)


@pytest.mark.parametrize("depth", [2, 4, 16])
def test_maps_of_depth_two_are_refused(depth: int):
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(UsageError, match=r"depth 2.*train\.precision=fp32"),
    ):
        refuse_thin_maps(volume(depth), (1, 2, 8))
    with pytest.raises(UsageError, match="depth 2"):
        refuse_thin_maps(volume(depth).bfloat16(), (1, 2, 8))


def test_what_is_right_passes():
    refuse_thin_maps(volume(4), (1, 2))
    with torch.autocast("cpu", torch.bfloat16):
        refuse_thin_maps(volume(6), (1, 2))
        refuse_thin_maps(volume(4).to("meta"), (1, 2))
        with torch.no_grad():
            refuse_thin_maps(volume(4), (1, 2))
