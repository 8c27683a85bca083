"""The selective scan against its definition, token by token."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from segttt.errors import UsageError
from segttt.kernels.flops import FORMULAS
from segttt.kernels.selective_scan import cpu, reference
from segttt.kernels.selective_scan.op import selective_scan

NAMES = cpu.Inputs._fields
PLAIN: dict = {"backwards": None, "merge": "none", "z": None}
GATED: dict = {"backwards": [False, True], "merge": "mean"}
LENGTHS = [1, 2, 63, 64, 65, 150, 1025]


@pytest.mark.parametrize(("d", "s", "g"), [(5, 3, 1), (7, 16, 2), (1, 1, 3)])
@pytest.mark.parametrize("n", LENGTHS)
def test_output_and_every_gradient_equal_the_definition(draw, n: int, d: int, s: int, g: int):
    inputs = draw(n, d, s, g=g)
    out, truth = selective_scan(*inputs), reference.selective_scan(*inputs)
    torch.testing.assert_close(out, truth, rtol=1e-11, atol=1e-11)
    d_out = torch.randn_like(out)
    ours = torch.autograd.grad(out, inputs, d_out)
    truths = torch.autograd.grad(truth, inputs, d_out)
    for name, one, other in zip(NAMES, ours, truths, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: n + m)


@pytest.mark.parametrize("merge", ["none", "sum", "mean"])
@pytest.mark.parametrize("backwards", [None, [False, True], [True, True]])
@pytest.mark.parametrize("gated", [False, True])
def test_directions_merge_and_gate_equal_the_definition(draw, merge, backwards, gated):
    inputs = draw(150)
    z = torch.randn(2, 150, 5, dtype=torch.float64, requires_grad=True) * 3
    how = {"backwards": backwards, "merge": merge, "z": z if gated else None}
    if gated and merge == "none":
        with pytest.raises(UsageError, match="merge"):
            selective_scan(*inputs, **how)
        return
    out, truth = selective_scan(*inputs, **how), reference.selective_scan(*inputs, **how)
    torch.testing.assert_close(out, truth, rtol=1e-11, atol=1e-11)
    d_out, asked = torch.randn_like(out), [*inputs, z] if gated else inputs
    ours = torch.autograd.grad(out, asked, d_out)
    truths = torch.autograd.grad(truth, asked, d_out)
    for one, other in zip(ours, truths, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_merges_in_float32(draw, dtype):
    """Sums and the gate's product are rounded once; its gradient knows the rounded merged scans."""
    inputs = [x.detach().to(dtype).requires_grad_() for x in draw(70)]
    z = torch.randn(2, 70, 5).to(dtype).requires_grad_()
    exact = [x.detach().double().requires_grad_() for x in (*inputs, z)]
    out = selective_scan(*inputs, **GATED, z=z)
    truth = reference.selective_scan(*exact[:7], **GATED, z=exact[7])
    eps = torch.finfo(dtype).eps
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), truth, rtol=eps, atol=1e-5)
    ours = torch.autograd.grad(out, [*inputs, z], torch.ones_like(out))
    truths = torch.autograd.grad(truth, exact, torch.ones_like(truth))
    for one, other in zip(ours, truths, strict=True):
        assert one.dtype == dtype
        assert (one.double() - other).abs().max() <= eps * other.abs().max()


def test_directions_are_as_many_as_scans(draw):
    with pytest.raises(UsageError, match="3 entries for 2 scans"):
        selective_scan(*draw(5), backwards=[True, False, True])


def test_gradcheck(monkeypatch, draw):
    """Three chunks of two tokens and one of one."""
    monkeypatch.setattr(cpu, "CHUNK", 2)
    inputs = draw(7, d=3, s=2, b=1)
    assert torch.autograd.gradcheck(selective_scan, inputs)
    z = torch.randn(1, 7, 3, dtype=torch.float64, requires_grad=True)
    gated = lambda *x: selective_scan(*x[:7], **GATED, z=x[7])  # noqa: E731
    assert torch.autograd.gradcheck(gated, [*inputs, z])


@pytest.mark.parametrize("n", LENGTHS)
def test_float32_is_accurate_forward_and_backward(draw, n: int):
    """Single precision of a sum that forgets: five digits, relative to its norm."""
    exact = draw(n, d=20, s=16)
    single = [x.detach().float().requires_grad_() for x in exact]
    pairs = [(selective_scan(*single), selective_scan(*exact))]
    pairs += zip(
        torch.autograd.grad(pairs[0][0].sin().sum(), single),
        torch.autograd.grad(pairs[0][1].sin().sum(), exact),
        strict=True,
    )
    for name, (one, other) in zip(("out", *NAMES), pairs, strict=True):
        assert one.dtype == torch.float32
        assert (one.double() - other).norm() < 1e-5 * other.norm() + 1e-12, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fast_decay_and_large_steps_neither_overflow_nor_give_nan(draw, dtype: torch.dtype):
    """Steps from nearly 0 to 20 and A = -16: decays from 1 to exp(-320)."""
    inputs = [x.detach() for x in draw(200, d=4, s=16, dtype=dtype)]
    inputs[1] = torch.rand(inputs[1].shape, dtype=dtype) * 40 - 20
    inputs[2] = -torch.arange(1, 17, dtype=dtype).expand(2, 4, 16).contiguous()
    inputs[6] = torch.zeros_like(inputs[6])
    inputs = [x.requires_grad_() for x in inputs]
    out, truth = selective_scan(*inputs), reference.selective_scan(*inputs)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-8
    ours = (out, *torch.autograd.grad(out.sum(), inputs))
    truths = (truth, *torch.autograd.grad(truth.sum(), inputs))
    for one, other in zip(ours, truths, strict=True):
        assert one.isfinite().all()
        assert (one - other).norm() < tolerance * other.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_float32_of_the_rounded_inputs(draw, dtype: torch.dtype):
    half = [x.detach().requires_grad_() for x in draw(100, dtype=dtype)]
    single = [x.detach().float().requires_grad_() for x in half]
    out, truth = selective_scan(*half), selective_scan(*single)
    assert out.dtype == dtype
    assert torch.equal(out, truth.to(dtype))
    d_out = torch.randn_like(out)
    ours = torch.autograd.grad(out, half, d_out)
    truths = torch.autograd.grad(truth, single, d_out.float())
    for one, other in zip(ours, truths, strict=True):
        assert torch.equal(one, other.to(dtype))


def test_weights_may_be_more_precise_than_tokens(draw):
    inputs = [x.detach().requires_grad_() for x in draw(70, dtype=torch.float32)]
    mixed = [x if i in (2, 5, 6) else x.bfloat16() for i, x in enumerate(inputs)]
    out = selective_scan(*mixed)
    assert out.dtype == torch.bfloat16
    grads = torch.autograd.grad(out.float().sum(), inputs)
    assert {grad.dtype for grad in grads} == {torch.float32}


def test_autocast_changes_nothing(draw):
    inputs = draw(100, dtype=torch.float32)
    plain = selective_scan(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        island = selective_scan(*inputs)
        island_grads = torch.autograd.grad(island.square().sum(), inputs)
    assert torch.equal(island, plain)
    for one, other in zip(
        island_grads, torch.autograd.grad(plain.square().sum(), inputs), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("n", "how", "gated"), [(3, "none", False), (130, "sum", True)])
def test_opcheck(draw, n: int, how: str, gated: bool):
    inputs = draw(n, dtype=torch.float32)
    z = torch.randn(2, n, 5, requires_grad=True) if gated else None
    arguments = (*inputs, [False, True], how, z)
    torch.library.opcheck(torch.ops.segttt.selective_scan.default, arguments)


@pytest.mark.parametrize("how", [PLAIN, {**GATED, "z": torch.ones(2, 130, 5)}])
def test_compiles_as_one_graph(draw, how):
    inputs = draw(130, dtype=torch.float32)
    compiled = torch.compile(selective_scan, fullgraph=True, backend="aot_eager")
    out = selective_scan(*inputs, **how)
    torch.testing.assert_close(compiled(*inputs, **how), out, rtol=0, atol=0)
    ours = torch.autograd.grad(compiled(*inputs, **how).square().sum(), inputs)
    truth = torch.autograd.grad(out.square().sum(), inputs)
    torch.testing.assert_close(ours, truth, rtol=0, atol=0)


def test_strided_and_expanded_arguments(draw):
    u, dt, A, B, C, D, bias = (x.detach() for x in draw(70))
    B, D = B[..., :1].expand_as(C), D[:1].expand_as(bias)
    strided = [u.mT.contiguous().mT, dt.transpose(0, 2).contiguous().transpose(0, 2), A, B]
    out = selective_scan(*strided, C, D, bias)
    torch.testing.assert_close(out, reference.selective_scan(u, dt, A, B, C, D, bias))


def test_batch_and_scans_equal_one_by_one(draw):
    """To rounding: with fewer rows more chunks advance at once."""
    u, dt, A, B, C, D, bias = draw(150, g=3)
    out = selective_scan(u, dt, A, B, C, D, bias)
    for i in (0, 1):
        for j in (0, 1, 2):
            tokens = [x[i : i + 1, j : j + 1] for x in (u, dt, B, C)]
            weights = [x[j : j + 1] for x in (A, D, bias)]
            alone = selective_scan(*tokens[:2], weights[0], *tokens[2:], *weights[1:])
            torch.testing.assert_close(alone[0, 0], out[i, j], rtol=1e-12, atol=1e-12)


def test_a_token_sees_no_later_token(draw):
    inputs = [x.detach() for x in draw(150)]
    before = selective_scan(*inputs)
    for index in (0, 1, 3, 4):
        inputs[index] = inputs[index].clone()
        inputs[index][:, :, 100:] += 1
    after = selective_scan(*inputs)
    assert torch.equal(after[:, :, :100], before[:, :, :100])
    assert (after[:, :, 100:] - before[:, :, 100:]).abs().min() > 0


def test_nan_stays_in_its_sample_and_scan(draw):
    inputs = draw(150)
    truth = selective_scan(*inputs)
    truths = torch.autograd.grad(truth.sum(), inputs)
    spoiled = [x.detach().clone() for x in inputs]
    spoiled[0][0, 0, 70] = float("nan")
    spoiled = [x.requires_grad_() for x in spoiled]
    out = selective_scan(*spoiled)
    grads = torch.autograd.grad(out.sum(), spoiled)
    assert out[0, 0, 70:].isnan().all()
    assert torch.equal(out[0, 0, :70], truth[0, 0, :70])
    assert torch.equal(out[:, 1], truth[:, 1])
    assert torch.equal(out[1], truth[1])
    for name, one, other in zip(NAMES, grads, truths, strict=True):
        if name in ("A", "D", "dt_bias"):
            assert torch.equal(one[1], other[1])
            assert one[0].isnan().any()
        else:
            assert torch.equal(one[:, 1], other[:, 1])
            assert torch.equal(one[1], other[1])


def test_two_runs_are_equal_to_the_bit(draw):
    inputs = draw(1025, d=64, s=16, dtype=torch.float32)
    outs = [selective_scan(*inputs) for _ in range(2)]
    assert torch.equal(*outs)
    first, second = (torch.autograd.grad(out.square().sum(), inputs) for out in outs)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("n", [1, 64, 65, 1025])
def test_saved_are_the_arguments_and_one_state_per_chunk(draw, n: int):
    """And, only behind a gate, the merged scans."""
    inputs, z, states = draw(n), torch.ones(2, n, 5), -(-n // cpu.CHUNK) * 2 * 2 * 5 * 3
    given = sum(x.numel() for x in inputs)
    for how, more in ((PLAIN, 0), (GATED, 0), ({**GATED, "z": z}, 2 * z.numel())):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda x: x):
            selective_scan(*inputs, **how)
        assert sum(x.numel() for x in saved) - given == states + more


def test_runs_without_data():
    shapes = [(2, 3, 70, 8), (2, 3, 70, 8), (3, 8, 4), (2, 3, 70, 4), (2, 3, 70, 4), (3, 8), (3, 8)]
    inputs = [torch.empty(shape, device="meta", requires_grad=True) for shape in shapes]
    out = selective_scan(*inputs)
    assert out.shape == (2, 3, 70, 8)
    out.sum().backward()
    assert [x.grad is not None and x.grad.shape for x in inputs] == [x.shape for x in inputs]
    z = torch.empty(2, 70, 8, device="meta", requires_grad=True)
    out = selective_scan(*inputs, merge="sum", z=z)
    assert out.shape == (2, 70, 8)
    assert torch.autograd.grad(out.sum(), z)[0].shape == z.shape


def test_operations_are_counted(draw):
    inputs = draw(70)
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        out = selective_scan(*inputs)
    assert counter.get_total_flops() == 9 * 2 * 2 * 70 * 5 * 3
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        out.sum().backward()
    assert counter.get_total_flops() == 22 * 2 * 2 * 70 * 5 * 3
