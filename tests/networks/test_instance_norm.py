"""Instance norm and the leaky ReLU after it, against their formula."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segttt.networks.instance_norm import InstanceNorm, instance_norm

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


@pytest.mark.parametrize("grid", [(6, 5), (3, 6, 5)])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("slope", [1.0, 0.1])
def test_instance_norm_has_the_values_and_gradients_of_its_formula(grid, last: bool, dtype, slope):
    """bfloat16 keeps 8 bits; statistics are kept in float32, so outputs are within one rounding."""
    torch.manual_seed(0)
    x = (3 * torch.randn(2, 4, *grid) + 5).to(dtype)
    x = x.contiguous(memory_format=FORMATS[x.ndim]) if last else x
    norm = InstanceNorm(4, slope)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    norm = norm.double() if dtype == torch.float64 else norm
    exact = x.double().requires_grad_()
    axes = tuple(range(2, x.ndim))
    var, mean = torch.var_mean(exact, axes, correction=0, keepdim=True)
    shape = (1, 4, *[1] * len(grid))
    weight, bias = norm.weight.double().view(shape), norm.bias.double().view(shape)
    truth = F.leaky_relu((exact - mean) / (var + 1e-5).sqrt() * weight + bias, slope)
    x.requires_grad_()
    out = norm(x)
    seed = torch.linspace(-1, 1, x.numel()).view(x.shape).to(dtype)
    found = torch.autograd.grad(out, (x, norm.weight, norm.bias), seed)
    true = torch.autograd.grad(truth, (exact, norm.weight, norm.bias), seed.double())
    tolerance = 1e-12 if dtype == torch.float64 else 2e-2
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), truth, rtol=tolerance, atol=tolerance)
    for one, other in zip(found, true, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rank", [2, 3])
def test_instance_norm_keeps_channels_last(rank: int):
    kind = FORMATS[rank + 2]
    x = torch.randn(2, 8, *(4,) * rank).contiguous(memory_format=kind)
    assert InstanceNorm(8, 0.1)(x).is_contiguous(memory_format=kind)


def test_without_weight_and_bias():
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    out = instance_norm(x, slope=0.2)
    torch.testing.assert_close(out, F.leaky_relu(F.instance_norm(x), 0.2))
    assert torch.autograd.gradcheck(lambda one: instance_norm(one, slope=0.2), x)


def test_both_ways_agree_and_nothing_is_kept_without_gradients():
    norm, x = InstanceNorm(3, 0.01), torch.randn(4, 3, 5, 6)
    expected = F.leaky_relu(F.instance_norm(x, weight=norm.weight, bias=norm.bias), 0.01)
    torch.testing.assert_close(norm(x), expected)
    with torch.inference_mode():
        torch.testing.assert_close(norm(x), expected)
    assert str(norm) == "InstanceNorm(3, slope=0.01)"
