"""MONAI's networks: published sizes, the numbers of MONAI itself, gradients and grids."""

import sys
import warnings
from importlib import import_module

import pytest
import torch
from torch import nn

from segttt.config.baselines import SegResNetSpec, SwinUNETRSpec, UNETRSpec
from segttt.errors import MissingDependencyError, UsageError
from segttt.networks.baselines.monai import MonaiNetwork
from segttt.networks.layer_norm import LayerNorm

SEGRESNET = SegResNetSpec(features=8, encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1))
UNETR = UNETRSpec(features=4, width=24, mlp_width=48, heads=2)
SWIN = SwinUNETRSpec(features=12, heads=(1, 1, 2, 2))
SWIN_V2 = SwinUNETRSpec(name="swinunetrv2", features=12, heads=(1, 1, 2, 2), v2=True)
SMALL = [
    (SEGRESNET, (12, 16, 8)),
    (SEGRESNET, (16, 24)),
    (UNETR, (48, 16, 16)),
    (UNETR, (32, 48)),
    (SWIN, (32, 64, 32)),
    (SWIN, (64, 32)),
    (SWIN_V2, (64, 32)),
]
IN_BFLOAT16 = [case for case in SMALL if case != (SWIN, (32, 64, 32))]


@pytest.fixture(autouse=True)
def _needs_monai():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("monai")


def built(spec, patch: tuple[int, ...]) -> MonaiNetwork:
    torch.manual_seed(0)
    return MonaiNetwork(spec, patch, 2, 3)


def images(patch: tuple[int, ...], samples: int = 1) -> torch.Tensor:
    return torch.randn(samples, 2, *patch, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("spec", "patch", "parameters"),
    [
        (SegResNetSpec(), (48, 224, 192), 18_796_398),
        (SegResNetSpec(), (320, 320), 6_298_926),
        (UNETRSpec(), (48, 224, 192), 93_023_662),
        (UNETRSpec(), (96, 96, 96), 92_802_478),
        (UNETRSpec(), (320, 320), 87_444_622),
        (UNETRSpec(), (512, 512), 87_923_854),
        (SwinUNETRSpec(), (64, 64, 64), 62_187_296),
        (SwinUNETRSpec(), (320, 320), 25_138_568),
        (SwinUNETRSpec(v2=True), (64, 64, 64), 72_762_656),
        (SwinUNETRSpec(v2=True), (320, 320), 28_663_688),
    ],
)
def test_published_sizes(spec, patch, parameters):
    with torch.device("meta"):
        network = MonaiNetwork(spec, patch, 1, 14)
        (out,) = network(torch.empty(1, 1, *patch))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert out.shape == (1, 14, *patch)


def theirs(spec, patch: tuple[int, ...]) -> nn.Module:
    """The same network, asked of MONAI directly with the arguments of U-Mamba's baselines."""
    nets, rank = import_module("monai.networks.nets"), len(patch)
    match spec:
        case SegResNetSpec():
            return nets.SegResNet(rank, 8, 2, 3, blocks_down=[1, 1, 1], blocks_up=[1, 1])
        case UNETRSpec():
            return nets.UNETR(2, 3, patch, 4, 24, 48, 2, spatial_dims=rank)
        case SwinUNETRSpec(v2=v2):
            kept = {"feature_size": 12, "num_heads": (1, 1, 2, 2), "use_v2": v2}
            return nets.SwinUNETR(2, 3, spatial_dims=rank, **kept)


@pytest.mark.parametrize(("spec", "patch"), SMALL)
def test_logits_are_those_of_monai_and_repeat(spec, patch):
    network, reference = built(spec, patch).eval(), theirs(spec, patch).eval()
    reference.load_state_dict(network.network.state_dict())
    x = images(patch)
    with torch.no_grad():
        (out,) = network(x)
        torch.testing.assert_close(out, reference(x), rtol=1e-4, atol=1e-5)
        assert torch.equal(network(x)[0], out)


@pytest.mark.parametrize(("spec", "patch"), IN_BFLOAT16)
def test_bfloat16_gradients_are_those_of_float32(spec, patch):
    """To 0.15 of their norm, rounding to 8 bits through all layers; faulty ones are off by 1."""
    network, grads = built(spec, patch), []
    for reduced in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            (out,) = network(images(patch))
        out.float().square().mean().backward()
        grads.append([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    exact, rounded = map(torch.cat, grads)
    assert exact.abs().max() > 0
    assert (rounded - exact).norm() < 0.15 * exact.norm()


@pytest.mark.parametrize("spec", [UNETR, SWIN])
def test_layer_norms_are_exact(spec):
    modules = list(built(spec, (64, 32)).modules())
    assert not any(isinstance(module, nn.LayerNorm) for module in modules)
    assert any(isinstance(module, LayerNorm) for module in modules)


@pytest.mark.parametrize(
    ("spec", "patch", "grid", "message"),
    [
        (SEGRESNET, (16, 16), (16, 18), "multiples of 4"),
        (SEGRESNET, (16, 16), (16, 16, 16), "needs 2 edges"),
        (UNETR, (32, 48), (48, 32), "built for inputs of"),
        (SWIN, (64, 64), (64, 48), "multiples of 32"),
        (SWIN, (64, 64), (32, 32), "a single voxel"),
    ],
)
def test_unfit_grids_are_refused(spec, patch, grid, message):
    with pytest.raises(UsageError, match=message):
        built(spec, patch)(torch.zeros(1, 2, *grid))


@pytest.mark.parametrize(
    ("spec", "patch"), [(SEGRESNET, (8, 16, 16)), (UNETR, (16, 32, 32)), (SWIN, (64, 32, 32))]
)
def test_depth_two_is_refused_in_bfloat16(spec, patch):
    network = built(spec, patch)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(UsageError, match="depth 2"):
        network(torch.zeros(1, 2, *patch))


@pytest.mark.parametrize(
    ("spec", "need"),
    [
        (SegResNetSpec(features=12), "multiple of 8"),
        (SegResNetSpec(decoder_blocks=(1, 1)), "one decoder stage fewer"),
        (UNETRSpec(width=100, heads=12), "multiple of heads"),
        (SwinUNETRSpec(features=16, heads=(1, 2, 2, 4)), "multiple of 12"),
        (SwinUNETRSpec(features=12, heads=(5, 6, 12, 24)), "of its heads"),
    ],
)
def test_unfit_specs_are_refused(spec, need):
    with pytest.raises(UsageError, match=need):
        MonaiNetwork(spec, (64, 64), 1, 3)


@pytest.mark.parametrize(("spec", "module"), [(SEGRESNET, "monai"), (SWIN, "einops")])
def test_a_missing_package_is_named_with_its_remedy(spec, module, monkeypatch):
    hidden = [name for name in sys.modules if name.split(".")[0] == module]
    for name in {module, *hidden}:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=rf"'{spec.name}'.*segttt\[baselines\]"):
        MonaiNetwork(spec, (64, 64), 1, 3)
