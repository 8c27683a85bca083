"""Arguments that do not fit are refused; compiled loops would read and write beyond their ends."""

import inspect

import pytest
import torch

from segttt.errors import UsageError
from segttt.kernels.arguments import directions, require
from segttt.kernels.selective_scan.op import selective_scan
from tests.kernels.launches import cases

TOKENS = 21
CASES = cases("cpu", TOKENS)
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


SEQUENCES = {
    "ttt_inputs": (0, 1, 2, 3), "ttt_linear": (0, 1, 2, 3), "ttt_mlp": (0, 1, 2, 3),
    "causal_conv": (0,), "selective_scan": (0, 1, 3, 4, 7),
}  # fmt: skip
"""Operator and its arguments that have samples and tokens."""


@pytest.mark.parametrize("what", ["samples", "tokens"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_to_read_is_refused(name, what):
    call, given, how = CASES[name]
    empty = [x.detach() for x in given]
    for index in SEQUENCES[name]:
        x = empty[index]
        empty[index] = x.narrow(0 if what == "samples" else x.shape.index(TOKENS), 0, 0)
    with pytest.raises(UsageError, match="give at least one number"):
        call(*empty, **how)


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


def test_a_merge_is_one_of_three():
    u, dt, A, B, C, D, dt_bias, _ = CASES["selective_scan"][1]
    unchecked = inspect.unwrap(selective_scan)
    with pytest.raises(UsageError, match="merge is 'max'; give one of none, sum, mean"):
        unchecked(u, dt, A, B, C, D, dt_bias, merge="max")


def test_without_directions_all_read_forwards():
    assert directions(None, 3, "scans") == [False] * 3
