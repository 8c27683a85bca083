"""Mini-batches of a sequence, and the rates with which they teach."""

import pytest
import torch

from segttt.kernels.chunks import cut, join, split, step_backward


@pytest.mark.parametrize(("n", "size"), [(1, 1), (12, 4), (13, 4), (3, 3)])
def test_join_undoes_split(n: int, size: int):
    x = torch.randn(2, 3, n, 5)
    chunks = split(x, size)
    assert chunks.shape == (-(-n // size), 2, 3, size, 5)
    assert torch.equal(chunks[0], x[:, :, :size])
    assert torch.equal(join(chunks, n), x)


def test_filling_teaches_nothing():
    q, k, v = torch.randn(3, 1, 2, 5, 4)
    chunks = cut(q, k, v, torch.rand(1, 2, 5) + 1, torch.rand(3) + 1)
    assert chunks.lr[1, ..., 2].eq(0).all()
    assert chunks.step[1, ..., 2].eq(0).all()
    assert torch.equal(join(chunks.targets, 5), v - k)
    assert chunks.keys[..., -1].eq(1).all()


def test_a_short_sequence_is_one_mini_batch():
    q = torch.randn(1, 1, 2, 4)
    chunks = cut(q, q, q, torch.rand(1, 1, 2), torch.tensor([1.0, 0.5, 0.25]))
    assert chunks.keys.shape == (1, 1, 1, 2, 5)
    assert chunks.rho.tolist() == [1.0, 0.5]


def test_rates_and_their_gradients():
    """step[i, j] = rho_i lr_j for j <= i, and last_step[j] = rho_t lr_j."""
    q = torch.zeros(2, 2, 6, 3, dtype=torch.float64)
    lr = torch.rand(2, 2, 6, dtype=torch.float64, requires_grad=True)
    rho = torch.rand(3, dtype=torch.float64, requires_grad=True)
    chunks = cut(q, q, q, lr, rho)
    assert chunks.step[1, 0, 1, 2, 1] == rho[2] * lr[0, 1, 4]
    assert chunks.step[1, 0, 1, 0, 1] == 0
    assert chunks.last_step[1, 0, 1, 0, 0] == rho[2] * lr[0, 1, 3]
    d_step = torch.randn(2, 2, 2, 3, 3, dtype=torch.float64).tril()
    d_last = torch.randn(2, 2, 2, 3, dtype=torch.float64)
    total = (chunks.step * d_step).sum() + (chunks.last_step[..., 0] * d_last).sum()
    d_lr, d_rho = step_backward(chunks, d_step, d_last)
    truth = torch.autograd.grad(total, (lr, rho))
    torch.testing.assert_close(join(d_lr[..., None], 6)[..., 0], truth[0])
    torch.testing.assert_close(d_rho, truth[1])
