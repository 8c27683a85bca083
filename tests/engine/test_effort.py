"""What a prediction gives up when a GPU runs out of memory; the CPU plays the GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from segttt.cases import Preparation, PreparedCase
from segttt.engine import compute as computing
from segttt.engine.effort import Effort, full_effort
from segttt.engine.predict import SlidingWindow
from segttt.errors import ResourceError
from tests.engine.conftest import small_plan

CPU = computing.choose("cpu", "fp32")
GPU = replace(CPU, device=torch.device("cuda"))


def test_a_gpu_takes_several_small_windows_and_one_large_one():
    assert full_effort(CPU, small_plan()).tiles == 1
    assert full_effort(GPU, small_plan()).tiles == 16
    topology = small_plan().topology.model_copy(update={"patch": (40, 224, 192)})
    assert full_effort(GPU, small_plan(topology=topology)).tiles == 1


def test_what_is_given_up_in_which_order():
    effort, steps = Effort(4, GPU.device, GPU), []
    while effort:
        steps.append((effort.tiles, effort.sums.type, effort.compute.device.type))
        effort = effort.less()
    assert steps == [
        (4, "cuda", "cuda"), (2, "cuda", "cuda"), (1, "cuda", "cuda"), (1, "cpu", "cuda"),
        (1, "cpu", "cpu"),
    ]  # fmt: skip


class Hungry(nn.Module):
    """Has memory for a few windows at once, and fails as a GPU does."""

    def __init__(self, most, error):
        super().__init__()
        self.most, self.error, self.seen = most, error, []

    def forward(self, x):
        self.seen.append(len(x))
        if len(x) > self.most:
            raise self.error
        return [torch.cat([-x, x, 2 * x - 1], 1)]


def prepared(case="big"):
    image = np.random.default_rng(0).normal(size=(1, 12, 40, 40)).astype(np.float32)
    shape = (12, 40, 40)
    there = Preparation((0, 1, 2), shape, (0, 0, 0), shape, (1.0,) * 3, shape, (1.0,) * 3)
    return PreparedCase(case, image, None, there)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_fewer_windows_at_once_give_the_same_result(error):
    expected = SlidingWindow([Hungry(99, error)], small_plan(), CPU).segment(prepared())
    network, told = Hungry(2, error), []
    window = SlidingWindow([network], small_plan(), CPU, tell=told.append)
    window.effort = replace(window.effort, tiles=8)
    np.testing.assert_array_equal(window.segment(prepared()), expected)
    assert [count for count in network.seen if count > 2] == [8, 4]
    assert len(told) == 2
    assert told[1].startswith("big: the GPU ran out of memory; again with 2 windows at a time")
    network.seen.clear()
    window.segment(prepared("next"))
    assert max(network.seen) == 2


def test_where_nothing_is_left_the_case_is_refused():
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes\nmore")
    window = SlidingWindow([Hungry(0, error)], small_plan(), CPU)
    with pytest.raises(ResourceError, match=r"^big: there is not enough memory .*8 bytes\)"):
        window.segment(prepared())


def test_other_errors_are_not_hidden():
    window = SlidingWindow([Hungry(0, RuntimeError("shapes differ"))], small_plan(), CPU)
    with pytest.raises(RuntimeError, match="shapes differ"):
        window.segment(prepared())
