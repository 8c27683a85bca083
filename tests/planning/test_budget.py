from math import prod

import pytest
import torch
from torch import nn

from segttt.config import preset as presets
from segttt.config.network import UNetSpec
from segttt.config.plan import Normalisation, Plan
from segttt.config.recipe import Recipe
from segttt.networks.build import build, spec
from segttt.planning import budget
from segttt.planning.topology import make_topology


@pytest.mark.parametrize(
    ("name", "classes", "elements"),
    [
        ("flare22", 14, 481_447_680),
        ("amos22-mr", 14, 481_447_680),
        ("amos22-mr-2d", 14, 33_459_200),
        ("endovis17", 8, 78_827_520),
        ("neurips-cell", 3, 82_886_656),
    ],
)
def test_plain_elements_of_the_papers_plans(name, classes, elements):
    topology = presets.load(name).topology
    assert topology is not None
    assert budget.plain_elements(topology, classes) == elements


def test_residual_encoder_elements_of_the_ct_plan():
    topology = presets.load("flare22").topology
    assert topology is not None
    assert budget.resenc_elements(topology, 14) == 653_466_240


@pytest.mark.parametrize(
    ("network", "count"),
    [
        ("nnunet", budget.plain_elements),
        ("nnunet-resenc", budget.resenc_elements),
        ("ttt-unet-bot", budget.reduced_residual_elements),
    ],
)
@pytest.mark.parametrize(
    ("spacing", "patch"), [((3.0, 1.0, 1.0), (8, 32, 64)), ((1.0, 1.0, 1.0), (16, 16, 16))]
)
def test_closed_forms_count_what_the_convolutions_put_out(network, count, spacing, patch):
    # No limit on features: the proxy counts a shortcut's convolution at every stride, the network
    # has one only where the width changes.
    topology = make_topology(spacing, patch, width=2, max_features=4096)
    outputs = []

    def note(module, inputs, output):
        outputs.append(output.numel())

    unet = build(spec(network).model_copy(update={"mixer": "none"}), topology, 1, 3)
    for name, module in unet.named_modules():
        kinds = (nn.Conv3d, nn.ConvTranspose3d, nn.Upsample)
        if isinstance(module, kinds) and "heads" not in name and "up.conv" not in name:
            module.register_forward_hook(note)
    with torch.no_grad():
        unet(torch.zeros(1, 1, *topology.patch))
    head = 3 * prod(topology.patch)
    assert sum(outputs) + head == count(topology, 3)


def test_budgets_by_network():
    assert budget.budget_of(spec("nnunet-resenc")) is budget.BUDGETS["resenc-m"]
    assert budget.budget_of(spec("ttt-unet-bot")) is budget.BUDGETS["plain"]
    assert budget.budget_of(spec("nnunet")) is budget.BUDGETS["plain"]


def plan(**changes) -> Plan:
    return Plan(
        name="toy",
        channels=("CT",),
        labels={1: "organ"},
        spacing_mm=(2.0, 1.0, 1.0),
        normalisation=(Normalisation(scheme="zscore"),),
        topology=make_topology((2.0, 1.0, 1.0), (16, 32, 32), width=8, max_features=80),
        batch=2,
        batch_dice=False,
        network=UNetSpec(encoder="conv", mixer="none"),
        **changes,
    )


def test_training_memory_by_hand():
    elements = budget.plain_elements(plan().topology, 2)
    logits = 16 * 2 * 16 * 32 * 32
    assert budget.training_memory_bytes(plan(), 1000) == 2 * (4 * elements + logits) + 12_000
    precise = plan(train=Recipe(precision="fp32", optimizer="adamw", average=0.9))
    expected = 2 * (8 * elements + logits) + 20_000
    assert budget.training_memory_bytes(precise, 1000) == expected


def test_disk_counts_resampled_voxels(fingerprint):
    facts = fingerprint((10, 20, 30), (4.0, 0.5, 1.0), cases=3)
    assert budget.disk_bytes(facts, plan()) == 3 * (20 * 10 * 30) * 6
    assert budget.disk_bytes(facts, plan(resample_z=False)) == 3 * (10 * 10 * 30) * 6
    turned = plan(axes=(1, 0, 2))
    assert budget.disk_bytes(facts, turned) == 3 * (5 * 40 * 30) * 6


def test_resampling_takes_memory_and_keeping_the_grid_none(fingerprint):
    (case,) = fingerprint((10, 20, 30), (4.0, 0.5, 1.0), cases=1).cases
    assert budget.resampling_bytes(case, plan()) == 2 * (20 * 10 * 30) * 6
    (case,) = fingerprint((10, 20, 30), (2.0, 1.0, 1.0), cases=1).cases
    assert budget.resampling_bytes(case, plan()) == 0
    assert budget.prepared_bytes(case, plan()) == (10 * 20 * 30) * 6
