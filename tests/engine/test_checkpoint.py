"""States of a training: what is not readable is told, and nothing starts anew unasked."""

import pytest
import torch
from safetensors.torch import save_file

from segttt.engine import compute as computing
from segttt.engine.checkpoint import load_state, save_state
from segttt.engine.learner import Learner
from segttt.errors import UsageError
from segttt.networks.build import build
from tests.engine.conftest import small_plan


def learner():
    plan = small_plan()
    return Learner(build(plan.network, plan.topology, 1, 3), plan, computing.choose("cpu", "fp32"))


@pytest.fixture
def states(tmp_path):
    for epoch in (3, 4):
        save_state(tmp_path, learner(), {"epoch": epoch})
    return tmp_path


FOREIGN = {
    "no record": ({"network/x": torch.ones(1)}, {}),
    "strange names": ({"what": torch.ones(1)}, {"about": '{"state": "{\\"epoch\\": 4}"}'}),
    "a list": ({"network/x": torch.ones(1)}, {"about": '{"state": "[]"}'}),
    "nonsense": ({"network/x": torch.ones(1)}, {"about": '{"state": "{"}'}),
    "no number": ({"optimizer/x/y": torch.ones(1)}, {"about": '{"state": "{\\"steps\\": 1}"}'}),
}  # fmt: skip


@pytest.mark.parametrize("what", ["cut", *FOREIGN])
def test_an_older_state_is_used_and_the_newer_one_named(states, what):
    newest = states / "000004.safetensors"
    if what == "cut":
        newest.write_bytes(newest.read_bytes()[:-9])
    else:
        save_file(FOREIGN[what][0], newest, FOREIGN[what][1])
    record, (notice,) = load_state(states, learner())
    assert record["epoch"] == 3
    assert "000004.safetensors" in notice
    assert notice.endswith("An older state is used.")


def test_without_a_readable_state_nothing_starts_anew(states):
    for path in states.iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(UsageError, match=r"000004\.safetensors.*--resume never. trains anew"):
        load_state(states, learner())


def test_a_new_training_has_no_state(tmp_path):
    assert load_state(tmp_path, learner()) is None
