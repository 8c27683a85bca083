"""Every labelled set beside the checkout is read, and its known faults are named."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from segttt.cases import Case
from segttt.config.network import Topology
from segttt.config.plan import Normalisation, Plan
from segttt.io.check import case_of, check_case
from segttt.io.layouts.inputs import list_inputs
from segttt.io.layouts.read import discover_labels, read_dataset
from segttt.io.store import StoredCase, finished, write_case
from segttt.io.volumes import read_labels, read_volume, to_segmentation, write_segmentation
from segttt.preprocessing.pipeline import prepare


def test_hippocampus(shared_data):
    dataset, failures = read_dataset(shared_data / "hippocampus")
    assert failures == []
    assert (len(dataset.cases), dataset.layout, dataset.channels) == (167, "msd", ("MRI",))
    assert dataset.labels == {1: "Anterior", 2: "Posterior"}
    for files in dataset.cases:
        assert check_case(files, dataset) == []
    tests, failures = list_inputs(shared_data / "hippocampus" / "imagesTs", 1)
    assert (len(tests), failures) == (41, [])


def test_hippocampus_turns_to_the_canonical_axes(shared_data):
    dataset, _ = read_dataset(shared_data / "hippocampus")
    volume = read_volume(case_of(dataset.cases[0]), 1)
    assert volume.orientation.flipped == (False, True, True)  # the files run to R, A, S
    np.testing.assert_array_equal(volume.grid.direction, np.eye(3)[::-1])
    with_labels, grid = read_labels(Path(dataset.cases[0].label))
    np.testing.assert_array_equal(volume.label, with_labels[:, ::-1, ::-1])
    assert grid == volume.source


def test_dirty_files_in_a_copy_of_hippocampus_are_named(shared_data, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(shared_data / "hippocampus", folder)
    for part in ("images", "labels"):
        for file in (shared_data / "hippocampus_dirty" / part).iterdir():
            shutil.copy(file, folder / f"{part}Tr")
    dataset, failures = read_dataset(folder)
    assert len(dataset.cases) == 167
    named = {failure.id: failure.reason for failure in failures}
    assert named.keys() == {"hippocampus_010", "hippocampus_118", "hippocampus_281"}
    assert "has no label" in named["hippocampus_118"]
    assert "has no image" in named["hippocampus_010"]
    (folder / "dataset.json").rename(folder / "unlisted.json")
    (folder / "imagesTr").rename(folder / "images")
    (folder / "labelsTr").rename(folder / "labels")
    _, failures = read_dataset(folder)
    assert {failure.id for failure in failures} == named.keys()


def test_nuclei(shared_data):
    dataset, failures = read_dataset(shared_data / "nuclei")
    assert failures == []
    assert (len(dataset.cases), dataset.channels) == (200, ("R", "G", "B"))
    assert dataset.instances
    for files in dataset.cases[::4]:
        assert check_case(files, dataset) == []


def test_polyps(shared_data, tmp_path):
    dataset, failures = read_dataset(shared_data / "polyps")
    assert failures == []
    assert (len(dataset.cases), dataset.labels) == (636, {1: "polyp"})
    for files in dataset.cases[::10]:
        assert check_case(files, dataset) == []
    for name in ("dataset.json",):  # without a list of files, and under the names of folders only
        text = (shared_data / "polyps" / name).read_text().replace('"training"', '"unused"')
        (tmp_path / name).write_text(text)
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / part).symlink_to(shared_data / "polyps" / part)
    again, failures = read_dataset(tmp_path)
    assert (again.layout, failures) == ("nnunet", [])
    assert [case.id for case in again.cases] == [case.id for case in dataset.cases]


@pytest.mark.parametrize(
    ("image", "label", "values"),
    [
        ("ct", "ct_flare13", 12),
        ("ct_small", "ct_small_flare13", None),
        ("ct_small", "ct_small_flare13_fast", None),
        ("mr_small", "mr_small_flare13", None),
        ("ct", "ct_all117_as_found", None),
        ("ct_small", "ct_small_all117_as_found", None),
        ("mr_small", "mr_small_all50_as_found", None),
    ],
)
def test_abdomen(shared_data, tmp_path, image, label, values):
    folder = shared_data / "abdomen_ct"
    case = Case(image, (folder / f"{image}.nii.gz",), folder / f"{label}.nii.gz")
    volume = read_volume(case, 1)
    present = np.unique(volume.label)
    assert present[0] == 0
    if values:
        assert len(present) == values + 1
        assert (volume.image.min(), volume.image.max()) == (-1207, 3382)
    liver_mm3 = (volume.label == 1).sum() * volume.grid.voxel_mm3
    assert liver_mm3 > 0
    names = {int(v): str(v) for v in present[1:]}
    classes = np.searchsorted(present, volume.label).astype(np.uint8)
    path = tmp_path / "out.nii.gz"
    write_segmentation(path, to_segmentation(classes, volume, names))
    expected, grid = read_labels(case.label)
    found, place = read_labels(path)
    np.testing.assert_array_equal(found, expected)
    assert place.difference(grid) is None


def test_real_values_are_discovered(shared_data, tmp_path):
    for part, name in (("images", "ct_small"), ("labels", "ct_small_flare13")):
        (tmp_path / part).mkdir()
        shutil.copy(shared_data / "abdomen_ct" / f"{name}.nii.gz", tmp_path / part / "ct.nii.gz")
    dataset, _ = read_dataset(tmp_path)
    assert dataset.channels == ("image",)
    found = discover_labels(dataset)
    assert 1 in found
    assert found.keys() <= set(range(1, 14))


def test_a_hippocampus_is_prepared_and_stored(shared_data, tmp_path):
    dataset, _ = read_dataset(shared_data / "hippocampus")
    plan = Plan(
        name="hippocampus",
        channels=dataset.channels,
        labels=dataset.labels,
        spacing_mm=(1.0, 1.0, 1.0),
        normalisation=(Normalisation(scheme="zscore"),),
        topology=Topology(
            patch=(40, 56, 40),
            strides=((1, 1, 1), (2, 2, 2)),
            kernels=((3, 3, 3), (3, 3, 3)),
            features=(32, 64),
        ),
        batch=2,
        batch_dice=False,
    )
    for files in dataset.cases[:3]:
        volume = read_volume(case_of(files), 1)
        prepared = prepare(volume, plan)
        write_case(tmp_path, prepared, plan.topology.patch, plan.classes)
        stored = StoredCase.open(tmp_path, files.id)
        assert stored.locations.keys() == {1, 2}
        voxels = sum(len(found) for found in stored.locations.values())
        assert voxels == (volume.label > 0).sum()
        window = stored.image((-2, -2, -2), (38, 54, 38))
        assert window.shape == (1, 40, 56, 40)
    assert len(finished(tmp_path)) == 3
