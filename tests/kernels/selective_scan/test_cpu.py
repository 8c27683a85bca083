"""The selective scan in tiles: equal however it is cut, and bounded in memory."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from segttt.kernels.selective_scan import cpu, reference

CUTS = [
    # tokens per chunk, lanes per tile, lanes below which chunks advance at once
    (64, 16_384, 8_192),
    (4, 1, 0),  # row by row, chunk by chunk
    (4, 45, 30),  # rows by two and three, chunk by chunk
    (4, 60, 1_000),  # all rows, single chunks; the last group has a row left
    (4, 200, 1_000),  # all rows, several chunks at once, in several tiles
    (1, 200, 1_000),
]


FORTH, MIXED = [False] * 3, [True, False, True]


@pytest.mark.parametrize("n", [1, 3, 4, 5, 63])
@pytest.mark.parametrize("backwards", [FORTH, MIXED])
@pytest.mark.parametrize(("chunk", "lanes", "few"), CUTS)
def test_every_way_of_cutting_gives_the_same(monkeypatch, draw, n, backwards, chunk, lanes, few):
    monkeypatch.setattr(cpu, "CHUNK", chunk)
    monkeypatch.setattr(cpu, "LANES", lanes)
    monkeypatch.setattr(cpu, "FEW_LANES", few)
    inputs = draw(n, b=1, g=3)
    truth = reference.selective_scan(*inputs, backwards=backwards)
    d_out = torch.randn_like(truth)
    truths = torch.autograd.grad(truth, inputs, d_out)
    plain = cpu.Inputs(*(x.detach() for x in inputs))
    out, starts = cpu.forward(plain, backwards, torch.float64)
    assert starts.shape == (-(-n // chunk), 1, 3, 3, 5)
    torch.testing.assert_close(out, truth.detach(), rtol=1e-12, atol=1e-12)
    for one, other in zip(cpu.backward(d_out, starts, plain, backwards), truths, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def test_the_saved_states_are_those_before_each_chunk(draw):
    """With C one for one state and zero for others, the output is that state, token by token."""
    inputs = cpu.Inputs(*(x.detach() for x in draw(3 * cpu.CHUNK - 9, s=2)))
    _, starts = cpu.forward(inputs, [False, True], torch.float64)
    assert not starts[0, :, 0].any()
    assert not starts[2, :, 1].any()
    for state in (0, 1):
        probe = torch.zeros_like(inputs.C)
        probe[..., state] = 1
        only = inputs._replace(C=probe, D=torch.zeros_like(inputs.D))
        out, _ = cpu.forward(only, [False, True], torch.float64)
        for index in (1, 2):
            before = out[:, 0, index * cpu.CHUNK - 1]
            torch.testing.assert_close(starts[index, :, 0, state], before)
            before = out[:, 1, index * cpu.CHUNK]
            torch.testing.assert_close(starts[index - 1, :, 1, state], before)


@pytest.mark.parametrize("order", ["fb", "bf", "ffbb", "fbbf", "bbfb"])
def test_scans_of_both_directions_in_any_order(monkeypatch, draw, order):
    monkeypatch.setattr(cpu, "CHUNK", 4)
    monkeypatch.setattr(cpu, "LANES", 60)
    inputs, backwards = draw(21, g=len(order)), [one == "b" for one in order]
    truth = reference.selective_scan(*inputs, backwards=backwards)
    truths = torch.autograd.grad(truth.sum(), inputs)
    plain = cpu.Inputs(*(x.detach() for x in inputs))
    out, starts = cpu.forward(plain, backwards, torch.float64)
    torch.testing.assert_close(out, truth.detach(), rtol=1e-12, atol=1e-12)
    for one, other in zip(
        cpu.backward(torch.ones_like(out), starts, plain, backwards), truths, strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def test_uninitialised_memory_is_never_read(draw):
    """Here fresh memory is full of NaN."""
    inputs = cpu.Inputs(*(x.detach() for x in draw(150)))
    torch.use_deterministic_algorithms(mode=True)
    try:
        assert torch.empty(3).isnan().all()
        out, starts = cpu.forward(inputs, [False, True], torch.float64)
        grads = cpu.backward(torch.ones_like(out), starts, inputs, [False, True])
    finally:
        torch.use_deterministic_algorithms(mode=False)
    assert all(x.isfinite().all() for x in (out, starts, *grads))


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that any operation returned."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numbers = max(self.numbers, out.numel())
        return out


@pytest.mark.parametrize("back", [False, True])
def test_working_memory_does_not_grow_with_the_sequence(draw, back):
    """32 MiB at most, where one tensor of all states would have 32 and 128 MiB."""
    for n in (8_192, 32_768):
        inputs = cpu.Inputs(
            *(x.detach() for x in draw(n, d=64, s=16, b=1, g=1, dtype=torch.float32))
        )
        with Largest() as largest:
            out, _ = cpu.forward(inputs, [back], torch.float32)
        assert largest.numbers == max(2 * 65 * cpu.LANES, out.numel())
        if n == 8_192:
            states = torch.zeros(n // cpu.CHUNK, 1, 1, 16, 64)
            with Largest() as largest:
                cpu.backward(out, states, inputs, [back])
            assert largest.numbers == 3 * 65 * cpu.LANES
