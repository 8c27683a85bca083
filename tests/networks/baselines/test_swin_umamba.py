"""Swin-UMamba and Swin-UMamba-D: their sizes, scales and gradients."""

import pytest
import torch

from segttt.config.baselines import SwinUMambaSpec
from segttt.errors import UsageError
from segttt.networks.baselines.swin_umamba import SwinUMamba, SwinUMambaD

SMALL = SwinUMambaSpec(features=8, depths=(1, 1, 1, 1), states=4)
PATCH = (64, 32)
BOTH = pytest.mark.parametrize("kind", [SwinUMamba, SwinUMambaD])
SCALES = {SwinUMamba: (1, 2, 4, 8), SwinUMambaD: (1, 4, 8, 16)}


def small(kind, classes: int = 5):
    torch.manual_seed(0)
    return kind(SMALL, PATCH, 3, classes)


def images(samples: int) -> torch.Tensor:
    return torch.randn(samples, 3, *PATCH, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("kind", "channels", "classes", "count"),
    [
        (SwinUMamba, 1, 14, 59_889_368),
        (SwinUMamba, 3, 8, 59_890_688),
        (SwinUMambaD, 3, 8, 27_496_160),
        (SwinUMambaD, 1, 14, 27_497_720),
    ],
)
def test_published_sizes(kind, channels: int, classes: int, count: int):
    with torch.device("meta"):
        network = kind(SwinUMambaSpec(), PATCH, channels, classes)
        outs = network(torch.empty(2, channels, *PATCH))
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert [tuple(out.shape) for out in outs] == [
        (2, classes, 64 // scale, 32 // scale) for scale in SCALES[kind]
    ]


@BOTH
@pytest.mark.parametrize("reduced", [False, True], ids=["float32", "bfloat16"])
def test_every_parameter_gets_a_finite_gradient(kind, reduced: bool):
    network = small(kind)
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        outs = network(images(2))
    sum(out.float().square().mean() for out in outs).backward()
    for where, parameter in network.named_parameters():
        assert parameter.grad is not None, where
        assert parameter.grad.isfinite().all(), where
        assert parameter.grad.abs().max() > 0, where


@BOTH
def test_deep_supervision_only_adds_outputs(kind):
    network, x = small(kind).eval(), images(1)
    deep = network(x)
    assert [tuple(out.shape[1:]) for out in deep] == [
        (5, 64 // scale, 32 // scale) for scale in SCALES[kind]
    ]
    network.deep_supervision = False
    (only,) = network(x)
    assert torch.equal(only, deep[0])


@BOTH
def test_batch_equals_one_by_one(kind):
    network, x = small(kind).double().eval(), images(3).double()
    together = network(x)
    singles = [network(one) for one in x.split(1)]
    for out, ones in zip(together, zip(*singles, strict=True), strict=True):
        torch.testing.assert_close(out, torch.cat(ones))


@BOTH
def test_dropped_paths_change_the_output_only_in_training(kind):
    network, x = small(kind), images(4)
    torch.manual_seed(0)
    assert not torch.equal(network(x)[0], network(x)[0])
    network.eval()
    assert torch.equal(network(x)[0], network(x)[0])


def test_skips_reach_the_decoder_at_their_own_resolution():
    network = small(SwinUMamba).eval()
    seen = []
    for up in network.ups:
        up.register_forward_hook(lambda _, args, out: seen.append((*args, out)))
    network(images(1))
    shapes = [(tuple(x.shape[1:]), tuple(skip.shape[1:])) for x, skip, _ in seen]
    assert shapes == [
        ((64, 2, 1), (64, 4, 2)),
        ((64, 4, 2), (32, 8, 4)),
        ((32, 8, 4), (16, 16, 8)),
        ((16, 16, 8), (8, 32, 16)),
        ((8, 32, 16), (4, 64, 32)),
    ]
    torch.testing.assert_close(seen[-1][1], network.skips[0](images(1)), rtol=0, atol=0)


def test_the_scanning_decoder_joins_the_encoder_maps():
    network = small(SwinUMambaD).eval()
    seen = []
    for join in network.joins:
        join.register_forward_hook(lambda _, args, out: seen.append(args[0]))
    x = images(1)
    network(x)
    leaving = network.encoder(x)[1]
    for joined, skip in zip(seen, leaving[-2::-1], strict=True):
        torch.testing.assert_close(joined.chunk(2, -1)[1], skip, rtol=0, atol=0)
    expanded = network.expands[0](leaving[-1])
    torch.testing.assert_close(seen[0].chunk(2, -1)[0], expanded, rtol=0, atol=0)


def test_stochastic_depth_grows_to_the_bottom_and_shrinks_again():
    network = small(SwinUMambaD)
    rates = [stage[0].drop_path.rate for stage in network.encoder.stages]
    rates += [block.drop_path.rate for stage in network.decoder for block in stage]
    down = [0, 0.2 / 3, 0.4 / 3, 0.2]
    assert rates == pytest.approx([*down, 0.2, 0.16, 0.12, 0.08, 0.04, 0])


@BOTH
def test_a_grid_that_is_no_multiple_of_32_is_refused(kind):
    with pytest.raises(UsageError, match="multiples of 32"):
        small(kind)(torch.zeros(1, 3, 48, 64))
    with pytest.raises(UsageError, match="multiples of 32"):
        kind(SMALL, (64, 40), 1, 2)
