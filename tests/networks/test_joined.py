"""Joined maps: PyTorch's numbers, gradients that are not parts of longer rows."""

import torch

from segttt.networks.joined import join


def test_numbers_and_gradients_are_those_of_cat():
    parts = [torch.randn(2, c, 3, 4, 5, dtype=torch.float64, requires_grad=True) for c in (2, 3)]
    joined, plain = join(*parts), torch.cat(parts, 1)
    torch.testing.assert_close(joined, plain, rtol=0, atol=0)
    d_out = torch.randn_like(plain)
    ours = torch.autograd.grad(joined, parts, d_out)
    torch.testing.assert_close(ours, torch.autograd.grad(plain, parts, d_out), rtol=0, atol=0)


def test_gradients_lie_channels_last_without_gaps():
    parts = [torch.randn(2, 4, 3, 4, 5, requires_grad=True) for _ in range(2)]
    d_out = torch.randn(2, 8, 3, 4, 5).contiguous(memory_format=torch.channels_last_3d)
    for grad in torch.autograd.grad(join(*parts), parts, d_out):
        assert grad.is_contiguous(memory_format=torch.channels_last_3d)


def test_maps_of_two_precisions_are_joined_in_the_wider():
    half = torch.randn(1, 2, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    full = torch.randn(1, 2, 4, 4, requires_grad=True)
    joined = join(half, full)
    assert joined.dtype == torch.float32
    grads = torch.autograd.grad(joined.sum(), [half, full])
    assert [one.dtype for one in grads] == [torch.bfloat16, torch.float32]
