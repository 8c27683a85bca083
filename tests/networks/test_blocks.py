"""Blocks against their formulas, written out with torch.nn.functional."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segttt.networks import blocks

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
CONV = {2: F.conv2d, 3: F.conv3d}


def shaped(rank: int, *edges: int) -> tuple[int, ...]:
    return edges[-rank:]


def instance_norm(x):
    return F.instance_norm(x, eps=1e-5)


def leaky(x):
    return F.leaky_relu(x, 0.01)


def apply(conv: nn.Module, x, stride=1):
    weight = conv.weight
    padding = tuple(edge // 2 for edge in weight.shape[2:])
    return CONV[weight.ndim - 2](x, weight, conv.bias, stride, padding)


@pytest.mark.parametrize(
    ("kernel", "stride"), [((3, 3), (2, 2)), ((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2))]
)
def test_residual_stage_is_conv_norm_act_conv_norm_plus_a_strided_pointwise_shortcut(
    kernel, stride
):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *shaped(len(kernel), 4, 8, 6))
    stage = blocks.residual_stage(3, 5, kernel, stride, 2)
    one, two = stage
    inner = leaky(instance_norm(apply(one.first[0], x, stride)))
    inner = instance_norm(apply(one.second, inner))
    middle = leaky(inner + apply(one.shortcut, x, stride))
    inner = leaky(instance_norm(apply(two.first[0], middle)))
    truth = leaky(instance_norm(apply(two.second, inner)) + middle)
    torch.testing.assert_close(stage(x), truth, rtol=1e-4, atol=1e-4)


def test_the_shortcut_of_a_residual_stage_is_there_even_where_nothing_changes():
    (block,) = blocks.residual_stage(4, 4, (3, 3), (1, 1), 1)
    assert isinstance(block.shortcut, nn.Conv2d)
    assert block.shortcut.bias is not None


def test_a_residual_encoder_stage_starts_as_its_pooled_shortcut():
    """The last norm of each block starts at zero, so each block is its shortcut, activated."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 8, 6)
    stage = blocks.resenc_stage(3, 5, (3, 3, 3), (1, 2, 2), 3)
    project = stage[0].shortcut[1]
    assert project.bias is None
    pooled = F.avg_pool3d(x, (1, 2, 2))
    truth = leaky(leaky(leaky(instance_norm(F.conv3d(pooled, project.weight)))))
    torch.testing.assert_close(stage(x), truth, rtol=1e-5, atol=1e-5)
    stage[1].norm.weight.data.fill_(1.0)
    assert (stage(x) - truth).abs().max() > 0.1


def test_a_residual_encoder_stage_of_equal_width_only_pools():
    stage = blocks.resenc_stage(4, 4, (3, 3), (2, 2), 1)
    assert [type(part) for part in stage[0].shortcut] == [nn.AvgPool2d]


@pytest.mark.parametrize("stride", [(2, 2), (1, 2, 2), (3, 2, 1)])
def test_nearest_up_repeats_each_voxel_and_then_mixes_channels(stride):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *shaped(len(stride), 2, 3, 4))
    up = blocks.NearestUp(3, 5, stride)
    repeated = x
    for axis, times in enumerate(stride, start=2):
        repeated = repeated.repeat_interleave(times, axis)
    torch.testing.assert_close(up(x), apply(up.conv, repeated))


def test_transposed_up_reaches_the_strided_grid():
    up = blocks.transposed_up(3, 5, (1, 2, 3))
    assert up(torch.randn(1, 3, 2, 2, 2)).shape == (1, 5, 2, 4, 6)


def test_he_initialisation_of_spatial_convolutions_only():
    torch.manual_seed(0)
    network = nn.ModuleList(
        [
            nn.Conv3d(64, 64, 3),
            nn.ConvTranspose3d(64, 128, 2, 2),
            nn.Conv1d(64, 64, 3),
            nn.Linear(64, 64),
        ]
    )
    before = [module.weight.clone() for module in network]
    blocks.initialise(network)
    for module, fan_in in ((network[0], 64 * 27), (network[1], 128 * 8)):
        assert module.weight.std().item() == pytest.approx((2 / (1.0001 * fan_in)) ** 0.5, rel=0.02)
        assert module.bias.abs().max() == 0
    assert torch.equal(network[2].weight, before[2])
    assert torch.equal(network[3].weight, before[3])
