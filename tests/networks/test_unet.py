"""The U-Net of every name, in 2D and 3D, forward and backward."""

import jaxtyping
import pytest
import torch
from torch import nn

from segttt.config.network import Topology, UNetSpec
from segttt.errors import UsageError
from segttt.networks.build import build, names, spec
from segttt.networks.mixer import Mixer

FLAT = Topology(
    patch=(32, 16),
    strides=((1, 1), (2, 2), (2, 2), (2, 1)),
    kernels=((3, 3),) * 4,
    features=(4, 8, 12, 16),
)
SOLID = Topology(
    patch=(8, 16, 8),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2), (1, 2, 1)),
    kernels=((1, 3, 3), *[(3, 3, 3)] * 3),
    features=(4, 8, 12, 16),
)


UNETS = [name for name in names() if isinstance(spec(name), UNetSpec)]


def changed(name: str, **fields) -> UNetSpec:
    return UNetSpec.model_validate({**spec(name).model_dump(), "heads": 2, **fields})


def images(topology: Topology, samples: int = 2) -> torch.Tensor:
    return torch.randn(samples, 3, *topology.patch, generator=torch.Generator().manual_seed(0))


def built(wanted: UNetSpec, topology: Topology):
    torch.manual_seed(0)
    return build(wanted, topology, 3, 5)


@pytest.mark.parametrize("topology", [FLAT, SOLID], ids=["2d", "3d"])
@pytest.mark.parametrize("name", UNETS)
def test_every_network_gives_finite_logits_and_gradients(name: str, topology: Topology):
    network = built(changed(name), topology)
    outs = network(images(topology))
    grids = [topology.stage_shape(stage) for stage in range(3)]
    assert [tuple(out.shape) for out in outs] == [(2, 5, *grid) for grid in grids]
    assert all(out.isfinite().all() for out in outs)
    sum(out.square().mean() for out in outs).backward()
    for where, parameter in network.named_parameters():
        assert parameter.grad is not None, where
        assert parameter.grad.isfinite().all(), where
        if "mixers." in where or ".inside." in where:
            assert parameter.grad.abs().max() > 0, where


@pytest.mark.parametrize("name", UNETS)
def test_batch_equals_one_by_one(name: str):
    network, x = built(changed(name), SOLID).double(), images(SOLID, 3).double()
    together = network(x)
    for index in range(3):
        alone = network(x[index : index + 1])
        for out, one in zip(together, alone, strict=True):
            torch.testing.assert_close(out[index : index + 1], one, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("topology", [FLAT, SOLID], ids=["2d", "3d"])
@pytest.mark.parametrize("name", UNETS)
def test_bfloat16_and_channels_last_train(name: str, topology: Topology):
    """A mixer amplifies the rounding before it: W0 is small, and LN brings k W0 to size one."""
    last = torch.channels_last if topology.rank == 2 else torch.channels_last_3d
    network = built(changed(name), topology)
    exact = network(images(topology))
    network = network.to(memory_format=last)
    with torch.autocast("cpu", torch.bfloat16):
        outs = network(images(topology).contiguous(memory_format=last))
        loss = sum(out.float().square().mean() for out in outs)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    for out, truth in zip(outs, exact, strict=True):
        assert out.isfinite().all()
        rough = any(isinstance(module, Mixer) for module in network.modules())
        assert rough or (out.float() - truth).norm() < 0.1 * truth.norm()


@pytest.mark.parametrize("name", UNETS)
def test_without_deep_supervision_only_the_first_output_remains_and_weights_still_load(name):
    network = built(changed(name), FLAT)
    everything = network(images(FLAT))
    other = build(changed(name), FLAT, 3, 5, deep_supervision=False)
    other.load_state_dict(network.state_dict(), strict=True)
    (first,) = other(images(FLAT))
    torch.testing.assert_close(first, everything[0], rtol=0, atol=0)


def test_ttt_mlp_is_an_inner_model_of_every_ttt_network():
    for name in ("ttt-unet-bot", "ttt-unet-enc:paper", "mm-unet-ttt"):
        linear, mlp = (built(changed(name, mixer=m), SOLID) for m in ("ttt_linear", "ttt_mlp"))
        assert set(mlp.state_dict()) - set(linear.state_dict())
        out = mlp(images(SOLID))[0]
        assert out.isfinite().all()
        out.square().mean().backward()
        assert all(parameter.grad.isfinite().all() for parameter in mlp.mixers.parameters())


def test_the_ablation_shares_every_other_weight():
    full = built(changed("ttt-unet-bot"), SOLID).state_dict()
    bare = built(changed("ttt-unet-bot", mixer="none"), SOLID).state_dict()
    assert {key for key in full if key not in bare} == {key for key in full if "mixers.3" in key}
    assert all(full[key].shape == value.shape for key, value in bare.items())


def test_mixers_are_used_and_sit_where_the_layout_says():
    network = built(changed("ttt-unet-enc", channel_tokens=False), FLAT)
    assert sorted(network.mixers) == ["1", "3"]
    before = network(images(FLAT))[0]
    for stage in network.mixers:
        weight = network.mixers[stage].layer.o.weight
        kept = weight.detach().clone()
        weight.data.zero_()
        assert (network(images(FLAT))[0] - before).abs().max() > 1e-3
        weight.data.copy_(kept)


def test_the_first_skip_is_joined_or_left_out():
    """2D as the official code: the last decoder stage sees the upsampled features alone."""
    without = built(changed("ttt-unet-bot"), FLAT)
    joined = built(changed("ttt-unet-bot", full_resolution_skip=True), FLAT)
    assert without.decoder[-1].merge[0].first[0].in_channels == 4
    assert joined.decoder[-1].merge[0].first[0].in_channels == 8
    assert without.decoder[0].merge[0].first[0].in_channels == 24


@pytest.mark.parametrize("name", ["ttt-unet-bot", "nnunet", "nnunet-resenc"])
@pytest.mark.parametrize("grid", [(8, 8, 16), (2, 16, 4), (6, 24, 12)])
def test_any_multiple_of_the_total_stride_is_accepted(name: str, grid):
    network = built(changed(name), SOLID)
    network.deep_supervision = False
    assert network(torch.randn(1, 3, *grid))[0].shape == (1, 5, *grid)


def test_depth_two_is_refused_where_its_gradients_are_wrong():
    network = built(changed("nnunet"), SOLID)
    x = torch.randn(1, 3, 4, 16, 8)
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(UsageError, match="feature maps of depth 2"):
            network(x)
        with torch.no_grad():
            network(x)
    network(x)


@pytest.mark.parametrize("grid", [(4, 16, 6), (3, 16, 8), (2, 8, 4)])
def test_other_sizes_are_refused(grid):
    with pytest.raises(UsageError, match=r"must be a multiple of \[2, 8, 4\]"):
        built(changed("nnunet"), SOLID)(torch.randn(1, 3, *grid))


def test_channel_tokens_tie_the_network_to_its_patch():
    network = built(changed("ttt-unet-enc"), SOLID)
    assert network.mixers["3"].order == "channels"
    network(images(SOLID))
    with pytest.raises(UsageError, match=r"channel tokens tie this network to inputs of \[8, 16"):
        network(torch.randn(1, 3, 16, 16, 8))


def test_zero_initialised_norms_survive_the_initialisation_of_the_whole():
    network = built(changed("nnunet-resenc"), FLAT)
    blocks = [block for stage in network.encoder for block in stage]
    assert len(blocks) == 1 + 3 + 4 + 6
    assert all(block.norm.weight.abs().max() == 0 for block in blocks)


def test_upsampling_is_nearest_or_transposed():
    assert not any(
        isinstance(module, nn.ConvTranspose3d)
        for module in built(changed("ttt-unet-bot"), SOLID).modules()
    )
    transposed = built(changed("ttt-unet-bot:paper"), SOLID).decoder
    assert [stage.up.stride for stage in transposed] == [(1, 2, 1), (2, 2, 2), (1, 2, 2)]


META = [
    {"encoder": down, "bottleneck": deepest, "decoder": up}
    for down, deepest, up in (
        ("cnn", "cnn", "cnn"),
        ("mamba", "mamba", "cnn"),
        ("mamba", "mamba", "mamba"),
        ("cnn", "mamba", "mamba"),
        ("hybrid_out", "hybrid_out", "cnn"),
        ("hybrid_in", "hybrid_out", "hybrid_in"),
    )
]


@pytest.mark.parametrize("fields", META, ids=lambda fields: "-".join(fields.values()))
@pytest.mark.parametrize("mixer", ["mamba", "ttt_linear"])
@pytest.mark.parametrize("topology", [FLAT, SOLID], ids=["2d", "3d"])
def test_meta_blocks_train_wherever_they_are_put(fields, mixer, topology):
    network = built(changed("mm-unet", mixer=mixer, **fields), topology)
    outs = network(images(topology))
    sum(out.square().mean() for out in outs).backward()
    for where, parameter in network.named_parameters():
        assert parameter.grad is not None, where
        assert parameter.grad.isfinite().all(), where
        assert parameter.grad.abs().max() > 0 or where.endswith("bias"), where


@pytest.mark.parametrize("orders", [f"B{row}" for row in range(1, 10)])
def test_every_row_of_the_table_of_scan_orders_runs(orders):
    network = built(changed("mm-unet", orders=orders), SOLID)
    assert all(out.isfinite().all() for out in network(images(SOLID)))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # its own
@pytest.mark.parametrize("name", UNETS)
def test_compiles_as_one_graph(name, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the checks do not compile
    small = Topology(patch=(8, 4), strides=((1, 1), (2, 1)), kernels=((3, 3),) * 2, features=(4, 8))
    network = built(changed(name), small)
    torch.compiler.reset()  # each network counts as a recompilation of the same class
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    outs = compiled(images(small))
    torch.testing.assert_close(outs, network(images(small)), rtol=1e-4, atol=1e-4)
    sum(out.square().mean() for out in outs).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
