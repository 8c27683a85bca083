"""Arguments that do not fit are refused; compiled loops would read and write beyond their ends."""

import pytest
import torch

from segttt.errors import UsageError
from segttt.kernels.arguments import directions, require
from tests.kernels.launches import cases

CASES = cases("cpu", 21)
FREE = {
    ("ttt_linear", 4, 0), ("ttt_mlp", 4, 0), ("ttt_inputs", 5, 0),
    ("causal_conv", 0, 0), ("causal_conv", 1, -1),
}  # fmt: skip
"""Operator, argument and axis that may be of any length: position scales, samples, taps."""
CUT = [
    (name, index, axis)
    for name, (_, given, _) in CASES.items()
    for index in range(len(given))
    for axis in (0, -1)
    if (name, index, axis) not in FREE and given[index].ndim + axis
]


@pytest.mark.parametrize(("name", "index", "axis"), CUT, ids=str)
def test_an_argument_cut_short_is_refused(name, index, axis):
    call, given, how = CASES[name]
    short = [x.detach() for x in given]
    short[index] = short[index].narrow(axis, 0, short[index].shape[axis] - 1)
    with pytest.raises(UsageError, match=r"must be \[|has 2 entries|even width"):
        call(*short, **how)


@pytest.mark.parametrize("name", CASES)
def test_every_sequence_needs_a_direction(name):
    call, given, how = CASES[name]
    with pytest.raises(UsageError, match=r"1 entries for 2 (heads|scans); give as many"):
        call(*given, **{**how, "backwards": [True]})


def test_the_message_names_the_argument_and_what_it_must_be():
    x = torch.empty(2, 3)
    require(x=(x, x.shape), y=(x, (2, 3)))
    with pytest.raises(UsageError) as raised:
        require(x=(x, (2, 3)), W0=(x, (2, 3, 3)))
    message = "W0 has the shape [2, 3], beside the other arguments it must be [2, 3, 3]"
    assert str(raised.value) == message


def test_without_directions_all_read_forwards():
    assert directions(None, 3, "scans") == [False] * 3
