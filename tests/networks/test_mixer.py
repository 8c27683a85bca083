"""Mixers over feature maps: tokens, residual, precision."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from segttt.config.network import UNetSpec
from segttt.networks.layout import MixerSite
from segttt.networks.mixer import Mixer

KINDS = ["ttt_linear", "ttt_mlp", "mamba"]


def site(axis: str) -> MixerSite:
    grid, width = ((1, 1, 8), 12) if axis == "channels" else ((3, 4), 8)
    return MixerSite(1, axis, 96 // width, width, grid, ("a", "b"), 2, width // 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axis", ["raster", "channels"])
def test_the_mixer_replaces_the_features_or_adds_to_them(kind, axis):
    spec = UNetSpec(mixer=kind)
    mixer, added = (Mixer(site(axis), spec, residual=flag) for flag in (False, True))
    added.load_state_dict(mixer.state_dict())
    x = torch.randn(2, 8, 3, 4)
    torch.testing.assert_close(added(x), x + mixer(x))
    tokens = x.flatten(2) if axis == "channels" else x.flatten(2).mT
    tokens = F.layer_norm(tokens, tokens.shape[-1:], mixer.norm.weight, mixer.norm.bias, 1e-5)
    out = mixer.layer(tokens, site(axis).grid)
    truth = out if axis == "channels" else out.mT
    torch.testing.assert_close(mixer(x), truth.reshape(2, 8, 3, 4))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_dtype_is_mixed_in_single_precision_or_better(kind, dtype):
    mixer = Mixer(site("raster"), UNetSpec(mixer=kind), residual=False)
    mixer = mixer.double() if dtype == torch.float64 else mixer
    x = torch.randn(2, 8, 3, 4).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float64):
        out = mixer(x)
    assert out.dtype == dtype
    exact = mixer(x.float() if dtype != torch.float64 else x)
    torch.testing.assert_close(out, exact.to(dtype), rtol=0, atol=0)


def test_a_network_without_mixers_registers_no_operator():
    """They would be a thirtieth of the time until a prediction's first window."""
    code = (
        "import sys\nfrom segttt.config.preset import load\n"
        "from segttt.networks.build import build, spec\n"
        "build(spec('nnunet'), load('flare22').topology, 1, 2)\n"
        "print([one for one in sys.modules if one.startswith('segttt.kernels.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ttt" not in done.stdout
    assert "scan" not in done.stdout
