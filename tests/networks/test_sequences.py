"""Tokens read along scan orders, and results joined on the raster."""

from math import prod

import jaxtyping
import pytest
import torch

from segttt.networks.scan_orders import inverse, scan
from segttt.networks.sequences import Sequences, join, read

GRID = (3, 2, 4)


def indices(*orders):
    there = torch.stack([scan(order, GRID).voxels for order in orders])
    return there, torch.stack([inverse(one) for one in there])


def test_reading_follows_the_orders_and_joining_undoes_it():
    x = torch.randn(2, 24, 5)
    there, back = indices("a", "b", "k", "o")
    sequences = read(x, there, back)
    for place, order in enumerate(("a", "b", "k", "o")):
        assert torch.equal(sequences[:, place], x[:, scan(order, GRID).voxels])
    torch.testing.assert_close(join(sequences, there, back), 4 * x)


def test_gradients_of_reading_and_joining():
    there, back = indices("c", "p", "-a")
    x = torch.randn(1, 24, 2, dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, 3, 24, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: read(x, there, back), x)
    assert torch.autograd.gradcheck(lambda y: join(y, there, back), y)


def running_sum(x, which, backwards):
    """A layer that only looks back, and weighs the orders by their place."""
    weight = torch.arange(1.0 + which.start, 1.0 + which.stop, dtype=x.dtype)
    ways = [
        x[:, g].flip(1).cumsum(1).flip(1) if turned else x[:, g].cumsum(1)
        for g, turned in enumerate(backwards)
    ]
    return torch.stack(ways, 1) * weight[:, None, None]


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("orders", [("a",), ("a", "b"), ("k", "-o", "p"), ("m", "-m"), ("a", "m")])
def test_a_layer_runs_along_every_order(orders, mean):
    x = torch.randn(2, 24, 3, dtype=torch.float64)
    out = Sequences(orders, GRID, mean=mean)(x, GRID, running_sum)
    truth = torch.zeros_like(x)
    for place, order in enumerate(orders, start=1):
        one = scan(order, GRID)
        for sequence in one.voxels.chunk(one.sequences):
            truth[:, sequence] += place * x[:, sequence].cumsum(1)
    torch.testing.assert_close(out, truth / len(orders) if mean else truth)


def test_other_maps_than_the_planned_one_are_looked_up():
    x = torch.randn(1, 30, 2)
    known, other = (
        Sequences(("b", "e"), (2, 3, 5), mean=False),
        Sequences(("b", "e"), GRID, mean=False),
    )
    torch.testing.assert_close(
        other(x, (2, 3, 5), running_sum), known(x, (2, 3, 5), running_sum), rtol=0, atol=0
    )
    assert not other.state_dict()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own modules
@pytest.mark.parametrize("orders", [("n", "-p"), ("a", "m", "-m", "o")])
def test_compiled_sequences_take_other_grids_without_another_graph(orders, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the checks do not compile
    torch.compiler.reset()
    layer = Sequences(orders, GRID, mean=False)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for grid in (GRID, (4, 5, 6), (5, 7, 9)):
        x = torch.randn(1, prod(grid), 3, requires_grad=True)
        out, truth = (one(x, grid, running_sum) for one in (compiled, layer))
        torch.testing.assert_close(out, truth)
        asked = torch.randn_like(out)
        grads = (torch.autograd.grad(one, x, asked)[0] for one in (out, truth))
        torch.testing.assert_close(*grads)
