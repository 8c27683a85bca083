import pytest

from segttt.config.network import Topology
from segttt.config.plan import Normalisation, Plan
from segttt.config.recipe import Augmentation, Recipe

FIELDS = {
    "name": "toy",
    "channels": ("CT",),
    "labels": {1: "organ", 5: "tumour"},
    "spacing_mm": (2.0, 1.0, 1.0),
    "normalisation": (Normalisation(scheme="ct"),),
    "topology": Topology(
        patch=(8, 8), strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)), features=(4, 8)
    ),
    "batch": 2,
    "batch_dice": True,
}


def plan(**changes) -> Plan:
    return Plan(**(FIELDS | changes))


def test_classes_count_the_background():
    assert plan().classes == 3


def test_mirror_axes_are_all_unless_named():
    assert plan().mirror_axes == (0, 1)
    assert plan(augment=Augmentation(mirror_axes=(1,))).mirror_axes == (1,)
    assert plan(augment=Augmentation(mirror_axes=())).mirror_axes == ()


def test_plans_survive_a_file(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(plan().dump())
    assert Plan.load(path) == plan()


@pytest.mark.parametrize(
    "change",
    [
        {"spacing_mm": (2.0, 1.0, 1.1)},
        {"labels": {1: "organ", 6: "tumour"}},
        {"normalisation": (Normalisation(scheme="ct", mean=3.0),)},
        {"axes": (1, 0, 2)},
        {"resample_z": False},
        {"instances": True},
    ],
)
def test_the_prepared_digest_changes_with_the_voxels(change):
    assert plan(**change).prepared_digest() != plan().prepared_digest()


@pytest.mark.parametrize("change", [{"batch": 3}, {"train": Recipe(epochs=1)}, {"name": "new"}])
def test_the_prepared_digest_keeps_with_all_else(change):
    assert plan(**change).prepared_digest() == plan().prepared_digest()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"normalisation": ()}, "one entry per channel"),
        ({"axes": (0, 0, 2)}, "axes must order 0, 1 and 2"),
        ({"labels": {}}, "labels"),
        ({"batch": 0}, "batch"),
        ({"spacing_mm": (0.0, 1.0, 1.0)}, "spacing_mm"),
    ],
)
def test_impossible_plans(change, fault):
    with pytest.raises(ValueError, match=fault):
        plan(**change)
