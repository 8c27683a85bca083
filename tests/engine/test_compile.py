"""Trainings whose network PyTorch compiles."""

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from segttt.config.overrides import override
from segttt.engine import compute as computing
from segttt.engine.checkpoint import load_state, save_state
from segttt.engine.learner import Learner
from segttt.engine.predict import SlidingWindow
from segttt.errors import UsageError
from tests.engine.test_learner import batch_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own modules
CPU = computing.choose("cpu", "fp32")


@pytest.fixture(autouse=True)
def forget():
    """What was compiled is not kept for other tests."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


class Small(nn.Module):
    """Two convolutions and two outputs; annotations that are checked could not be compiled."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 3, 1)

    def forward(self, x):
        logits = self.head(torch.relu(self.first(x)))
        return [logits, logits[..., ::2, ::2, ::2]]


def learner_of(plan, *, compiled):
    torch.manual_seed(0)
    learner = Learner(Small(), plan, CPU)
    if compiled:
        learner.compile("aot_eager")
    return learner


def test_it_is_a_field_of_the_plan_and_off(plan):
    assert not plan.train.compile
    assert override(plan, {"train.compile": "true"}).train.compile


def test_a_compiled_training_learns_the_same(plan):
    plain, compiled = (learner_of(plan, compiled=one) for one in (False, True))
    for step in range(3):
        losses = [one.step(batch_of(step), 1e-3) for one in (plain, compiled)]
        assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    for one in (plain, compiled):
        one.network.eval()
    (a, counts), (b, same) = (one.validate(batch_of(9)) for one in (plain, compiled))
    assert b.item() == pytest.approx(a.item(), abs=1e-5)
    assert (same - counts).abs().max() <= 2  # voxels whose logits are equal but for rounding
    assert counters["stats"]["unique_graphs"] == 2  # one learns, one validates


def test_its_state_and_its_predictions_are_those_of_the_network(plan, tmp_path):
    compiled = learner_of(plan, compiled=True)
    compiled.step(batch_of(), 1e-3)
    save_state(tmp_path, compiled, {"epoch": 0})
    plain = learner_of(plan, compiled=False)
    assert load_state(tmp_path, plain)
    for name, value in compiled.weights().items():
        assert torch.equal(value, plain.weights()[name]), name
    image = batch_of(1).images[0].numpy()
    # Other shapes, no gradients, another device: what predicts is never compiled.
    with torch.compiler.set_stance("fail_on_recompile"):
        slabs = [
            torch.cat(list(SlidingWindow([one.network], plan, CPU).slabs(image[:, :, :9])), 1)
            for one in (compiled, plain)
        ]
    assert torch.equal(*slabs)


def test_a_missing_compiler_is_told_before_the_first_step(plan, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    with pytest.raises(UsageError, match=r"C\+\+ compiler.*--set train\.compile=false") as found:
        learner_of(plan, compiled=False).compile()
    assert "\n" not in str(found.value)
