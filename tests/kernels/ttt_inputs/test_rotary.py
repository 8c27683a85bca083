"""The angles of rotary positions."""

import torch

from segttt.kernels.ttt_inputs.rotary import phases, turns

CPU = torch.device("cpu")


def test_channels_turn_the_slower_the_higher_they_are():
    found = phases(7, 6, torch.complex128, CPU)
    assert torch.equal(found[0], torch.ones(3, dtype=torch.complex128))
    angle = 5 * 10_000.0 ** -torch.tensor([0, 1 / 3, 2 / 3], dtype=torch.float64)
    torch.testing.assert_close(found[5], torch.complex(angle.cos(), angle.sin()))


def test_turns_are_the_parts_of_the_phases():
    found = turns(7, 6, CPU)
    assert found.dtype == torch.float32
    exact = torch.view_as_real(phases(7, 6, torch.complex128, CPU))
    torch.testing.assert_close(found.double(), exact.movedim(2, 0), rtol=0, atol=6e-8)
