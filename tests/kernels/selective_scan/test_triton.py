"""The GPU kernels of the selective scan, interpreted on the CPU, against the definition."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from segttt.errors import UsageError
from segttt.kernels import backend
from segttt.kernels.selective_scan import cpu, reference
from segttt.kernels.selective_scan import triton_backward as backward
from segttt.kernels.selective_scan import triton_forward as forward
from segttt.kernels.selective_scan.op import selective_scan
from segttt.kernels.selective_scan.triton_tune import BACKWARD, FORWARD, Plan

NAMES = (*cpu.Inputs._fields, "z")


@dataclass(frozen=True)
class Case:
    """Sizes, what the scans do, and how they are cut: tokens per chunk and per segment."""

    n: int
    d: int
    s: int
    chunk: int = 8
    length: int = 8
    b: int = 1
    backwards: tuple[bool, ...] = (False, True)
    merge: str = "none"
    gated: bool = False
    few: int = 2

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor | None]:
        """u, dt, A, B, C, D, dt_bias as in the other tests, and z."""
        rng = torch.Generator().manual_seed(self.n)
        b, g, n, d, s = self.b, len(self.backwards), self.n, self.d, self.s
        normal = lambda *shape: torch.randn(*shape, generator=rng)  # noqa: E731
        values = [normal(b, g, n, d), normal(b, g, n, d) - 1]
        values += [-normal(g, d, s).exp().clamp(0.1, 4)]
        values += [normal(b, g, n, s), normal(b, g, n, s), normal(g, d), 0.5 * normal(g, d)]
        z = (3 * normal(b, n, d)).to(dtype) if self.gated else None
        return [value.to(dtype) for value in values], z

    @property
    def plan(self) -> Plan:
        warps = 1 if self.s <= 16 else 2
        return Plan(32, warps, -(-self.n // self.length), self.length, 3, self.chunk, self.few)


FORTH, BACK = (False,), (True,)
NARROW = Case(9, 40, 16, chunk=4, length=4, backwards=BACK)
GATED = Case(9, 50, 3, chunk=4, length=4, merge="mean", gated=True)
CASES = [
    NARROW,
    GATED,
    Case(1, 4, 1, merge="sum", gated=True),
    Case(17, 20, 3, length=16, backwards=BACK),
    Case(64, 8, 2, chunk=32, length=32, backwards=BACK, few=1),
    Case(10, 8, 4, length=24, backwards=(False, True, True), merge="sum"),
    Case(7, 26, 33, chunk=4, length=4, b=2, backwards=BACK, merge="mean", gated=True),
    Case(11, 32, 5, chunk=4, length=8, b=2, backwards=FORTH, merge="sum", gated=True, few=4),
]
"""Chunks of few tokens, as the interpreter takes milliseconds for each."""


@pytest.fixture
def cut(monkeypatch):
    """Cut as a case says, and not as the size of a GPU asks for."""

    def set_plan(case: Case) -> None:
        monkeypatch.setattr(forward, "forward_plan", lambda *_: case.plan)
        monkeypatch.setattr(backward, "backward_plan", lambda *_: case.plan)
        monkeypatch.setattr(cpu, "CHUNK", case.chunk)

    return set_plan


def run(case: Case, inputs: list[Tensor], z: Tensor | None, d_out: Tensor) -> list[Tensor | None]:
    """The output, the starts of chunks, and all gradients."""
    arguments, backwards = cpu.Inputs(*inputs), list(case.backwards)
    out, merged, starts = forward.forward(arguments, backwards, case.merge, z)
    grads, d_z = backward.backward(d_out, merged, starts, arguments, backwards, case.merge, z)
    return [out, starts, *grads, d_z]


def truth(case: Case, inputs: list[Tensor], z: Tensor | None, d_out: Tensor) -> list[Tensor | None]:
    """The same in float64, of the same numbers."""
    wide = [x.double().requires_grad_() for x in (*inputs, z) if x is not None]
    backwards, gate = list(case.backwards), wide[7] if case.gated else None
    out = reference.selective_scan(*wide[:7], backwards=backwards, merge=case.merge, z=gate)
    grads = torch.autograd.grad(out, wide, d_out.double())
    _, starts = cpu.forward(cpu.Inputs(*(x.detach() for x in wide[:7])), backwards, torch.float64)
    return [out.detach(), starts, *grads, *([] if case.gated else [None])]


def asked(case: Case, dtype: torch.dtype = torch.float32) -> Tensor:
    """A gradient of the output."""
    scans = (len(case.backwards),) if case.merge == "none" else ()
    rng = torch.Generator().manual_seed(1)
    return torch.randn(case.b, *scans, case.n, case.d, generator=rng).to(dtype)


def assert_near(ours: list, truths: list, out: float, grad: float) -> None:
    """Nowhere further apart than a part of the largest value."""
    named = zip(("out", "starts", *NAMES), (out, out, *[grad] * 8), strict=True)
    pairs = zip(ours, truths, strict=True)
    for (name, part), (one, other) in zip(named, pairs, strict=False):
        if other is None:
            assert one is None
            continue
        assert one.shape == other.shape, name
        distance = (one.double() - other).abs().max()
        assert distance <= part * other.abs().max(), f"{name}: {distance}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_output_states_and_gradients_are_those_of_the_definition(cut, case):
    cut(case)
    (inputs, z), d_out = case.inputs(), asked(case)
    assert_near(run(case, inputs, z, d_out), truth(case, inputs, z, d_out), 1e-5, 1e-4)


def test_the_plans_of_a_gpu_are_used():
    """Chunks of 64 tokens, and so few warps that the sequence is split into segments."""
    case = Case(150, 4, 2, backwards=BACK)
    assert forward.forward_plan(1, 150, 4, 2).segments == 3
    (inputs, _), d_out = case.inputs(), asked(case)
    out, _, starts = forward.forward(cpu.Inputs(*inputs), [True], "none", None)
    assert_near([out, starts], truth(case, inputs, None, d_out)[:2], 1e-5, 1e-4)


def test_the_plans_of_a_gpu_are_used_backwards():
    case = Case(70, 4, 2, backwards=BACK)
    assert backward.backward_plan(1, 70, 4, 2).segments == 2
    (inputs, _), d_out = case.inputs(), asked(case)
    truths = truth(case, inputs, None, d_out)
    given, starts = cpu.Inputs(*inputs), truths[1].float()
    grads, _ = backward.backward(d_out, d_out[:0], starts, given, [True], "none", None)
    assert_near([*truths[:2], *grads], truths[:-1], 1e-5, 1e-4)


def test_fast_decay_and_large_steps_neither_overflow_nor_give_nan(cut):
    """Steps from nearly 0 to 100 and A = -16: decays from 1 to exp(-1600)."""
    case = Case(9, 4, 4, chunk=4, length=8, merge="sum", gated=True)
    cut(case)
    (inputs, z), d_out = case.inputs(), asked(case)
    inputs[1] = torch.linspace(-100, 100, inputs[1].numel()).reshape(inputs[1].shape)
    inputs[2] = torch.full_like(inputs[2], -16.0)
    z = z.sign() * 100
    ours, truths = run(case, inputs, z, d_out), truth(case, inputs, z, d_out)
    assert all(x.isfinite().all() for x in ours)
    assert_near(ours, truths, 1e-5, 1e-4)
    inputs[1] = torch.full_like(inputs[1], -15.0)  # softplus is 3e-7
    inputs[5], inputs[6] = torch.zeros_like(inputs[5]), torch.zeros_like(inputs[6])
    assert_near(run(case, inputs, z, d_out), truth(case, inputs, z, d_out), 1e-5, 1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once(cut, dtype):
    """The state is float32. The gate's gradient knows the rounded merged scans: twice, then.

    The interpreter cuts bfloat16 off, so that both are errors of up to one digit.
    """
    case = Case(9, 5, 4, length=16, merge="mean", gated=True)
    cut(case)
    (inputs, z), d_out = case.inputs(dtype), asked(case, dtype)
    ours = run(case, inputs, z, d_out)
    assert [x.dtype for x in ours] == [dtype, torch.float32, *[dtype] * 8]
    eps = torch.finfo(dtype).eps
    assert_near(ours, truth(case, inputs, z, d_out), eps, 2 * eps)


def test_weights_may_be_more_precise_than_tokens(cut):
    case = Case(9, 4, 2)
    cut(case)
    (inputs, _), d_out = case.inputs(), asked(case, torch.bfloat16)
    inputs = [x if i in (2, 5, 6) else x.bfloat16() for i, x in enumerate(inputs)]
    ours = run(case, inputs, None, d_out)
    assert [x.dtype for x in ours[2:9]] == [x.dtype for x in inputs]
    assert_near(ours, truth(case, inputs, None, d_out), 2**-7, 2**-7)


def test_strided_and_expanded_arguments(cut):
    """One u for all scans; dt and z as products and splits leave them."""
    case = Case(5, 6, 4, chunk=4, length=4, b=2, merge="sum", gated=True)
    cut(case)
    (inputs, z), d_out = case.inputs(), asked(case)
    inputs[0] = inputs[0][:, :1].expand(-1, 2, -1, -1)
    inputs[1] = inputs[1].transpose(0, 2).contiguous().transpose(0, 2)
    inputs[2] = inputs[2].mT.contiguous().mT
    inputs[3] = torch.cat([inputs[3], inputs[4]], -1)[..., :4]
    z = torch.cat([z, z], -1)[..., :6]
    ours = run(case, inputs, z, d_out.mT.contiguous().mT)
    assert_near(ours, truth(case, inputs, z, d_out), 1e-5, 1e-4)


@pytest.mark.parametrize("case", [NARROW, GATED], ids=str)
def test_all_results_are_written_and_nothing_beside_them(cut, monkeypatch, case):
    """Memory is full of NaN and lies between guards of NaN."""
    stores, empty, new_empty = [], torch.empty, Tensor.new_empty

    def guarded(*shape: tuple[int, ...] | int, **how) -> Tensor:
        if not isinstance(shape[0], tuple):  # how PyTorch's own functions ask
            return empty(*shape, **how)
        numbers = torch.Size(shape[0]).numel()
        store = empty(numbers + 256, **how).fill_(torch.nan)
        stores.append((store, numbers))
        return store[128 : 128 + numbers].view(shape[0])

    def guarded_like(x: Tensor, *shape: tuple[int, ...] | int, **how) -> Tensor:
        if not isinstance(shape[0], tuple):
            return new_empty(x, *shape, **how)
        return guarded(*shape, dtype=how.get("dtype", x.dtype))

    cut(case)
    (inputs, z), d_out = case.inputs(), asked(case)
    truths = truth(case, inputs, z, d_out)
    monkeypatch.setattr(torch, "empty", guarded)
    monkeypatch.setattr(
        Tensor,
        "new_empty",
        lambda x, shape, dtype=None, **_: guarded(shape, dtype=dtype or x.dtype),
    )
    ours = run(case, inputs, z, d_out)
    monkeypatch.undo()
    assert_near(ours, truths, 1e-5, 1e-4)
    assert len(stores) > 10
    for store, numbers in stores:
        assert store[:128].isnan().all()
        assert store[128 + numbers :].isnan().all()


def test_two_runs_are_equal_to_the_bit(cut):
    case = Case(6, 40, 4, chunk=4, length=4, merge="sum", gated=True)
    cut(case)
    (inputs, z), d_out = case.inputs(), asked(case)
    runs = [run(case, inputs, z, d_out) for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


def test_a_sample_alone_is_equal_to_the_bit(cut):
    case = Case(6, 5, 4, chunk=4, length=4, b=2, backwards=BACK)
    cut(case)
    (inputs, _), d_out = case.inputs(), asked(case)
    both = run(case, inputs, None, d_out)
    alone = [x[1:] if i in (0, 1, 3, 4) else x for i, x in enumerate(inputs)]
    one = run(replace(case, b=1), alone, None, d_out[1:])
    assert torch.equal(one[0], both[0][1:])
    for index in (2, 3, 5, 6):  # u, dt, B, C
        assert torch.equal(one[index], both[index][1:])


@pytest.mark.parametrize("gated", [False, True])
def test_the_operator_runs_on_it(gated):
    case = Case(6, 4, 2, merge="sum", gated=gated)
    inputs, z = case.inputs()
    given = [x.requires_grad_() for x in (*inputs, z) if x is not None]
    how = {"backwards": [False, True], "merge": "sum", "z": z}
    with backend.forced("triton"):
        out = selective_scan(*inputs, **how)
        grads = torch.autograd.grad(out.sin().sum(), given)
    with backend.reference_only():
        expected = selective_scan(*inputs, **how)
        truths = torch.autograd.grad(expected.sin().sum(), given)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grads, truths, rtol=1e-4, atol=1e-5)


def test_a_pass_may_go_back_on_another_backend():
    """What one saves, all understand."""
    case = Case(70, 3, 2, backwards=BACK)
    inputs, _ = case.inputs()
    given = [x.requires_grad_() for x in inputs]
    with backend.forced("triton"):
        out = selective_scan(*inputs, backwards=case.backwards)
    with backend.reference_only():
        grads = torch.autograd.grad(out.sum(), given)
        same = selective_scan(*inputs, backwards=case.backwards)
        truths = torch.autograd.grad(same.sum(), given)
    torch.testing.assert_close(grads, truths, rtol=1e-4, atol=1e-5)


SHAPES = [
    # rows, tokens, channels: stages of the presets, one and two scans
    (2, 1_720_320, 64),
    (4, 430_080, 128),
    (4, 6_720, 512),
    (4, 210, 640),
    (30, 102_400, 64),
    (60, 25, 1024),
    (26, 512, 120),
    (1, 1, 1),
]


@pytest.mark.parametrize("plan", [forward.forward_plan, backward.backward_plan])
@pytest.mark.parametrize(("rows", "n", "d"), SHAPES)
def test_segments_cover_the_tokens_and_fill_the_gpu_at_most_once(plan, rows, n, d):
    cut = plan(rows, n, d, 16)
    full = FORWARD if plan is forward.forward_plan else BACKWARD
    assert cut.length % cut.chunk == 0
    assert (cut.segments - 1) * cut.length < n <= cut.segments * cut.length
    warps = rows * -(-d // 32) * cut.segments
    assert cut.segments == 1 or warps <= full
    assert cut.stages == (3 if warps < 1_400 else 1)


def test_long_sequences_are_split_and_wide_batches_are_not():
    assert forward.forward_plan(2, 1_720_320, 64, 16).segments == 528
    assert backward.backward_plan(2, 1_720_320, 64, 16).segments == 264
    assert forward.forward_plan(30, 6_400, 1024, 16).segments == 1
    assert backward.backward_plan(60, 25, 1024, 16).segments == 1


def test_states_beyond_the_registers_are_refused():
    wide, _ = Case(2, 3, 128).inputs()
    beyond, _ = Case(2, 3, 129).inputs()
    with backend.forced("triton"):
        assert selective_scan(*wide).isfinite().all()
        with pytest.raises(UsageError, match="at most 128 states, not 129"):
            selective_scan(*beyond)
