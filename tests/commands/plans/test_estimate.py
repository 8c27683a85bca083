from math import prod

import pytest

from segttt.commands.plans.estimate import MEASURED_VOXELS, _small
from segttt.config.network import Topology
from segttt.config.preset import load, names
from segttt.networks.build import spec
from segttt.networks.sizes import fit_patch

TOPOLOGIES = {name: load(name).topology for name in names() if load(name).topology}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_the_measured_patch_is_small_and_valid(name):
    topology = TOPOLOGIES[name]
    small = _small(spec("ttt-unet-bot"), topology)
    Topology.model_validate(small.model_dump())
    bottleneck = small.stage_shape(small.stages - 1)
    assert min(bottleneck) >= 3
    assert prod(small.patch) <= max(MEASURED_VOXELS, prod(3 * n for n in topology.total_stride))
    assert (small.strides, small.features) == (topology.strides, topology.features)


def test_the_measured_patch_suits_networks_with_a_step_of_their_own():
    topology = fit_patch(spec("unetr"), TOPOLOGIES["flare22"])
    assert topology.patch == (48, 224, 192)
    small = _small(spec("unetr"), topology)
    assert all(size % 16 == 0 for size in small.patch)
    assert prod(small.patch) < prod(topology.patch)
