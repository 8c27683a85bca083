"""The Mamba layer: written out, directions, counts, starts."""

import math

import pytest
import torch
import torch.nn.functional as F

from segttt.config.network import UNetSpec
from segttt.kernels.selective_scan.op import selective_scan
from segttt.networks import mamba as networks_mamba
from segttt.networks.layout import MixerSite
from segttt.networks.mamba import Mamba

GRID = (2, 3, 4)


def site(width: int, scans=("a",), grid=GRID) -> MixerSite:
    return MixerSite(1, "raster", math.prod(grid), width, grid, scans, 1, width)


def mamba(width: int, scans=("a",), **fields) -> Mamba:
    torch.manual_seed(0)
    return Mamba(site(width, scans), UNetSpec(mixer="mamba", **fields))


def test_the_layer_is_its_recurrence_written_out():
    layer = mamba(5, states=3).double()
    layer.A_log.data += 0.2 * torch.randn_like(layer.A_log)
    layer.D.data += 0.2 * torch.randn_like(layer.D)
    x = torch.randn(2, 24, 5, dtype=torch.float64)
    u, z = (x @ layer.enter.weight.T).split(10, -1)
    kernel = layer.conv.weight[0]
    padded = F.pad(u, (0, 0, 3, 0))
    u = F.silu(layer.conv.bias[0] + sum(padded[:, i : i + 24] * kernel[:, i] for i in range(4)))
    small = u @ layer.select[0].T
    delta = F.softplus(small[..., :1] @ layer.step[0].T + layer.step_bias[0])
    B, C = small[..., 1:4], small[..., 4:]
    state, rows = torch.zeros(2, 10, 3, dtype=torch.float64), []
    for t in range(24):
        decay = torch.exp(-delta[:, t, :, None] * layer.A_log[0].exp())
        state = decay * state + (delta[:, t] * u[:, t])[..., None] * B[:, t, None]
        rows.append((state * C[:, t, None]).sum(-1) + layer.D[0] * u[:, t])
    truth = (torch.stack(rows, 1) * F.silu(z)) @ layer.leave.weight.T
    torch.testing.assert_close(layer(x, GRID), truth)


@pytest.mark.parametrize(
    ("scans", "counts"),
    [
        (("a",), (9_984, 32_768, 116_736, 438_272, 675_840)),
        (("a", "b"), (13_760, 40_832, 134_912, 482_816, 736_640)),
    ],
)
def test_published_parameter_counts_with_the_norm_before_it(scans, counts):
    for width, count in zip((32, 64, 128, 256, 320), counts, strict=True):
        with torch.device("meta"):
            layer = Mamba(site(width, scans), UNetSpec(mixer="mamba"))
        assert sum(parameter.numel() for parameter in layer.parameters()) + 2 * width == count


@pytest.mark.parametrize("merge", ["sum", "mean"])
def test_one_set_of_weights_for_both_directions_commutes_with_reversal(merge):
    """Tied BiScan does not prefer an end of the volume; separate weights do."""
    x = torch.randn(1, 24, 6, dtype=torch.float64)
    tied = mamba(6, ("a", "b"), share_orders=True, merge=merge).double()
    torch.testing.assert_close(tied(x.flip(1), GRID), tied(x, GRID).flip(1))
    free = mamba(6, ("a", "b"), merge=merge).double()
    assert (free(x.flip(1), GRID) - free(x, GRID).flip(1)).abs().max() > 1e-3


def test_a_backward_order_sees_what_comes_later_and_a_forward_one_does_not():
    x = torch.randn(1, 24, 4)
    changed = x.clone()
    changed[:, 20] += 1
    moved = (mamba(4, ("a",))(x, GRID) - mamba(4, ("a",))(changed, GRID)).abs().amax((0, 2)) > 0
    assert moved[20:].all()
    assert not moved[:20].any()
    moved = (mamba(4, ("b",))(x, GRID) - mamba(4, ("b",))(changed, GRID)).abs().amax((0, 2)) > 0
    assert moved[:21].all()
    assert not moved[21:].any()


def test_starts_of_the_parameters():
    layer = mamba(64, ("a", "b"))
    steps = F.softplus(layer.step_bias)
    assert 1e-3 * 0.999 <= steps.min() < 2e-3
    assert 5e-2 < steps.max() <= 1e-1 * 1.001
    torch.testing.assert_close(layer.A_log.exp(), torch.arange(1.0, 17).expand(2, 128, 16))
    assert layer.D.unique().tolist() == [1.0]
    assert layer.step.abs().max() <= layer.rank**-0.5


@pytest.mark.parametrize("merge", ["sum", "mean"])
@pytest.mark.parametrize("scans", [("a",), ("-b",), ("a", "b"), ("-a", "b", "a")])
def test_what_the_operator_joins_and_gates_is_joined_and_gated(scans, merge):
    """Along the raster; as PyTorch's own operations join and gate the results of other orders."""
    layer = mamba(6, scans, merge=merge).double()
    x = torch.randn(2, 24, 6, dtype=torch.float64, requires_grad=True)
    results = []
    for in_place in (True, False):
        layer.in_place = in_place
        out = layer(x, GRID)
        results.append((out, *torch.autograd.grad(out.sin().sum(), [x, *layer.parameters()])))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(
    ("scans", "hows"),
    [(("a", "b"), ["mean"]), (("a",), ["mean"]), (("k",), ["none"]), (("a", "k"), ["none"] * 2)],
)
def test_the_operator_joins_where_all_orders_are_of_the_raster(monkeypatch, scans, hows):
    calls = []

    def spy(*tensors, merge, z, **how):
        calls.append((merge, z is not None))
        return selective_scan(*tensors, merge=merge, z=z, **how)

    monkeypatch.setattr(networks_mamba, "selective_scan", spy)
    mamba(6, scans, merge="mean")(torch.randn(1, 24, 6), GRID)
    assert calls == [(how, how != "none") for how in hows]
