"""What PyTorch's counter says of the operators, beside the products that they form."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from segttt.kernels.flops import FORMULAS
from segttt.kernels.ttt_linear import reference as linear_reference
from segttt.kernels.ttt_linear.op import ttt_linear
from segttt.kernels.ttt_mlp import reference as mlp_reference
from segttt.kernels.ttt_mlp.op import ttt_mlp

B, H, D = 2, 3, 16
OPERATORS = [(ttt_linear, (6, 4), (18, 12)), (ttt_mlp, (56, 20), (152, 60))]


def draw(operator: Callable, n: int, t: int) -> list[Tensor]:
    wide = 4 * D
    linear, mlp = [(H, D, D), (H, D)], [(H, D, wide), (H, wide), (H, wide, D), (H, D)]
    inner = linear if operator is ttt_linear else mlp
    shapes = [*[(B, H, n, D)] * 3, (B, H, n), (t,), *inner, (H, D), (H, D)]
    return [torch.rand(shape, requires_grad=True) for shape in shapes]


def counted(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize(("n", "t", "seen"), [(128, 32, 32), (20, 64, 20)])
@pytest.mark.parametrize(("operator", "forward", "backward"), OPERATORS)
def test_operations_per_token_and_head(operator, forward, backward, n, t, seen):
    """a d² + c t d, where no mini-batch has more tokens than the sequence."""
    inputs = draw(operator, n, t)
    cost = [B * H * n * (a * D * D + c * seen * D) for a, c in (forward, backward)]
    assert counted(lambda: operator(*inputs)) == cost[0]
    out = operator(*inputs)
    assert counted(lambda: out.sum().backward()) == cost[1]


@pytest.mark.parametrize(
    ("operator", "reference"), [(ttt_linear, linear_reference), (ttt_mlp, mlp_reference)]
)
def test_the_count_is_that_of_the_products_formed(operator, reference):
    """The rest, one in D at most, are the biases, which the count leaves out."""
    inputs = [x.detach() for x in draw(operator, 128, 32)]
    out, *states = reference.forward(*inputs, 1e-6)
    passed = tuple(states) if len(states) > 1 else states[0]
    formed = [
        counted(lambda: reference.forward(*inputs, 1e-6)),
        counted(lambda: reference.backward(out, passed, tuple(inputs[:5]), *inputs[-2:], 1e-6)),
    ]
    inputs = [x.requires_grad_() for x in inputs]
    out = operator(*inputs)
    said = [counted(lambda: operator(*inputs)), counted(lambda: out.sum().backward())]
    for one, other in zip(formed, said, strict=True):
        assert 1 < one / other < 1 + 1 / D
