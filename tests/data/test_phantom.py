"""The phantom cohort: reproducible, complete, varied, and no threshold solves it."""

import json

import numpy as np
import pytest

from segttt.cases import Case
from segttt.data.anatomy import LABELS
from segttt.data.phantom import ORIENTATIONS, orientation, phantom_case, write_phantom_cohort
from segttt.io.images import read_image, read_label_image
from segttt.io.orient import orientation_of
from segttt.io.volumes import read_volume

SMALL = (16, 40, 44)
COHORT = {"cases": 8, "test_cases": 1, "seed": 3, "shape": SMALL}


@pytest.fixture(scope="module")
def scans():
    return [phantom_case(0, index) for index in range(4)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_phantom_cohort(tmp_path_factory.mktemp("cohort") / "raw", **COHORT)


def voxels(folder, index):
    part = "Tr" if index < COHORT["cases"] else "Ts"
    name = f"phantom_{index:03d}"
    return (
        folder / f"images{part}" / f"{name}_0000.nii.gz",
        folder / f"labels{part}" / f"{name}.nii.gz",
    )


def test_equal_seed_equal_voxels_other_seed_or_case_other_voxels():
    image, label, grid = phantom_case(5, 2, SMALL)
    again, label_again, grid_again = phantom_case(5, 2, SMALL)
    assert (image.tobytes(), label.tobytes()) == (again.tobytes(), label_again.tobytes())
    assert grid == grid_again
    for seed, index in ((6, 2), (5, 3)):
        assert not np.array_equal(phantom_case(seed, index, SMALL)[1], label)


def test_each_case_shows_each_organ_in_earnest(scans):
    for _, label, grid in scans:
        millilitres = np.bincount(label.ravel(), minlength=6)[1:] * grid.voxel_mm3 / 1000
        assert millilitres.size == len(LABELS)
        assert millilitres.min() > 5
        assert millilitres.argmax() == 0  # the liver is the largest


def test_organs_lie_where_they_belong(scans):
    for _, label, _ in scans:
        centre = {name: np.argwhere(label == value).mean(0) for value, name in LABELS.items()}
        _, y, x = np.array(label.shape) / 2
        assert centre["liver"][2] < x < centre["spleen"][2]  # x runs to the left of the patient
        assert centre["right kidney"][2] < centre["aorta"][2] < centre["left kidney"][2]
        assert centre["liver"][0] > centre["right kidney"][0]
        assert min(centre["left kidney"][1], centre["right kidney"][1]) > y  # behind


def test_shapes_and_spacings_vary_within_the_promised_range(scans):
    for image, label, grid in scans:
        assert image.shape == label.shape == grid.shape
        assert all(
            low <= n <= high
            for n, low, high in zip(image.shape, (28, 88, 88), (40, 112, 112), strict=True)
        )
        assert grid.spacing_mm[0] >= 2.5
        assert 1.5 <= grid.spacing_mm[1] == grid.spacing_mm[2] <= 2
    assert len({image.shape for image, *_ in scans}) > 1
    assert len({grid.spacing_mm for *_, grid in scans}) > 1


def test_intensities_are_those_of_ct(scans):
    for image, label, _ in scans:
        assert image[:, 0, 0].mean() == pytest.approx(-1000, abs=12)
        mean = {name: image[label == value].mean() for value, name in LABELS.items()}
        assert 70 < mean["liver"] < 110
        assert mean["liver"] < mean["spleen"] < mean["left kidney"] < mean["aorta"] < 340


def test_edges_are_partial_volume(scans):
    for image, *_ in scans:
        middle = image[image.shape[0] // 2].astype(float)
        rows = [row[(row > -900).argmax()] for row in middle if (row > -900).sum() > 10]
        between = np.mean([-850 < value < -200 for value in rows])
        assert between > 0.5  # the first voxel of the skin is part air on most rows


def test_no_threshold_finds_an_organ(scans):
    for image, label, _ in scans:
        for value in LABELS:
            organ = label == value
            low, high = np.percentile(image[organ], (5, 95))
            chosen = (image >= low) & (image <= high)
            assert 2 * (chosen & organ).sum() / (chosen.sum() + organ.sum()) < 0.8


def test_one_orientation_by_hand():
    way = orientation("RAS")
    assert (way.order, way.flipped) == ((0, 1, 2), (False, True, True))
    way = orientation("PSR")  # x to posterior, y to superior, z to right
    assert (way.order, way.flipped) == ((2, 0, 1), (True, False, False))


def test_files_are_stored_in_many_orientations_and_one_is_oblique(folder):
    found, oblique = set(), []
    for index in range(8):
        _, grid = read_image(voxels(folder, index)[0])
        way = orientation_of(grid)
        found.add((way.order, way.flipped))
        oblique.append(bool(np.abs(np.array(grid.direction)).max(1).min() < 0.999))
    assert len(found) == len(set(ORIENTATIONS))
    assert oblique == [False, False, False, False, True, False, False, False]


@pytest.mark.parametrize("index", [0, 1, 4, 6, 8])
def test_reading_a_file_gives_the_case_back(folder, index):
    image, label, grid = phantom_case(COHORT["seed"], index, SMALL)
    image_file, label_file = voxels(folder, index)
    volume = read_volume(Case("one", (image_file,), label_file), 1)
    assert volume.label is not None
    np.testing.assert_array_equal(volume.image[0], image.astype(np.float32))
    np.testing.assert_array_equal(volume.label, label)
    assert volume.grid.difference(grid) is None


def test_voxel_types_vary_and_labels_are_whole(folder):
    import SimpleITK as sitk

    kinds = [sitk.ReadImage(voxels(folder, i)[0]).GetPixelIDTypeAsString() for i in (0, 1)]
    assert kinds == ["16-bit signed integer", "32-bit float"]
    values, _ = read_label_image(voxels(folder, 0)[1])
    assert sorted(np.unique(values)) == [0, *LABELS]


def test_description_is_an_nnunet_dataset(folder):
    text = json.loads((folder / "dataset.json").read_text())
    assert text["channel_names"] == {"0": "CT"}
    assert text["labels"] == {"background": 0} | {name: value for value, name in LABELS.items()}
    assert (text["numTraining"], text["file_ending"]) == (8, ".nii.gz")
    assert (
        len(list((folder / "imagesTr").iterdir()))
        == len(list((folder / "labelsTr").iterdir()))
        == 8
    )
    assert [path.name for path in (folder / "imagesTs").iterdir()] == ["phantom_008_0000.nii.gz"]
