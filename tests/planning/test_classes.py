import pytest

from segttt.config import preset as presets
from segttt.config.plan import Evaluation
from segttt.config.preset import Preset
from segttt.errors import UsageError
from segttt.planning.classes import (
    differing_values,
    has_instances,
    plan_evaluation,
    plan_labels,
)


def test_the_labels_of_the_dataset_win(dataset):
    flare = presets.load("flare22")
    assert plan_labels(dataset(labels={3: "b", 1: "a"}), flare) == {1: "a", 3: "b"}
    assert list(plan_labels(dataset(labels={3: "b", 1: "a"}), flare)) == [1, 3]
    assert len(plan_labels(dataset(labels={}), flare)) == 13


def test_labels_without_names_are_refused(dataset):
    with pytest.raises(UsageError, match="Toy: its labels have no names"):
        plan_labels(dataset(labels={}), presets.load("laptop"))


def test_numbered_objects_become_interior_and_boundary(dataset):
    cells = presets.load("neurips-cell")
    classes = {1: "interior", 2: "boundary"}
    assert plan_labels(dataset(labels={}, instances=True), None) == classes
    assert plan_labels(dataset(labels={}), cells) == classes
    assert has_instances(dataset(labels={}), cells)
    assert not has_instances(dataset(labels=classes), cells)  # already converted
    assert not has_instances(dataset(labels={}), presets.load("flare22"))


def test_spelling_is_no_difference(dataset):
    flare = presets.load("flare22")
    ours = {value: name.replace("_", " ").title() for value, name in flare.dataset.labels.items()}
    assert differing_values(dataset(labels=ours), flare) == []
    assert differing_values(dataset(labels=ours | {1: "lung", 14: "bladder"}), flare) == [1, 14]
    assert differing_values(dataset(labels={}), flare) == []


def test_tolerances_follow_the_names(dataset):
    flare = presets.load("flare22")
    same = plan_evaluation(dataset(labels=flare.dataset.labels), flare)
    assert same == flare.evaluate
    amos = presets.load("amos22-ct").dataset.labels
    moved = plan_evaluation(dataset(labels=amos), flare)
    assert moved.nsd_mm[1] == 3  # spleen
    assert moved.nsd_mm[6] == 5  # liver
    assert 14 not in moved.nsd_mm  # bladder
    assert moved.z_crop_labels == (5, 8, 9)  # esophagus, aorta, vena cava
    assert moved.metrics == ("dsc", "nsd")


def test_without_any_tolerance_the_surface_is_not_scored(dataset):
    strange = plan_evaluation(dataset(labels={1: "cyst"}), presets.load("flare22"))
    assert (strange.metrics, strange.nsd_mm, strange.z_crop_labels) == (("dsc",), {}, ())
    pixels = plan_evaluation(dataset(labels={1: "cyst"}), presets.load("endovis17"))
    assert pixels.metrics == ("dsc", "nsd")


def test_evaluation_without_a_preset_follows_the_data(dataset):
    assert plan_evaluation(dataset(), None) == Evaluation()
    cells = plan_evaluation(dataset(labels={}, instances=True), Preset(name="p", title=""))
    assert (cells.metrics, cells.iou) == (("f1",), 0.5)
