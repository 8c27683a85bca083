"""Irregular and tilted series, mended on request: values between slices, labels back on them."""

import highdicom
import numpy as np
import pydicom
import pytest

from segttt.cases import Remedies, Segmentation
from segttt.io.dicom.annotation import read_annotation
from segttt.io.dicom.regular import to_slices
from segttt.io.dicom.rtstruct import write_rtstruct
from segttt.io.dicom.scan import open_scan, read_voxels
from segttt.io.dicom.seg import write_seg
from segttt.io.dicom.study import read_study
from tests.io.dicom.test_geometry import PLANES
from tests.io.dicom.written import edit, voxels, write_series

BOTH = Remedies(resample_nonuniform=True, correct_tilt=True)
RESAMPLE, STRAIGHTEN = Remedies(resample_nonuniform=True), Remedies(correct_tilt=True)
NAMES = {1: "one", 2: "two"}


def _placed(folder, array, heights, tilt=(0.0, 0.0), axes=PLANES["axial"]):
    """A series whose slices lie at `heights`, shifted by `tilt` mm per mm along row and column."""
    along_row, along_column = np.array(axes, float)
    normal = np.cross(along_row, along_column)
    files = write_series(folder, array, axes=axes)
    for path, height in zip(files, heights, strict=True):
        shift = tilt[0] * along_row + tilt[1] * along_column + normal
        edit(path, ImagePositionPatient=[f"{v:.6f}" for v in np.array([5, 6, 7]) + height * shift])
    return read_study(folder, BOTH).series[0]


def _volume(series, remedies):
    scan = open_scan(series.files, remedies)
    return read_voxels(scan)[0], scan


@pytest.mark.parametrize("axes", PLANES.values(), ids=PLANES.keys())
def test_a_ramp_between_irregular_slices_is_a_ramp(tmp_path, axes):
    heights = np.array([0, 2.0, 4.2, 6, 12, 14])
    ramp = np.broadcast_to(heights[:, None, None] * 100, (6, 4, 5)).astype(np.uint16)
    image, scan = _volume(_placed(tmp_path / "s", ramp, heights, axes=axes), RESAMPLE)
    assert scan.stack.grid.shape == (8, 4, 5)
    assert scan.stack.grid.spacing_mm[0] == pytest.approx(2.0)
    np.testing.assert_allclose(image[:, 1, 2], np.arange(8) * 200, rtol=1e-4, atol=1e-2)
    assert scan.stack.remedies == ("resampled 6 slices, 1.8 to 6 mm apart, onto 8 at 2 mm",)


def test_existing_slices_stay_as_they_are(tmp_path):
    array = voxels((5, 7, 9))
    image, _ = _volume(_placed(tmp_path / "s", array, [0, 2.5, 7.5, 10, 12.5]), RESAMPLE)
    np.testing.assert_allclose(image[[0, 1, 3, 4, 5]], array, rtol=1e-5)
    np.testing.assert_allclose(image[2], (array[1].astype(float) + array[2]) / 2, rtol=1e-5)


def _column(tilt, heights, rows=16):
    """A bright straight column along the normal, as a tilted gantry records it; pixels 0.75 mm."""
    array = np.full((len(heights), rows, 9), 10, np.uint16)
    for index, height in enumerate(heights):
        start = 8 - height * tilt / 0.75
        whole = int(np.floor(start))
        for row, share in ((whole, 1 - start + whole), (whole + 1, 1), (whole + 2, start - whole)):
            array[index, row, 3:5] = 10 + round(1000 * share)
    return array


@pytest.mark.parametrize("tilt", [0.3, -0.3, 0.1])
def test_a_tilted_column_is_straight_again(tmp_path, tilt):
    heights = 2.5 * np.arange(6)
    series = _placed(tmp_path / "s", _column(tilt, heights), heights, (0, tilt))
    image, scan = _volume(series, STRAIGHTEN)
    degrees = np.degrees(np.arctan(abs(tilt)))
    assert scan.stack.remedies == (f"corrected a tilt of {degrees:.3g} degrees",)
    centres = (image[:, :, 3] - image.min()) @ np.arange(image.shape[1])
    centres /= (image[:, :, 3] - image.min()).sum(1)
    np.testing.assert_allclose(centres, centres[0], atol=0.02)
    assert np.abs(np.array(scan.stack.grid.direction) @ np.array([0, 0, 1.0])).tolist() == [1, 0, 0]


def test_a_whole_pixel_tilt_loses_nothing(tmp_path):
    array = voxels((4, 7, 9))
    heights = 2.5 * np.arange(4)
    series = _placed(tmp_path / "s", array, heights, (0, 0.75 / 2.5))
    image, scan = _volume(series, STRAIGHTEN)
    assert image.shape == (4, 10, 9)
    for index in range(4):
        np.testing.assert_array_equal(image[index, index : index + 7], array[index])
    assert (image[0, 7:] == array.min()).all()
    assert (image[3, :3] == array.min()).all()
    np.testing.assert_array_equal(to_slices(image.astype(int), scan.stack), array)


@pytest.mark.parametrize("write", ["binary", "labelmap", "rtstruct"])
@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.12, -0.31)])
def test_segmentations_lie_on_the_slices_of_the_scanner(tmp_path, write, tilt):
    heights = [0, 2.5, 5, 10, 12, 14.5]
    series = _placed(tmp_path / "s", voxels((6, 7, 9)), heights, tilt)
    scan = open_scan(series.files, BOTH)
    labels = np.zeros(scan.stack.grid.shape, np.uint8)
    labels[1:5, 2:6, 2:6] = 1
    labels[3:, 6:, 1:8] = 2
    path, segmentation = tmp_path / "label.dcm", Segmentation("s", labels, scan.stack.grid)
    if write == "rtstruct":
        write_rtstruct(path, segmentation, NAMES, series.files, BOTH)
    else:
        write_seg(path, segmentation, NAMES, series.files, write, BOTH)
    found = read_annotation(path, scan.stack.slices, NAMES, series.files[0])
    np.testing.assert_array_equal(found, to_slices(labels, scan.stack))
    assert set(np.unique(found)) == {0, 1, 2}
    nearest = [0, 1, 2, 4, 5, 6]
    if tilt == (0.0, 0.0):
        np.testing.assert_array_equal(found, labels[nearest])
    if write == "binary":
        _each_frame_is_its_source(path, series)


def _each_frame_is_its_source(path, series):
    """The referenced slice has the frame's position, and nothing claims a regular distance."""
    positions = {
        one.SOPInstanceUID: one.ImagePositionPatient for one in map(pydicom.dcmread, series.files)
    }
    found = highdicom.seg.segread(path)
    assert len(found.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == len(positions)
    for frame in found.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(place, positions[source.ReferencedSOPInstanceUID], atol=1e-5)
    measures = found.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert "SpacingBetweenSlices" not in measures


def test_a_regular_series_is_left_alone(tmp_path):
    array = voxels()
    write_series(tmp_path / "s", array)
    image, scan = _volume(read_study(tmp_path / "s").series[0], BOTH)
    assert scan.stack.remedies == ()
    np.testing.assert_array_equal(image, array)


@pytest.mark.parametrize(
    ("heights", "tilt", "allowed", "words"),
    [
        ([0, 2, 4, 12.1, 14], 0.0, BOTH, "gap of 8.1 mm .* beyond 4 distances are not interpol"),
        ([0, 2, 2, 4, 6], 0.0, BOTH, "lie where another one lies"),
        ([0, 2, 4, 9, 11], 0.0, STRAIGHTEN, "gap of 5 mm .*--resample-nonuniform"),
        ([0, 2, 4, 6.5, 8], 0.0, STRAIGHTEN, "1.5 to 2.5 mm apart.*--resample-nonuniform"),
        ([0, 2, 4, 6, 8], 0.4, RESAMPLE, "tilted gantry.*--correct-tilt"),
        ([0, 2, 4, 6, 8], 1.2, BOTH, "unlike any tilted gantry"),
    ],
)
def test_what_stays_refused(tmp_path, heights, tilt, allowed, words):
    _placed(tmp_path / "s", voxels((5, 7, 9)), heights, (0, tilt))
    (series,) = read_study(tmp_path / "s", allowed).series
    assert series.grid is None
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(series.problem)


def test_shifts_to_and_fro_are_no_tilt(tmp_path):
    files = write_series(tmp_path / "s", voxels((5, 7, 9)))
    for index, path in enumerate(files):
        edit(path, ImagePositionPatient=[0, index % 2, 2.5 * index])
    (series,) = read_study(tmp_path / "s", BOTH).series
    assert "unlike any tilted gantry" in (series.problem or "")
