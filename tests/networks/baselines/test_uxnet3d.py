"""3D UX-Net: published size, the parts of its blocks, gradients and grids."""

import pytest
import torch
import torch.nn.functional as F

from segttt.config.baselines import UXNet3DSpec
from segttt.errors import UsageError
from segttt.networks.baselines.uxnet3d import UXBlock, UXNet3D

SMALL = UXNet3DSpec(features=8, depths=(1, 1, 1, 1))
PATCH = (48, 16, 32)


def built() -> UXNet3D:
    torch.manual_seed(0)
    return UXNet3D(SMALL, PATCH, 2, 3)


def images(samples: int = 1) -> torch.Tensor:
    return torch.randn(samples, 2, *PATCH, generator=torch.Generator().manual_seed(0))


def test_published_size():
    with torch.device("meta"):
        network = UXNet3D(UXNet3DSpec(), (96, 96, 96), 1, 14)
        (out,) = network(torch.empty(2, 1, 96, 96, 96))
    assert sum(parameter.numel() for parameter in network.parameters()) == 53_006_510
    assert out.shape == (2, 14, 96, 96, 96)


def test_block_is_an_mlp_per_channel_behind_a_depthwise_convolution():
    """Recomputed channel by channel from the published definition."""
    block = UXBlock(3)
    torch.nn.init.normal_(block.gamma)
    x = torch.randn(1, 3, 4, 5, 6)
    maps = [
        F.conv3d(x[:, c : c + 1], block.depthwise.weight[c : c + 1], padding=3)
        + block.depthwise.bias[c]
        for c in range(3)
    ]
    normed = F.layer_norm(torch.cat(maps, 1).movedim(1, -1), (3,), eps=1e-6)
    widen, narrow = block.widen.weight.flatten(1), block.narrow.weight.flatten(1)
    outs = []
    for c in range(3):
        hidden = normed[..., c, None] * widen[4 * c : 4 * c + 4, 0]
        hidden = F.gelu(hidden + block.widen.bias[4 * c : 4 * c + 4])
        outs.append(block.gamma[c] * (hidden @ narrow[c] + block.narrow.bias[c]))
    torch.testing.assert_close(block(x), x + torch.stack(outs, 1), rtol=1e-4, atol=1e-5)


def test_blocks_start_as_the_identity_almost():
    x = torch.randn(1, 8, 4, 4, 4)
    change = (UXBlock(8)(x) - x).abs().max()
    assert 0 < change < 1e-5


def test_every_parameter_moves_the_logits_and_evaluation_repeats():
    network = built().eval()
    x = images()
    (out,) = network(x)
    assert out.shape == (1, 3, *PATCH)
    assert torch.equal(network(x)[0], out)
    out.square().mean().backward()
    # A bias ahead of an instance norm would not move anything; there is none.
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


def test_batch_equals_one_by_one():
    network = built().eval()
    x = images(2)
    alone = torch.cat([network(x[i : i + 1])[0] for i in (0, 1)])
    torch.testing.assert_close(network(x)[0], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_bfloat16_gradients_are_those_of_float32(layout: torch.memory_format):
    """All together to 0.05: 8 bits, through 60 layers. One alone to 0.5, where sums cancel.

    What oneDNN gives for the depthwise kernels in bfloat16 is off by 1 to 1e21, and fails.
    """
    network, x = built().to(memory_format=layout), images().contiguous(memory_format=layout)
    for block in network.modules():
        if isinstance(block, UXBlock):
            torch.nn.init.ones_(block.gamma)
    grads = []
    for reduced in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            (out,) = network(x)
        out.float().square().mean().backward()
        grads.append({name: p.grad.clone() for name, p in network.named_parameters()})
    exact, rounded = grads
    for name, grad in exact.items():
        assert (rounded[name] - grad).norm() < 0.5 * grad.norm(), name
    flat, wrong = (
        torch.cat([g.flatten() for g in parts])
        for parts in (exact.values(), (rounded[name] - grad for name, grad in exact.items()))
    )
    assert wrong.norm() < 0.05 * flat.norm()


@pytest.mark.parametrize("grid", [(48, 16, 24), (16, 16, 16), (48, 16)])
def test_unfit_grids_are_refused(grid: tuple[int, ...]):
    with pytest.raises(UsageError, match="multiples of 16"):
        built()(torch.zeros(1, 2, *grid))
    with pytest.raises(UsageError, match="multiples of 16"):
        UXNet3D(SMALL, grid, 2, 3)


def test_depth_two_is_refused_in_bfloat16():
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(UsageError, match="depth 2"):
        built()(torch.zeros(1, 2, 32, 16, 16))
