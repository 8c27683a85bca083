"""What is shown of a case: the right box, the right slice, outlines where the labels end."""

import re
from base64 import b64decode

import numpy as np
import pytest

from segttt.io.nifti import read_nifti
from segttt.report import page_views as views

RANDOM = np.random.default_rng(0)
SHAPE = (30, 40, 50)
NAMES = {1: "organ", 2: "tumour"}


def box(*slices, value=1, shape=SHAPE):
    labels = np.zeros(shape, np.int16)
    labels[slices] = value
    return labels


CUBE = box(slice(10, 20), slice(15, 25), slice(20, 30))


def shown(truth=CUBE, prediction=CUBE, spacing=(1.0, 1.0, 1.0), **more):
    image = RANDOM.normal(100, 20, (1, *truth.shape)).astype(np.float32)
    return views.display_of(image, truth, prediction, spacing, **more)


def points(path):
    """Corners of a path, (x, y)."""
    return np.array([pair.split(" ") for pair in re.findall(r"[\d.]+ [\d.]+", path)], float)


def test_a_volume_is_cropped_to_both_maps_and_a_margin():
    far = box(slice(10, 12), slice(15, 16), slice(40, 44))
    crop = views.crop_to_labels(CUBE, far, (5.0, 5.0, 7.5))
    assert crop == (slice(7, 23), slice(12, 28), slice(18, 46))
    assert shown(CUBE, far, (5.0, 5.0, 7.5)).truth.shape == (16, 16, 28)


def test_nothing_is_cropped_where_there_is_no_label_or_the_case_is_a_picture():
    assert shown(CUBE * 0, CUBE * 0).truth.shape == SHAPE
    picture = box(slice(None), slice(100, 120), slice(50, 60), shape=(1, 200, 300))
    assert shown(picture, picture).truth.shape == (1, 200, 300)


def test_an_image_has_eight_bits_and_all_of_them():
    image = shown().image
    assert image.dtype == np.uint8
    assert image.min() < 20
    assert image.max() > 235


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_coarser_display_has_the_share_and_shows_the_same(share):
    fine = shown(spacing=(3.0, 1.0, 1.0))
    coarse = views.coarser(fine, share)
    voxels = fine.truth.size * share
    assert 0.8 * voxels < coarse.truth.size <= voxels
    assert coarse.truth.shape[0] == fine.truth.shape[0] or share < 0.2  # the coarsest gives last
    for fine_mm, coarse_mm, old, new in zip(
        fine.spacing_mm, coarse.spacing_mm, fine.truth.shape, coarse.truth.shape, strict=True
    ):
        assert coarse_mm == pytest.approx(fine_mm * old / new)
    filled = [(one.truth > 0).sum() * np.prod(one.spacing_mm) for one in (fine, coarse)]
    assert filled[1] == pytest.approx(filled[0], rel=0.35)
    assert coarse.image.mean() == pytest.approx(fine.image.mean(), abs=6)


def test_a_volume_fits_its_share_of_the_page(tmp_path):
    whole = views.pack(shown())
    small, packed = views.fit(shown(), whole.size / 6)
    assert packed.size <= whole.size / 6
    assert small.truth.shape < shown().truth.shape
    same, untouched = views.fit(shown(), whole.size * 2.0)
    assert same.truth.shape == shown().truth.shape
    path = tmp_path / "truth.nii.gz"
    path.write_bytes(b64decode(untouched.truth))
    np.testing.assert_array_equal(read_nifti(path)[0][0], same.truth)


def test_many_objects_are_folded_into_eight_bits_but_never_into_the_background():
    numbers = np.arange(600, dtype=np.int32).reshape(1, 20, 30).repeat(2, 0)
    packed = views._eight_bit(numbers)
    assert ((packed == 0) == (numbers == 0)).all()
    assert packed.max() == 255


def test_an_outline_runs_around_the_pixels():
    path = views.outline(box(slice(2, 5), slice(4, 10), shape=(8, 12)), (1.0, 1.0))
    corners = points(path)
    assert path.count("M") == path.count("Z") == 1
    assert (corners.min(0) == (4, 2)).all()
    assert (corners.max(0) == (10, 5)).all()


def test_objects_that_touch_have_each_its_outline_and_holes_have_one_too():
    plane = np.zeros((10, 20), np.int32)
    plane[2:8, 2:8], plane[2:8, 8:14] = 3, 7
    plane[4:6, 4:6] = 0
    path = views.outline(plane, (2.0, 1.0))
    assert path.count("M") == 3
    assert points(path)[:, 1].max() == 16  # rows are twice as high


def test_sections_show_where_truth_and_prediction_differ_most():
    wrong = CUBE.copy()
    wrong[18, 15:25, 20:30] = 0
    axial, coronal, sagittal = views.sections(shown(CUBE, wrong), NAMES)
    assert [one.plane for one in (axial, coronal, sagittal)] == ["axial", "coronal", "sagittal"]
    assert [one.role for one in axial.outlines] == ["truth"]  # the slice that was missed
    assert {one.role for one in coronal.outlines} == {"truth", "prediction"}


def test_superior_is_up_and_lengths_follow_the_spacing():
    low = box(slice(2, 4), slice(15, 25), slice(20, 30))
    head = box(slice(20, 22), slice(15, 25), slice(20, 30))
    _, coronal, _ = views.sections(shown(low, head, (4.0, 1.0, 1.0)), NAMES)
    rows = {one.role: points(one.path)[:, 1].mean() for one in coronal.outlines}
    assert rows["prediction"] < rows["truth"] - 60
    assert (
        coronal.height == 4 * 26
    )  # margins of 15 mm are 4 slices, and the lower one meets the end
    assert coronal.width == 40


def test_labels_are_told_apart_and_objects_are_not():
    two = CUBE.copy()
    two[10:20, 15:20, 20:30] = 2
    assert {one.label for one in views.sections(shown(two, two), NAMES)[0].outlines} == {1, 2}
    assert {one.label for one in views.sections(shown(two, two, objects=True), {})[0].outlines} == {
        0
    }


def test_large_pictures_lose_pixels_and_small_budgets_too():
    truth = box(slice(None), slice(200, 900), slice(300, 900), shape=(1, 1000, 1200))
    display = views.display_of(np.zeros((3, 1, 1000, 1200), np.float32), truth, truth, (1.0,) * 3)
    whole = views.fit_picture(display, NAMES, 1e9)
    assert whole.width == pytest.approx(views.LONGEST_EDGE, rel=0.03)
    noise = RANDOM.normal(0, 1, (3, 1, 200, 200)).astype(np.float32)
    small = truth[:, :200, :200]
    assert (
        views.fit_picture(views.display_of(noise, small, small, (1.0,) * 3), NAMES, 9e3).size
        <= 9000
    )
