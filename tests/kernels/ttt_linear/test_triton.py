"""The GPU kernels of TTT-Linear against the reference in float64, run by Triton's interpreter."""

import pytest
import torch

from segttt.errors import UsageError
from segttt.kernels import backend
from segttt.kernels.ttt_linear.op import ttt_linear, ttt_linear_losses

pytest.importorskip("triton")

from segttt.kernels.ttt_linear import triton_tune
from tests.kernels.ttt_linear.proof import FORMS, check, draw

LONG = [(1, 16, 4, 0), (17, 16, 8, 3), (17, 16, 40, 0), (64, 64, 20, 2), (150, 64, 50, 1)]
SHORT = [(1, 16, 8, 3), (17, 16, 4, 0), (64, 64, 20, 1), (150, 64, 26, 2), (40, 16, 32, 1)]
"""n, t, d and the form."""


@pytest.mark.parametrize(("n", "t", "d", "form"), SHORT)
def test_one_program_for_a_short_sequence_or_a_mini_batch_s_answers(
    guarded, monkeypatch, n, t, d, form
):
    monkeypatch.setitem(triton_tune.FUSED, "fp32", triton_tune.FUSED["bf16"])
    inputs = draw(n, t, d)
    assert triton_tune.plan(inputs[0], min(n, t)).short
    check(inputs, FORMS[form])


@pytest.mark.parametrize(("n", "t", "d", "form"), LONG)
def test_chain_and_answers(guarded, monkeypatch, n, t, d, form):
    monkeypatch.setattr(triton_tune, "SHORT", 0)
    check(draw(n, t, d), FORMS[form])


@pytest.mark.parametrize(("form", "h"), [(0, 1), (3, 2)])
def test_a_mini_batch_of_several_blocks(guarded, form, h):
    """The second mini-batch ends within its first block."""
    assert triton_tune.plan(torch.empty(1, 1, 70, 20), 66).blocks("learn") == 2
    check(draw(70, 66, 20, h=h), FORMS[form])


@pytest.mark.parametrize("d", [20, 40])
def test_bfloat16_inputs_lose_nothing_but_the_output_s_last_bits(d):
    """The interpreter multiplies in float32, and cuts the output off after 8 bits: 2^-7."""
    inputs = [x.bfloat16() if i < 4 else x for i, x in enumerate(draw(20, 16, d))]
    check(inputs, {}, rounding=2**-7)


def test_kernels_have_blocks_of_their_own():
    cut = triton_tune.plan(torch.empty(1, 1, 40, 33), 40)
    blocks = [cut.blocks(name) for name in ("learn", "queries_backward", "tokens_backward")]
    assert blocks == [2, 3, 3]
    check(draw(40, 40, 33, h=1), {"backwards": [True]})


@pytest.mark.parametrize("backwards", [[True, False], [True]])
def test_the_operator_runs_them(backwards):
    """With transposed inputs, and with and without a backward pass to come."""
    inputs = draw(20, 16, 16, b=2, h=len(backwards))
    inputs[:3] = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs[:3]]
    results = {}
    for name in ("reference", "triton"):
        leaves = [x.clone().requires_grad_() for x in inputs]
        with backend.forced(name):
            out, losses = ttt_linear_losses(*leaves, backwards=backwards)
            out.sin().sum().backward()
            with torch.no_grad():
                again = ttt_linear(*leaves, backwards=backwards)
        assert torch.equal(again, out)
        results[name] = (out, losses, *(leaf.grad for leaf in leaves))
    torch.testing.assert_close(results["triton"], results["reference"], rtol=1e-4, atol=1e-4)


def test_states_formed_anew_for_the_backward_pass():
    """d + 1 > 8 t, the bound above which the operator keeps no states."""
    leaves = [x.requires_grad_() for x in draw(4, 2, 17)]
    grads = []
    for name in ("reference", "triton"):
        with backend.forced(name):
            grads.append(torch.autograd.grad(ttt_linear(*leaves).sin().sum(), leaves))
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


def test_heads_too_wide_are_refused():
    with backend.forced("triton"), pytest.raises(UsageError, match="128 channels here, not 129"):
        ttt_linear(*draw(2, 2, 129))


def test_wide_heads_want_the_shared_memory_of_a_data_centre_s_gpu():
    assert [triton_tune.widest(size) for size in (101_376, 166_912, 232_448)] == [64, 128, 128]


def test_every_shape_of_the_table_has_a_specimen():
    names = [one.name for one in triton_tune.specimens()]
    assert len(set(names)) == len(names)
    assert "chain_backward fp32 d=128 t=64" in names
    assert "short_forward bf16 d=32 t=64 not causal" in names
    assert "learn_block fp32 d=64 t=1024" in names
