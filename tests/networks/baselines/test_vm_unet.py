"""VM-UNet: its size, its skips, its gradients."""

import pytest
import torch

from segttt.config.baselines import VMUNetSpec
from segttt.errors import UsageError
from segttt.networks.baselines.vm_unet import VMUNet

SMALL = VMUNetSpec(features=8, encoder_blocks=(1, 1, 1, 1), decoder_blocks=(1, 1, 1, 1), states=4)
PATCH = (64, 32)


def small(in_channels: int = 2) -> VMUNet:
    torch.manual_seed(0)
    return VMUNet(SMALL, PATCH, in_channels, 5)


def images(samples: int, channels: int = 2) -> torch.Tensor:
    return torch.randn(samples, channels, *PATCH, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("encoder", "decoder", "count"),
    [((2, 2, 2, 2), (2, 2, 2, 1), 27_427_761), ((2, 2, 9, 2), (2, 9, 2, 2), 44_274_033)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_published_sizes(encoder, decoder, count: int, channels: int):
    spec = VMUNetSpec(encoder_blocks=encoder, decoder_blocks=decoder)
    with torch.device("meta"):
        network = VMUNet(spec, PATCH, channels, 9)
        outs = network(torch.empty(2, channels, *PATCH))
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert [tuple(out.shape) for out in outs] == [(2, 9, *PATCH)]


@pytest.mark.parametrize("reduced", [False, True], ids=["float32", "bfloat16"])
def test_every_parameter_gets_a_finite_gradient(reduced: bool):
    network = small()
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        (out,) = network(images(2))
    assert out.shape == (2, 5, *PATCH)
    out.float().square().mean().backward()
    for where, parameter in network.named_parameters():
        assert parameter.grad is not None, where
        assert parameter.grad.isfinite().all(), where
        assert parameter.grad.abs().max() > 0, where


def test_batch_equals_one_by_one_and_use_is_deterministic():
    network, x = small().double().eval(), images(3).double()
    (together,) = network(x)
    assert torch.equal(together, network(x)[0])
    alone = torch.cat([network(one)[0] for one in x.split(1)])
    torch.testing.assert_close(together, alone)


def test_dropped_paths_change_the_output_only_in_training():
    network, x = small(), images(4)
    torch.manual_seed(0)
    assert not torch.equal(network(x)[0], network(x)[0])


def test_skips_are_added_before_each_expansion_and_the_finest_is_left_out():
    network = small().eval()
    seen: dict[str, torch.Tensor] = {}
    watched = {
        "bottom": network.bottom,
        **{f"merge{i}": module for i, module in enumerate(network.encoder.merges)},
        **{f"expand{i}": module for i, module in enumerate(network.expands)},
        **{f"stage{i}": module for i, module in enumerate(network.decoder)},
        "final": network.final,
    }
    for name, module in watched.items():
        module.register_forward_hook(
            lambda _, args, out, name=name: seen.update({name: out, f"{name}.in": args[0]})
        )
    network(images(1))
    for deeper, merge, expand in (("bottom", 2, 0), ("stage0", 1, 1), ("stage1", 0, 2)):
        torch.testing.assert_close(
            seen[f"expand{expand}.in"], seen[deeper] + seen[f"merge{merge}"], rtol=0, atol=0
        )
    assert torch.equal(seen["final.in"], seen["stage2"])


def test_a_single_channel_is_shown_thrice():
    network = small(in_channels=1).eval()
    coloured = small(in_channels=3).eval()
    coloured.load_state_dict(network.state_dict())
    x = images(1, channels=1)
    assert torch.equal(network(x)[0], coloured(x.expand(-1, 3, -1, -1))[0])


def test_stochastic_depth_grows_to_the_bottom_and_shrinks_again():
    network = small()
    rates = [stage[0].drop_path.rate for stage in network.encoder.stages]
    rates += [stage[0].drop_path.rate for stage in (network.bottom, *network.decoder)]
    ramp = [0, 0.2 / 3, 0.4 / 3, 0.2]
    assert rates == pytest.approx(ramp + ramp[::-1])


def test_a_grid_that_is_no_multiple_of_32_is_refused():
    with pytest.raises(UsageError, match="multiples of 32"):
        small()(torch.zeros(1, 2, 64, 48))
    with pytest.raises(UsageError, match="multiples of 32"):
        VMUNet(SMALL, (40, 64), 1, 2)
