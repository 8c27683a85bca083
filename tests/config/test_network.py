import pytest

from segttt.config.network import Topology, UNetSpec

FIELDS = {
    "patch": (8, 16, 16),
    "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    "features": (4, 8, 16),
}


def test_shapes_and_strides():
    topology = Topology(**FIELDS)
    assert (topology.rank, topology.stages) == (3, 3)
    assert topology.total_stride == (2, 4, 4)
    assert topology.stage_stride(1) == (1, 2, 2)
    assert [topology.stage_shape(stage) for stage in range(3)] == [
        (8, 16, 16),
        (8, 8, 8),
        (4, 4, 4),
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"features": (4, 8)}, "one entry per stage"),
        ({"patch": (16, 16)}, "as many axes as the patch"),
        ({"strides": ((2, 1, 1), (1, 2, 2), (2, 2, 2))}, "its strides must be 1"),
        ({"patch": (8, 18, 16)}, r"a multiple of \[2, 4, 4\]"),
        ({"patch": (8, 16, 8192)}, "limited to 4096"),
        ({"features": (4, 8, 5000)}, "limited to 4096"),
        ({"patch": (8, 16, 0)}, "greater than 0"),
    ],
)
def test_impossible_topologies(change, fault):
    with pytest.raises(ValueError, match=fault):
        Topology(**(FIELDS | change))


@pytest.mark.parametrize(
    "change", [{"mini_batch": 0}, {"inner_lr": -1}, {"gate": "relu"}, {"orders": ("a",) * 33}]
)
def test_impossible_networks(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        UNetSpec(**change)
