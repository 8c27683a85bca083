"""The TTT layer: rotary positions, the layer written out, scan orders, options."""

from collections import Counter
from math import prod

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from segttt.config.network import UNetSpec
from segttt.kernels.ttt_linear.op import ttt_linear
from segttt.kernels.ttt_mlp.op import ttt_mlp
from segttt.networks.layout import MixerSite
from segttt.networks.ttt import TTT

GRID = (3, 1, 7)


def site(width: int, heads: int = 2, scans=("a",), grid=GRID) -> MixerSite:
    head_width = -(-width // (2 * heads)) * 2
    return MixerSite(1, "raster", prod(grid), width, grid, scans, heads, head_width)


def roughened(module: torch.nn.Module) -> torch.nn.Module:
    """Move every parameter away from its start, so that none can hide."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module.double()


VIEWS = {"view", "_unsafe_view", "transpose", "t", "expand", "unsqueeze", "squeeze", "alias"}
VIEWS |= {"select", "slice", "split_with_sizes", "detach"}


class Launches(TorchDispatchMode):
    """What PyTorch is asked to do, but for views, which do nothing on a device."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.count.update([name] if name not in VIEWS else [])
        return func(*args, **(kwargs or {}))


def complex_rotation(x, order):
    d = x.shape[-1]
    angle = order[:, None] * 10_000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)


@pytest.mark.parametrize("mixer", ["ttt_linear", "ttt_mlp"])
@pytest.mark.parametrize(("gate", "act"), [("none", None), ("silu", F.silu), ("gelu", "tanh")])
@pytest.mark.parametrize(("conv_qk", "causal"), [(False, True), (True, True), (True, False)])
def test_the_layer_is_its_formula_written_out(mixer, gate, act, conv_qk: bool, causal: bool):
    spec = UNetSpec(
        mixer=mixer, gate=gate, conv_qk=conv_qk, causal=causal, mini_batch=8, inner_lr=0.7
    )
    layer = roughened(TTT(site(width=10), spec))  # 2 heads of 6 hold a width of 10
    x = torch.randn(2, 21, 10, dtype=torch.float64)
    q, k, v = x @ layer.q.weight.T, x @ layer.k.weight.T, x @ layer.v.weight.T
    if conv_qk:
        one = slice(0, 1)
        q, k = (
            conv(part[:, None], one, [False])[:, 0]
            for conv, part in ((layer.conv_q, q), (layer.conv_k, k))
        )
    q, k, v = (part.view(2, 21, 2, 6).transpose(1, 2) for part in (q, k, v))
    order = torch.arange(21) % 8
    lr = torch.einsum("bnc,hc->bhn", x, layer.lr.weight) + layer.lr.bias[:, None]
    rho = (1 / torch.arange(1, 9, dtype=torch.float64) + layer.position).clamp(min=0)
    assert rho.min() == 0
    operator = ttt_linear if mixer == "ttt_linear" else ttt_mlp
    weights = layer.inner.parameters()
    rotated = complex_rotation(q, order), complex_rotation(k, order)
    out = operator(*rotated, v, 0.7 / 6 / (1 + (-lr).exp()), rho, *weights, 1e-6, causal=causal)
    out = torch.cat([out[:, 0], out[:, 1]], -1)
    out = F.layer_norm(out, (12,), layer.post_norm.weight, layer.post_norm.bias, 1e-6)
    if act is not None:
        gated = x @ layer.gate.weight.T
        out = out * (act(gated) if act != "tanh" else F.gelu(gated, approximate="tanh"))
    torch.testing.assert_close(layer(x, GRID), out @ layer.o.weight.T)


def test_inner_learning_rate_zero_switches_the_memory_off():
    frozen, learning = (TTT(site(8), UNetSpec(inner_lr=rate)) for rate in (0.0, 1.0))
    learning.load_state_dict(frozen.state_dict())
    x = torch.randn(1, 21, 8)
    changed = x.clone()
    changed[:, 0, 0] += 1
    torch.testing.assert_close(frozen(x, GRID)[:, -1], frozen(changed, GRID)[:, -1])
    assert (learning(x, GRID)[:, -1] - learning(changed, GRID)[:, -1]).abs().max() > 1e-4


@pytest.mark.parametrize(("mixer", "count"), [("ttt_linear", 422_800), ("ttt_mlp", 468_880)])
def test_starts_of_the_parameters(mixer: str, count: int):
    torch.manual_seed(0)
    layer = TTT(site(320, 16), UNetSpec(mixer=mixer))
    for name, weight in layer.inner.named_parameters():
        if name.startswith("W"):
            assert weight.std().item() == pytest.approx(0.02, rel=0.05)
        else:
            assert weight.unique().tolist() == [1.0 if name == "gamma" else 0.0]
    assert layer.lr.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert all(tensor.abs().max() == 0 for tensor in (layer.lr.bias, layer.position))
    assert sum(parameter.numel() for parameter in layer.parameters()) == count


def test_two_orders_have_inner_models_and_rates_of_their_own():
    spec = UNetSpec(mini_batch=4)
    both = roughened(TTT(site(8, scans=("a", "b")), spec))
    x = torch.randn(2, 21, 8, dtype=torch.float64)
    ones = []
    for place, order in enumerate(("a", "b")):
        single = TTT(site(8, scans=(order,)), spec).double()
        state = dict(both.state_dict())
        for name in list(state):
            if name.startswith(("inner.", "lr.")):
                state[name] = state[name].view(2, 2, *state[name].shape[1:])[place]
        single.load_state_dict(state)
        single.post_norm, single.o = torch.nn.Identity(), torch.nn.Identity()
        ones.append(single(x, GRID))
    truth = both.o(both.post_norm(ones[0] + ones[1]))
    torch.testing.assert_close(both(x, GRID), truth)


@pytest.mark.parametrize("merge", ["sum", "mean"])
@pytest.mark.parametrize("mixer", ["ttt_linear", "ttt_mlp"])
def test_one_set_of_weights_for_both_directions_commutes_with_reversal(mixer: str, merge: str):
    spec = UNetSpec(mixer=mixer, share_orders=True, merge=merge, mini_batch=4, conv_qk=True)
    layer = roughened(TTT(site(8, scans=("a", "b")), spec))
    x = torch.randn(2, 21, 8, dtype=torch.float64)
    torch.testing.assert_close(layer(x.flip(1), GRID), layer(x, GRID).flip(1))


def test_the_layer_at_a_bottleneck_is_a_handful_of_launches():
    """Each costs some two microseconds of a CUDA graph, of the sixty that the whole layer has. The
    weights become one matrix for one product, and the clone lays the heads of a token side by side.
    Backward, the parts' gradients become one matrix again; a product has two gradients."""
    layer = TTT(site(320, 16), UNetSpec())
    x = torch.randn(2, 21, 320, requires_grad=True)
    with Launches() as forward:
        out = layer(x, GRID)
    inside = {"ttt_inputs": 1, "ttt_linear": 1}
    around = {"cat": 1, "mm": 2, "clone": 1, "native_layer_norm": 1}
    assert forward.count == inside | around
    asked = torch.ones_like(out)
    with Launches() as backward:
        torch.autograd.grad(out, [x, *layer.parameters()], asked)
    norm = {f"{name}_backward": 1 for name in (*inside, "native_layer_norm")}
    assert Counter(norm | {"cat": 1, "mm": 4}) <= backward.count
    assert backward.count.total() <= 8


def test_the_state_of_a_layer_is_what_saved_models_hold():
    layer = TTT(site(8, scans=("a", "b")), UNetSpec(mixer="ttt_linear", conv_qk=True, gate="silu"))
    inner = ["inner.W", "inner.b", "inner.gamma", "inner.beta"]
    convs = [f"conv_{part}.{name}" for part in "qk" for name in ("weight", "bias")]
    linear = ["q.weight", "k.weight", "v.weight", "o.weight", "gate.weight"]
    rest = ["lr.weight", "lr.bias", *inner, "post_norm.weight", "post_norm.bias"]
    names = ["position", *linear, *convs, *rest]
    assert list(layer.state_dict()) == names
    assert [name for name, _ in layer.named_parameters()] == names
