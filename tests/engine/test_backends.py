"""A training does not depend on which backend runs its operators."""

import pytest
import torch

from segttt.cases import Batch
from segttt.engine import compute as computing
from segttt.engine.learner import Learner
from segttt.kernels import backend
from segttt.networks.build import build, spec
from tests.engine.conftest import small_plan

pytest.importorskip("numba")
STEPS = 20


def losses(name: str, network: str) -> list[float]:
    plan = small_plan(network=spec(network))
    computing.seed_everything(0, deterministic=False)
    learner = Learner(
        build(plan.network, plan.topology, 1, plan.classes), plan, computing.choose("cpu", "fp32")
    )
    random = torch.Generator().manual_seed(1)
    images = torch.randn(2, 1, 8, 16, 16, generator=random)
    batch = Batch(images, (images[:, 0] > 0.5).long() + (images[:, 0] > 1.5).long())
    with backend.forced(name):
        return [learner.step(batch, 1e-3) for _ in range(STEPS)]


def test_numba_and_the_definition_train_alike():
    """Rounding differs in the last bits of each step and grows with the steps."""
    plain, fast = losses("reference", "mm-unet"), losses("numba", "mm-unet")
    assert fast == pytest.approx(plain, abs=2e-3)
    assert fast[0] == pytest.approx(plain[0], abs=1e-5)
    assert plain[-1] < plain[0] - 0.1
