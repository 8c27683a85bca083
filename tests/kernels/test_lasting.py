"""What operators keep is made in a thread to which no CUDA graph's memory belongs."""

import threading

import pytest
import torch

from segttt.errors import UsageError
from segttt.kernels.lasting import lasting
from segttt.kernels.ttt_inputs import rotary

pytest.importorskip("triton")

from segttt.kernels.ttt_linear.triton_tune import turned_heads
from segttt.kernels.ttt_mlp.triton_tune import ways

CPU = torch.device("cpu")
KEPT = {
    "phases": lambda: rotary.phases(3, 14, torch.complex64, CPU),
    "turns": lambda: rotary.turns(3, 14, CPU),
    "turned heads": lambda: turned_heads([True] * 5, 5, CPU),
    "ways": lambda: ways([True] * 5, 5, CPU),
}
"""All of sizes that no other test has made already."""


def test_it_is_made_in_another_thread():
    made = lasting(lambda: torch.tensor(threading.get_ident()))
    assert made.item() != threading.get_ident()


def test_an_error_reaches_the_caller():
    def fail() -> torch.Tensor:
        raise UsageError("too large")

    with pytest.raises(UsageError, match="too large"):
        lasting(fail)


@pytest.mark.parametrize("make", KEPT.values(), ids=KEPT)
def test_what_is_kept_is_not_of_the_mode_of_its_first_caller(make):
    """Modes, too, are those of a thread."""
    with torch.inference_mode():
        kept = make()
    assert kept is make()
    assert not kept.is_inference()
    assert kept.is_contiguous()
