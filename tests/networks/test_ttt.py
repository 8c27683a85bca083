"""The TTT mixer: rotary positions, the layer written out, placement in float32, options."""

import pytest
import torch
import torch.nn.functional as F

from segttt.config.network import NetworkSpec
from segttt.kernels.ttt_linear.op import ttt_linear
from segttt.networks.layout import MixerSite
from segttt.networks.ttt import CausalConv, Mixer, TTTLinear, rotate


def site(width: int, heads: int = 2, order="raster", tokens: int = 12) -> MixerSite:
    head_width = -(-width // (2 * heads)) * 2
    return MixerSite(1, order, tokens, width, heads, head_width)


def roughened(module: torch.nn.Module) -> torch.nn.Module:
    """Move every parameter away from its start, so that none can hide."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module.double()


def complex_rotation(x, order):
    d = x.shape[-1]
    angle = order[:, None] * 10_000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)


def test_rotate_multiplies_adjacent_pairs_by_complex_phases():
    x, order = torch.randn(2, 3, 7, 6, dtype=torch.float64), torch.arange(7) % 4
    torch.testing.assert_close(rotate(x, order), complex_rotation(x, order))
    assert torch.equal(rotate(x, order)[:, :, 4], x[:, :, 4])


@pytest.mark.parametrize(("gate", "act"), [("none", None), ("silu", F.silu), ("gelu", "tanh")])
@pytest.mark.parametrize("conv_qk", [False, True])
def test_the_layer_is_its_formula_written_out(gate, act, conv_qk: bool):
    spec = NetworkSpec(gate=gate, conv_qk=conv_qk, mini_batch=8, inner_lr=0.7)
    layer = roughened(TTTLinear(site(width=10), spec))  # 2 heads of 6 hold a width of 10
    x = torch.randn(2, 21, 10, dtype=torch.float64)
    q, k, v = x @ layer.q.weight.T, x @ layer.k.weight.T, x @ layer.v.weight.T
    if conv_qk:
        q, k = layer.conv_q(q), layer.conv_k(k)
    q, k, v = (part.view(2, 21, 2, 6).transpose(1, 2) for part in (q, k, v))
    order = torch.arange(21) % 8
    lr = torch.einsum("bnc,hc->bhn", x, layer.lr.weight) + layer.lr.bias[:, None]
    rho = (1 / torch.arange(1, 9, dtype=torch.float64) + layer.position).clamp(min=0)
    assert rho.min() == 0
    out = ttt_linear(
        complex_rotation(q, order),
        complex_rotation(k, order),
        v,
        0.7 / 6 / (1 + (-lr).exp()),
        rho,
        layer.W0,
        layer.b0,
        layer.gamma,
        layer.beta,
        1e-6,
    )
    out = torch.cat([out[:, 0], out[:, 1]], -1)
    out = F.layer_norm(out, (12,), layer.post_norm.weight, layer.post_norm.bias, 1e-6)
    if act is not None:
        gated = x @ layer.gate.weight.T
        out = out * (act(gated) if act != "tanh" else F.gelu(gated, approximate="tanh"))
    # 1 / count and the angles are float32 numbers, whatever the dtype of the layer
    torch.testing.assert_close(layer(x), out @ layer.o.weight.T, rtol=1e-6, atol=1e-6)


def test_causal_conv_sees_a_token_and_the_three_before_it():
    conv = CausalConv(2)
    x = torch.randn(1, 9, 2)
    kernel = conv.conv.weight[:, 0]
    truth = conv.conv.bias + sum(x[0, 5 - back] * kernel[:, 3 - back] for back in range(4))
    torch.testing.assert_close(conv(x)[0, 5], truth)
    torch.testing.assert_close(conv(x)[0, 0], conv.conv.bias + x[0, 0] * kernel[:, 3])


def test_inner_learning_rate_zero_switches_the_memory_off():
    frozen = Mixer(site(8), NetworkSpec(inner_lr=0.0))
    learning = Mixer(site(8), NetworkSpec(inner_lr=1.0))
    learning.load_state_dict(frozen.state_dict())
    x = torch.randn(1, 8, 3, 4)
    changed = x.clone()
    changed[:, 0, 0, 0] += 1
    late = (slice(None), slice(None), 2, 3)
    torch.testing.assert_close(frozen(x)[late], frozen(changed)[late])
    assert (learning(x)[late] - learning(changed)[late]).abs().max() > 1e-4


def test_starts_of_the_parameters():
    torch.manual_seed(0)
    layer = TTTLinear(site(320, 16), NetworkSpec())
    assert layer.W0.std().item() == pytest.approx(0.02, rel=0.05)
    assert layer.lr.weight.std().item() == pytest.approx(0.02, rel=0.05)
    zeros = (layer.b0, layer.beta, layer.lr.bias, layer.position)
    assert all(tensor.abs().max() == 0 for tensor in zeros)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 422_800


@pytest.mark.parametrize("order", ["raster", "channels"])
def test_the_mixer_replaces_the_features_or_adds_to_them(order):
    spec = NetworkSpec()
    mixer = Mixer(site(12 if order == "channels" else 8, order=order), spec)
    added = Mixer(
        site(12 if order == "channels" else 8, order=order),
        spec.model_copy(update={"mixer_residual": True}),
    )
    added.load_state_dict(mixer.state_dict())
    x = torch.randn(2, 8, 3, 4)
    torch.testing.assert_close(added(x), x + mixer(x))
    tokens = x.flatten(2) if order == "channels" else x.flatten(2).mT
    tokens = F.layer_norm(tokens, tokens.shape[-1:], mixer.norm.weight, mixer.norm.bias, 1e-5)
    out = mixer.layer(tokens)
    truth = out if order == "channels" else out.mT
    torch.testing.assert_close(mixer(x), truth.reshape(2, 8, 3, 4))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_dtype_is_mixed_in_single_precision_or_better(dtype):
    mixer = Mixer(site(8), NetworkSpec())
    mixer = mixer.double() if dtype == torch.float64 else mixer
    x = torch.randn(2, 8, 3, 4).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float64):
        out = mixer(x)
    assert out.dtype == dtype
    exact = mixer(x.float() if dtype != torch.float64 else x)
    torch.testing.assert_close(out, exact.to(dtype), rtol=0, atol=0)
