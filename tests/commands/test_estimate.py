from math import prod

import pytest

from segttt.commands.estimate import MEASURED_VOXELS, _small
from segttt.config.network import Topology
from segttt.config.preset import load, names

TOPOLOGIES = {name: load(name).topology for name in names() if load(name).topology}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_the_measured_patch_is_small_and_valid(name):
    topology = TOPOLOGIES[name]
    small = _small(topology)
    Topology.model_validate(small.model_dump())
    bottleneck = small.stage_shape(small.stages - 1)
    assert min(bottleneck) >= 3
    assert prod(small.patch) <= max(MEASURED_VOXELS, prod(3 * n for n in topology.total_stride))
    assert (small.strides, small.features) == (topology.strides, topology.features)
