"""The inner loss and its two derivatives against autograd, in float64."""

import torch
import torch.nn.functional as F

from segttt.kernels.inner_loss import inner_loss, slope_backward


def draw(d: int = 5):
    g = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    z, targets, scale, shift = (
        normal(2, 3, 7, d),
        normal(2, 3, 7, d),
        normal(3, 1, d),
        normal(3, 1, d),
    )
    return z.requires_grad_(), targets, scale, shift


def test_slope_is_the_gradient_of_the_loss():
    z, targets, scale, shift = draw()
    error = scale * F.layer_norm(z, (5,), eps=1e-6) + shift - targets
    loss = inner_loss(z, targets, scale, shift, 1e-6)
    torch.testing.assert_close(loss.error, error)
    truth = torch.autograd.grad(0.5 * error.square().sum(), z)[0]
    torch.testing.assert_close(loss.slope, truth)


def test_slope_backward_is_the_gradient_of_the_slope():
    z, targets, scale, shift = draw()
    loss = inner_loss(z, targets, scale, shift, 1e-6)
    d_slope = torch.linspace(-1, 1, z.numel(), dtype=torch.float64).view(z.shape)
    scaled = scale * loss.error.detach()
    d_scaled, d_z = slope_backward(loss, scale, d_slope)
    torch.testing.assert_close(d_z, torch.autograd.grad(loss.slope, z, d_slope)[0])
    # The slope is linear in the scaled error, so a product with it is what the slope itself gives.
    torch.testing.assert_close((d_scaled * scaled).sum(), (d_slope * loss.slope).sum())
