"""The causal convolution against PyTorch's, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from segttt.errors import UsageError
from segttt.kernels.backend import reference_only
from segttt.kernels.causal_conv import reference
from segttt.kernels.causal_conv.op import causal_conv
from segttt.kernels.flops import FORMULAS

NAMES = ("x", "weight", "bias")
FORMS = [([False], None), ([True], None), ([False, True], None), ([True, False], 1)]
"""Directions, and whether all scans read the same tokens."""


def definition(x: Tensor, weight: Tensor, bias: Tensor, backwards, activation: str) -> Tensor:
    """PyTorch's convolution of each scan, turned where it reads backwards."""
    outs = []
    for scan, back in enumerate(backwards):
        tokens = x[:, scan if x.shape[1] > 1 else 0].mT
        padded = F.pad(tokens.flip(2) if back else tokens, (weight.shape[2] - 1, 0))
        out = F.conv1d(padded, weight[scan][:, None], bias[scan], groups=len(bias[scan]))
        outs.append((out.flip(2) if back else out).mT)
    out = torch.stack(outs, 1)
    return F.silu(out) if activation == "silu" else out


def wanting(given: list[Tensor], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [x.to(dtype).requires_grad_() for x in given]


@pytest.mark.parametrize("activation", ["none", "silu"])
@pytest.mark.parametrize("reach", [1, 2, 4, 8])
@pytest.mark.parametrize(("backwards", "k"), FORMS)
@pytest.mark.parametrize("tile", [2**18, 60])
def test_results_and_gradients_are_those_of_the_definition(
    monkeypatch, draw, backwards, k, reach, activation, tile
):
    """In one tile, and in tiles of a few tokens."""
    monkeypatch.setitem(reference.TILE, "cpu", tile)
    how = {"backwards": backwards, "activation": activation}
    for n in (1, 2, 7, 64):
        given = wanting(draw(n, 5, reach, len(backwards), k))
        ours, truth = causal_conv(*given, **how), definition(*given, **how)
        assert ours.is_contiguous()
        torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-12)
        d_out = torch.randn_like(truth)
        grads, truths = (torch.autograd.grad(x, given, d_out) for x in (ours, truth))
        for name, one, other in zip(NAMES, grads, truths, strict=True):
            torch.testing.assert_close(
                one, other, rtol=1e-11, atol=1e-11, msg=lambda m, s=name: s + m
            )


def test_gradcheck(draw):
    call = lambda *x: causal_conv(*x, backwards=[False, True], activation="silu")  # noqa: E731
    assert torch.autograd.gradcheck(call, wanting(draw(5, 2, 3)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_results_only(draw, dtype):
    given = wanting([x.to(dtype) for x in draw(70, k=1)], dtype)
    exact = wanting([x.detach() for x in given])
    how = {"backwards": [False, True], "activation": "silu"}
    with reference_only():
        ours = causal_conv(*given, **how)
        grads = torch.autograd.grad(ours, given, torch.ones_like(ours))
    truth = definition(*exact, **how)
    truths = torch.autograd.grad(truth, exact, torch.ones_like(truth))
    assert {x.dtype for x in (ours, *grads)} == {dtype}
    for one, other in zip((ours, *grads), (truth, *truths), strict=True):
        assert (one - other).abs().max() <= torch.finfo(dtype).eps * other.abs().max()


def test_weights_may_be_more_precise_than_tokens(draw):
    x, *weights = wanting(draw(9), torch.float32)
    out = causal_conv(x.bfloat16(), *weights)
    assert out.dtype == torch.bfloat16
    grads = torch.autograd.grad(out.float().sum(), [x, *weights])
    assert {grad.dtype for grad in grads} == {torch.float32}


def test_arguments_of_any_strides_are_only_read(draw):
    x, weight, bias = draw(9, g=1)
    weight, bias = weight.expand(2, -1, -1), bias.expand(2, -1)
    how = {"backwards": [False, True], "activation": "silu"}
    truth = causal_conv(x, weight.contiguous(), bias.contiguous(), **how)
    wide = F.pad(x, (3, 4))[..., 3:-4]
    for strange in (x.expand(-1, 2, -1, -1), wide, x.mT.contiguous().mT):
        before = strange.clone()
        assert torch.equal(causal_conv(strange, weight, bias, **how), truth)
        assert torch.equal(strange, before)


@pytest.mark.parametrize("k", [1, 2])
def test_opcheck(draw, k):
    given = wanting(draw(9, k=k), torch.float32)
    torch.library.opcheck(torch.ops.segttt.causal_conv.default, (*given, [False, True], True))


def test_saved_are_the_arguments(draw):
    given, saved = wanting(draw(50)), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        causal_conv(*given, activation="silu")
    assert [x.data_ptr() for x in saved] == [x.data_ptr() for x in given]


def test_a_token_that_is_no_number_spoils_what_hears_of_it_only(draw):
    given = draw(20, 3)
    given[0][0, :, 10, 1] = torch.nan
    out = causal_conv(*given, backwards=[False, True], activation="silu")
    spoiled = out.isnan().nonzero().tolist()
    assert spoiled == [[0, 0, t, 1] for t in range(10, 14)] + [[0, 1, t, 1] for t in range(7, 11)]


def test_operations_are_counted(draw):
    given = wanting(draw(70, k=1))
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        out, bare = causal_conv(*given, activation="silu"), causal_conv(*given)
    forward = 2 * 4 * 2 * 2 * 70 * 5
    assert counter.get_total_flops() == 2 * forward
    for one, times in ((out, 3), (bare, 2)):
        with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
            one.sum().backward()
        assert counter.get_total_flops() == times * forward


def test_directions_are_as_many_as_scans(draw):
    with pytest.raises(UsageError, match="3 entries for 2 scans"):
        causal_conv(*draw(5), backwards=[True, False, True])
