"""Layer norm: its numbers, and its gradients in bfloat16."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segttt.networks.layer_norm import LayerNorm


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def norms(width: int, eps: float) -> tuple[LayerNorm, nn.LayerNorm]:
    ours, theirs = LayerNorm(width, eps), nn.LayerNorm(width, eps)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4, 7)])
def test_same_numbers_and_weights_as_pytorch(shape: tuple[int, ...]):
    x = drawn(*shape)
    ours, theirs = norms(shape[-1], 1e-6)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    precise = ours.double()(x.double())
    assert precise.dtype == torch.float64
    torch.testing.assert_close(precise.float(), theirs(x), rtol=1e-5, atol=1e-5)


def test_gradients_of_many_tokens_are_right_in_bfloat16():
    x, slope = drawn(16_384, 12).bfloat16(), drawn(12, 16_384).mT.bfloat16()
    ours, theirs = norms(12, 1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        out = ours(x)
    (out * slope.float()).sum().backward()
    (theirs(x.float()) * slope.float()).sum().backward()
    assert out.dtype == torch.float32
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)
    torch.testing.assert_close(ours.bias.grad, slope.float().sum(0), rtol=1e-4, atol=1e-3)


def test_no_eps_is_the_default_of_pytorch():
    x = 1e-3 * drawn(3, 4)
    torch.testing.assert_close(LayerNorm(4)(x), F.layer_norm(x, (4,)), rtol=0, atol=0)
