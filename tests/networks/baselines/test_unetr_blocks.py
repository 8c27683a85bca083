"""The blocks of UNETR against MONAI's, and against their definition."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segttt.networks.baselines.unetr_blocks import ResBlock, UpBlock

GRID = {2: (8, 10), 3: (4, 6, 8)}


def monai(name: str) -> type[nn.Module]:
    """A block class of MONAI; a test without MONAI is skipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(pytest.importorskip("monai.networks.blocks"), name)


def share_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy the parameters of `theirs`; both define them in the same order."""
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize(("c_in", "c_out"), [(5, 5), (3, 6)])
def test_residual_block_equals_monai(rank: int, c_in: int, c_out: int):
    theirs = monai("UnetResBlock")(rank, c_in, c_out, 3, 1, "instance")
    ours = ResBlock(rank, c_in, c_out)
    share_weights(ours, theirs)
    x = torch.randn(2, c_in, *GRID[rank])
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rank", [2, 3])
def test_up_block_equals_monai(rank: int):
    theirs = monai("UnetrUpBlock")(rank, 6, 4, 3, 2, "instance", res_block=True)
    ours = UpBlock(rank, 6, 4)
    share_weights(ours, theirs)
    x, skip = torch.randn(2, 6, *GRID[rank]), torch.randn(2, 4, *(2 * n for n in GRID[rank]))
    torch.testing.assert_close(ours(x, skip), theirs(x, skip), rtol=1e-5, atol=1e-5)


def test_identity_shortcut_where_the_widths_agree():
    """With silent convolutions the norms give zeros, and the shortcut alone is left."""
    block = ResBlock(2, 3, 3)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(block(x), F.leaky_relu(x, 0.01), rtol=0, atol=0)


def test_gradients_are_finite_under_bfloat16_autocast():
    block = UpBlock(3, 6, 4)
    x = torch.randn(2, 6, 4, 4, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = block(x, torch.randn(2, 4, 8, 8, 8))
    out.float().square().sum().backward()
    grads = [x.grad, *(parameter.grad for parameter in block.parameters())]
    assert all(
        grad is not None and grad.isfinite().all() and grad.abs().max() > 0 for grad in grads
    )
