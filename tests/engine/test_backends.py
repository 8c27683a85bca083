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


def losses(name: str, network: str, features: tuple[int, ...], changes: dict) -> list[float]:
    topology = small_plan().topology.model_copy(update={"features": features})
    plan = small_plan(network=spec(network).model_copy(update=changes), topology=topology)
    computing.seed_everything(0, deterministic=False)
    learner = Learner(
        build(plan.network, plan.topology, 1, plan.classes), plan, computing.choose("cpu", "fp32")
    )
    random = torch.Generator().manual_seed(1)
    images = torch.randn(2, 1, 8, 16, 16, generator=random)
    batch = Batch(images, (images[:, 0] > 0.5).long() + (images[:, 0] > 1.5).long())
    with backend.forced(name):
        return [learner.step(batch, 1e-3) for _ in range(STEPS)]


TTT = {"heads": 1, "mini_batch": 16}
MLP = {"mixer": "ttt_mlp", "causal": False, "orders": ("a", "-a")}
CASES = {
    "mm-unet": ((4, 8, 8), {}, 2e-3),
    "ttt-unet-enc": ((8, 16, 16), TTT, 2e-2),
    "ttt-unet-bot": ((8, 16, 16), TTT | MLP, 2e-3),
}
"""Features, what is changed in a network, and how far apart losses may be. Rounding grows with the
steps; with TTT in all stages, the definition's own losses change by up to 5e-3 within 20 of them
where images change by one part in 10⁷."""


@pytest.mark.parametrize("network", CASES)
def test_numba_and_the_definition_train_alike(network):
    *how, tolerance = CASES[network]
    plain, fast = (losses(name, network, *how) for name in ("reference", "numba"))
    assert fast == pytest.approx(plain, abs=tolerance)
    assert fast[:2] == pytest.approx(plain[:2], abs=1e-5)
    assert fast != plain  # or both ran the same
    assert plain[-1] < plain[0] - 0.1
