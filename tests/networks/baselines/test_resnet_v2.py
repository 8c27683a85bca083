"""The residual network of TransUNet: its filters, its blocks and its features."""

import pytest
import torch
import torch.nn.functional as F

from segttt.networks.baselines.resnet_v2 import (
    Bottleneck,
    ResNetV2,
    StandardisedConv,
    standardise,
)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_standardised_filters_have_mean_0_and_variance_1():
    filters = standardise(5 + 3 * normal(6, 4, 3, 3))
    torch.testing.assert_close(filters.mean((1, 2, 3)), torch.zeros(6).double(), rtol=0, atol=1e-12)
    variance = filters.var((1, 2, 3), correction=0)
    torch.testing.assert_close(variance, torch.ones(6).double(), rtol=0, atol=1e-5)


def test_a_constant_filter_stays_finite_and_has_a_finite_gradient():
    weight = torch.full((2, 3, 3, 3), 0.5, requires_grad=True)
    filters = standardise(weight)
    filters.square().sum().backward()
    assert filters.abs().max() == 0
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("stride", [1, 2])
def test_the_convolution_ignores_scale_and_offset_of_its_filters(stride: int):
    conv, x = StandardisedConv(4, 6, 3, stride).double(), normal(2, 4, 8, 10)
    torch.nn.init.normal_(conv.weight)
    before = conv(x)
    assert before.shape == (2, 6, 8 // stride, 10 // stride)
    conv.weight.data = 7 * conv.weight.data + 2
    torch.testing.assert_close(conv(x), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("c_in", "stride"), [(64, 1), (128, 1), (64, 2)])
def test_a_bottleneck_is_convolution_norm_activation_thrice(c_in: int, stride: int):
    torch.manual_seed(0)
    block, x = Bottleneck(c_in, 128, stride).double(), normal(2, c_in, 6, 8)
    first, second, third = (
        module.weight for module in block.branch if isinstance(module, StandardisedConv)
    )
    y = F.relu(F.group_norm(F.conv2d(x, standardise(first)), 32, eps=1e-6))
    y = F.conv2d(y, standardise(second), stride=stride, padding=1)
    y = F.conv2d(F.relu(F.group_norm(y, 32, eps=1e-6)), standardise(third))
    shortcut = x
    if c_in != 128:
        shortcut = F.instance_norm(
            F.conv2d(x, standardise(block.shortcut[0].weight), stride=stride)
        )
    expected = F.relu(F.group_norm(y, 32, eps=1e-6) + shortcut)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("grid", [(32, 48), (64, 32)])
def test_features_halve_and_the_quarter_is_filled_up_with_zeros(grid: tuple[int, int]):
    torch.manual_seed(0)
    network = ResNetV2(3, 32, (1, 1, 1))
    outs = network(torch.randn(2, 3, *grid))
    shapes = [(2, 32 * width, grid[0] // step, grid[1] // step) for width, step in
              [(1, 2), (4, 4), (8, 8), (16, 16)]]  # fmt: skip
    assert [tuple(out.shape) for out in outs] == shapes
    quarter = outs[1]
    assert quarter[:, :, -1].abs().max() == 0
    assert quarter[..., -1].abs().max() == 0
    assert quarter[:, :, -2, :-1].abs().max() > 0
    assert quarter[:, :, :-1, -2].abs().max() > 0


def test_the_second_stage_sees_the_quarter_without_the_zeros():
    torch.manual_seed(0)
    network = ResNetV2(3, 32, (1, 1, 1))
    _, quarter, eighth, sixteenth = network(torch.randn(1, 3, 32, 32))
    torch.testing.assert_close(network.stages[1](quarter[:, :, :-1, :-1]), eighth)
    torch.testing.assert_close(network.stages[2](eighth), sixteenth)


def test_units_are_counted():
    with torch.device("meta"):
        network = ResNetV2(3, 64, (3, 4, 9))
    assert [len(stage) for stage in network.stages] == [3, 4, 9]
    assert [out.shape[1] for out in network(torch.empty(1, 3, 64, 64, device="meta"))] == [
        64, 256, 512, 1024,
    ]  # fmt: skip
