"""The definition of the selective scan against its sum written out."""

import pytest
import torch
from torch.nn.functional import softplus

from segttt.kernels.selective_scan.reference import selective_scan


@pytest.mark.parametrize("n", [1, 2, 9])
def test_the_recurrence_is_a_sum_over_all_earlier_tokens(n: int):
    """y_t = sum_{j <= t} sum_s C_t exp(A (delta_{j+1} + ... + delta_t)) B_j delta_j u_j + D u_t."""
    g = torch.Generator().manual_seed(n)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    u, dt, B, C = (normal(2, 3, n, w) for w in (4, 4, 5, 5))
    A, D, bias = -normal(3, 4, 5).exp(), normal(3, 4), normal(3, 4)
    delta = softplus(dt + bias[:, None])
    passed = delta.cumsum(2)
    between = passed[:, :, :, None] - passed[:, :, None]  # [b, g, t, j, d]
    causal = torch.ones(n, n).tril().bool()[:, :, None, None]
    kept = torch.where(causal, torch.exp(between[..., None] * A[:, None, None]), 0.0)
    weights = torch.einsum("bgts,bgtjds,bgjs->bgtjd", C, kept, B)
    expected = torch.einsum("bgtjd,bgjd->bgtd", weights, delta * u) + D[:, None] * u
    torch.testing.assert_close(selective_scan(u, dt, A, B, C, D, bias), expected)


def test_half_precision_is_computed_in_float32():
    rounded = [x.bfloat16() for x in _inputs(20)]
    out = selective_scan(*rounded)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, selective_scan(*(x.float() for x in rounded)).bfloat16())


@pytest.mark.parametrize("backwards", [[True, True], [False, True]])
def test_a_backward_scan_is_a_forward_scan_of_reversed_tokens(backwards):
    inputs = _inputs(20)
    turned = [x.flip(2) if i in (0, 1, 3, 4) else x for i, x in enumerate(inputs)]
    out = selective_scan(*inputs, backwards=backwards)
    for scan, back in enumerate(backwards):
        plain = selective_scan(*turned).flip(2) if back else selective_scan(*inputs)
        torch.testing.assert_close(out[:, scan], plain[:, scan])


def test_scans_merge_and_are_gated():
    inputs, z = _inputs(20), torch.randn(1, 20, 3)
    each = selective_scan(*inputs, backwards=[False, True])
    total = selective_scan(*inputs, backwards=[False, True], merge="sum")
    mean = selective_scan(*inputs, backwards=[False, True], merge="mean", z=z)
    torch.testing.assert_close(total, each[:, 0] + each[:, 1])
    torch.testing.assert_close(mean, total / 2 * z / (1 + torch.exp(-z)))


def _inputs(n: int) -> list[torch.Tensor]:
    inputs = [torch.randn(1, 2, n, 3), torch.randn(1, 2, n, 3), -torch.rand(2, 3, 4)]
    inputs += [torch.randn(1, 2, n, 4), torch.randn(1, 2, n, 4), torch.ones(2, 3)]
    return [*inputs, torch.zeros(2, 3)]
