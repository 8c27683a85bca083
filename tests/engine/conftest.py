"""A plan so small that a step takes milliseconds."""

import pytest

from segttt.config.network import Topology, UNetSpec
from segttt.config.plan import Normalisation, Plan
from segttt.config.recipe import Recipe


def small_plan(**changes) -> Plan:
    topology = Topology(
        patch=(8, 16, 16),
        strides=((1, 1, 1), (2, 2, 2), (1, 2, 2)),
        kernels=((3, 3, 3),) * 3,
        features=(4, 8, 8),
    )
    recipe = Recipe(
        optimizer="adamw", lr=1e-2, weight_decay=0, schedule="constant", precision="fp32",
        epochs=2, iterations=3, val_iterations=1,
    )  # fmt: skip
    fields = {
        "name": "small",
        "channels": ("MR",),
        "labels": {1: "a", 2: "b"},
        "spacing_mm": (1.0, 1.0, 1.0),
        "normalisation": (Normalisation(scheme="zscore"),),
        "topology": topology,
        "network": UNetSpec(heads=2, mini_batch=8),
        "batch": 2,
        "batch_dice": False,
        "train": recipe,
    }
    return Plan(**(fields | changes))


@pytest.fixture
def plan() -> Plan:
    return small_plan()
