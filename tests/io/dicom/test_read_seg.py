"""Segments of every type and order of pixels, and what is no label map."""

import copy

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.seg import Segmentation
from pydicom.sr.codedict import codes

from segttt.errors import GeometryError, LabelError
from segttt.io.dicom.seg import affine_of
from segttt.io.dicom.study import only_series
from tests.io.dicom.test_annotation import blobs, read, written
from tests.io.dicom.written import edit, voxels, write_series

NAMES = {1: "one", 2: "two"}


def _foreign(folder, array, kind="BINARY", **place):
    """A SEG as another program would write it: one array of the series' shape per segment."""
    write_series(folder / "scan", voxels(array.shape[:3]))
    series = only_series(folder / "scan")
    described = [
        highdicom.seg.SegmentDescription(
            number, f"{name}", codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL"
        )
        for number, name in NAMES.items()
    ]
    written = Segmentation(
        [pydicom.dcmread(one) for one in series.files],
        array,
        kind,
        described,
        highdicom.UID(), 1, highdicom.UID(), 1, "maker", "model", "1", "0",
        max_fractional_value=200,
        **place,
    )  # fmt: skip
    written.save_as(folder / "label.dcm")
    return folder / "label.dcm", series


def test_fractions_above_one_half_are_inside(tmp_path):
    shares = np.zeros((4, 6, 7, 2))
    shares[1, 2, 1:6, 0] = [0.2, 0.5, 0.51, 0.9, 1.0]
    shares[1, 2, 1:6, 1] = [0.8, 0.5, 0.49, 0.1, 0.0]
    path, series = _foreign(tmp_path, shares, "FRACTIONAL")
    found = read(path, series, NAMES)
    assert found[1, 2].tolist() == [0, 2, 0, 1, 1, 1, 0]
    assert np.count_nonzero(found) == 4


def test_overlapping_segments_are_named(tmp_path):
    both = np.zeros((4, 6, 7, 2), np.uint8)
    both[1, 1:4, 1:4, 0] = 1
    both[1, 3:5, 3:6, 1] = 1
    path, series = _foreign(tmp_path, both)
    with pytest.raises(LabelError, match=r"label\.dcm: one and two overlap, in 1 voxels"):
        read(path, series, NAMES)


def _turned(array, axis_row, axis_column, corner):
    """Frames whose rows and columns run along other axes of the same pixels."""
    volume = np.eye(4)
    volume[:3, :3] = np.stack([[0, 0, 2.5], axis_row, axis_column], 1)
    volume[:3, 3] = corner
    return highdicom.Volume(array, volume, "PATIENT")


@pytest.mark.parametrize("name", ["mirrored", "transposed", "cropped"])
def test_frames_find_their_pixels(tmp_path, name):
    labels = np.zeros((4, 6, 7), np.uint8)
    labels[1, 1:3, 2:6] = 1
    labels[2, 3, 3] = 2
    write_series(tmp_path / "scan", voxels(labels.shape))
    grid = only_series(tmp_path / "scan").grid
    y, x = (np.array([0, 0.75, 0]), np.array([1.25, 0, 0]))
    corner = np.array(grid.origin_mm)
    mirrored = _turned(labels[:, ::-1, ::-1], -y, -x, corner + 5 * y + 6 * x)
    volume = {
        "mirrored": mirrored,
        "transposed": _turned(labels.transpose(0, 2, 1), x, y, corner),
        "cropped": highdicom.Volume(labels, affine_of(grid), "PATIENT")[:, 1:5, 2:7],
    }[name]
    sources = [pydicom.dcmread(one) for one in only_series(tmp_path / "scan").files]
    for one in sources:
        del one.SpacingBetweenSlices
    described = [
        highdicom.seg.SegmentDescription(n, text, codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")
        for n, text in NAMES.items()
    ]
    Segmentation(
        sources, volume, "BINARY", described,
        highdicom.UID(), 1, highdicom.UID(), 1, "maker", "model", "1", "0",
    ).save_as(tmp_path / "label.dcm")  # fmt: skip
    found = read(tmp_path / "label.dcm", only_series(tmp_path / "scan"), NAMES)
    np.testing.assert_array_equal(found, labels)


def test_pixels_between_those_of_the_series_are_refused(tmp_path):
    path, _ = written(tmp_path, "binary")
    for file in (tmp_path / "scan").iterdir():
        position = pydicom.dcmread(file).ImagePositionPatient
        edit(file, ImagePositionPatient=[position[0] + 0.5, *position[1:]])
    with pytest.raises(GeometryError, match="are not those of the slice"):
        read(path, only_series(tmp_path / "scan"))


def test_frames_across_the_slices_are_refused(tmp_path):
    path, _ = written(tmp_path, "binary", np.pad(blobs((5, 10, 10)), ((0, 0), (0, 2), (0, 4))))
    for file in (tmp_path / "scan").iterdir():
        edit(file, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
        position = pydicom.dcmread(file).ImagePositionPatient
        edit(file, ImagePositionPatient=[100 - position[2], 12.25, 100])
    with pytest.raises(GeometryError, match="lies on no slice"):
        read(path, only_series(tmp_path / "scan"))


def test_a_background_segment_is_background(tmp_path):
    path, series = written(tmp_path, "labelmap")
    data = pydicom.dcmread(path)
    background = copy.deepcopy(data.SegmentSequence[0])
    background.SegmentNumber, background.SegmentLabel = 0, "Background"
    data.SegmentSequence = [background, *[one for one in data.SegmentSequence if one.SegmentNumber]]
    data.save_as(path)
    np.testing.assert_array_equal(read(path, series), blobs())
