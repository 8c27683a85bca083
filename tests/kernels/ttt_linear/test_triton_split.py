"""Mini-batches of TTT-Linear split over programs, run by Triton's interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from triton.runtime import interpreter

from segttt.kernels.ttt_linear import triton_backward, triton_forward, triton_split, triton_tune
from tests.kernels.ttt_linear.proof import EPS, FORMS, check, draw

ROOT = Path(__file__).resolve().parents[3]
SPLIT = [(20, 17, 4, 0), (35, 17, 20, 1), (33, 33, 33, 2), (34, 17, 16, 3)]
"""n, t, d and the form."""


@pytest.fixture
def split(monkeypatch):
    """A launch costs nothing beside a block, and a block is of 16 tokens."""
    monkeypatch.setattr(triton_tune, "STEP_US", 1e6)
    monkeypatch.setattr(triton_tune, "BLOCK", 16)


@pytest.mark.parametrize(("n", "t", "d", "form"), SPLIT)
def test_a_mini_batch_split_over_programs(guarded, split, n, t, d, form):
    inputs = draw(n, t, d)
    assert triton_tune.plan(inputs[0], t).split
    check(inputs, FORMS[form])


def test_a_long_mini_batch_split_over_programs(guarded, monkeypatch):
    """Five blocks, and a second mini-batch that ends within its first one."""
    monkeypatch.setattr(triton_tune, "STEP_US", 1e6)
    inputs = draw(260, 257, 4, h=1)
    cut = triton_tune.plan(inputs[0], 257)
    assert cut.split
    assert (cut.blocks("learn_block"), cut.blocks("chain_block")) == (5, 5)
    check(inputs, {"causal": False, "backwards": [True]})


@pytest.mark.parametrize(("kind", "rounding"), [(torch.bfloat16, 2**-7), (torch.float16, 2**-10)])
def test_half_precision_split_over_programs(split, kind, rounding):
    inputs = [x.to(kind) if i < 4 else x for i, x in enumerate(draw(18, 17, 8, h=1))]
    check(inputs, {"causal": False}, rounding=rounding)


def test_split_over_programs_a_sample_s_bits_are_its_own_and_states_need_not_be_kept(split):
    inputs = draw(20, 17, 8, b=2, h=1)
    out, states, _ = triton_forward.forward(*inputs, EPS)
    alone = [
        x[1:] if x.ndim > 2 and len(x) == len(out) and i < 4 else x for i, x in enumerate(inputs)
    ]
    again, kept, _ = triton_forward.forward(*alone, EPS, keep=False)
    assert torch.equal(again, out[1:])
    assert (len(states), len(kept)) == (2, 0)


@pytest.mark.parametrize(
    ("b", "h", "d", "t", "expected"),
    [
        (2, 2, 32, 1024, True),  # CT stage 0, both ways
        (2, 8, 32, 1024, True),
        (2, 2, 32, 512, True),
        (2, 2, 32, 448, False),  # seven blocks take as long as a launch
        (2, 2, 32, 64, False),
        (2, 64, 32, 1024, False),  # as many programs as multiprocessors without it
        (2, 2, 128, 1024, False),  # each of 64 blocks would read 64 states
    ],
)
def test_the_plan_splits_where_a_launch_takes_less_time_than_the_blocks(b, h, d, t, expected):
    assert triton_tune.plan(torch.empty(b, h, 2 * t, d, device="meta"), t).split is expected


def test_a_launch_for_each_state_asks_for_no_number_and_for_no_memory(split, monkeypatch):
    """So all of them can be one CUDA graph. Tensors without data raise where one is asked."""
    launched, taken, plain = [], [], Tensor.new_empty
    monkeypatch.setattr(
        interpreter.GridExecutor,
        "__call__",
        lambda self, *given, **_: launched.append((self.fn.__name__, given)),
    )
    monkeypatch.setattr(
        Tensor, "new_empty", lambda self, *x, **y: taken.append(x) or plain(self, *x, **y)
    )
    rooms = []
    for n, m in ((38, 2), (100, 5)):
        inputs = [x.to("meta") for x in draw(n, 20, 8)]
        launched.clear()
        taken.clear()
        _, starts, _ = triton_forward.forward(*inputs, EPS)
        triton_backward.backward(inputs[0], starts, tuple(inputs[:5]), *inputs[7:], EPS)
        forwards, backs = (
            [given[at] for name, given in launched if name == kernel]
            for kernel, at in (("learn_block", 12), ("chain_block", 15))
        )
        assert forwards == list(range(m + 1)) == backs[::-1]
        rooms.append(len(taken))
    assert rooms[0] == rooms[1]


def test_a_compiled_program_is_given_what_its_kernel_is_given():
    """All arguments in their order, those that it is compiled with among them."""
    given = []
    names = triton_split.learn_block.arg_names

    class Kernel:
        fn, arg_names = staticmethod(triton_split.learn_block.fn), names

        def __getitem__(self, grid):
            def launch(*x, **constants):
                given.append((grid, [*x, *(constants[one] for one in names[len(x) :])]))
                return {grid: lambda *x: given.append((grid, [*x]))}

            return launch

    cut = triton_tune.plan(torch.empty(1, 2, 40, 8), 20)
    tensors = tuple(torch.zeros(1) for _ in range(11))
    triton_split.launch_each(Kernel(), tensors, range(3), (40, 20, 2, EPS), cut, True)
    (first, values), *others = given
    for state, (grid, more) in enumerate(others, 1):
        assert (grid, len(more)) == (first, len(names))
        changed = [names[i] for i, one in enumerate(more) if one is not values[i]]
        assert (changed, more[names.index("state")]) == (["state"], state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a GPU")
def test_a_cuda_graph_of_split_mini_batches_replays_to_the_bit(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET")
    command = [sys.executable, "-m", "tests.kernels.ttt_linear.graph"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"split": True, "difference": 0.0}
