"""Transposed convolutions by matrix products: PyTorch's numbers and gradients."""

import pytest
import torch
from torch import nn

from segttt.networks.transposed import TransposedConv2d, TransposedConv3d

SHAPES = [
    (TransposedConv2d, nn.ConvTranspose2d, (2, 2), (5, 3)),
    (TransposedConv2d, nn.ConvTranspose2d, (1, 3), (4, 2)),
    (TransposedConv3d, nn.ConvTranspose3d, (2, 2, 2), (3, 4, 2)),
    (TransposedConv3d, nn.ConvTranspose3d, (1, 2, 3), (2, 1, 3)),
]


def pair(ours, theirs, stride, bias=True):
    one, other = ours(3, 4, stride, bias=bias), theirs(3, 4, stride, stride, bias=bias)
    other.load_state_dict(one.state_dict())
    return one, other


def gradients(layer, x, d_out):
    out = layer(x)
    return out, torch.autograd.grad(out, [x, *layer.parameters()], d_out.to(out.dtype))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("ours", "theirs", "stride", "grid"), SHAPES)
def test_numbers_and_gradients_are_pytorchs(ours, theirs, stride, grid, last, bias):
    one, other = (layer.double() for layer in pair(ours, theirs, stride, bias))
    x = torch.randn(2, 3, *grid, dtype=torch.float64)
    if last:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    x.requires_grad_()
    d_out = torch.randn(2, 4, *(a * b for a, b in zip(grid, stride, strict=True))).double()
    found, true = gradients(one, x, d_out), gradients(other, x, d_out)
    torch.testing.assert_close(found, true)
    wide = torch.cat([d_out, d_out], 1)[:, :4]  # as a joined map's gradient arrives
    torch.testing.assert_close(gradients(one, x, wide), true)


def test_autocast_gives_half_precision_and_gradients_of_the_weights_type():
    one, other = pair(TransposedConv3d, nn.ConvTranspose3d, (2, 2, 2))
    x = torch.randn(1, 3, 4, 4, 4, requires_grad=True)
    d_out = torch.randn(1, 4, 8, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found, true = gradients(one, x, d_out), gradients(other, x, d_out)
    assert found[0].dtype == torch.bfloat16
    assert [one.dtype for one in found[1]] == [torch.float32] * 3
    torch.testing.assert_close(found[0], true[0])
    for ours, theirs in zip(found[1], true[1], strict=True):
        assert (ours - theirs).norm() < 1e-2 * theirs.norm()
