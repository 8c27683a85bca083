"""RTSTRUCT: contours that others read alike, references to every slice, no more of the patient."""

import highdicom
import numpy as np
import pydicom
import pytest
from skimage.draw import polygon2mask

from segttt.cases import Segmentation
from segttt.errors import GeometryError, ImageError, LabelError, ResourceError
from segttt.io.dicom import rtstruct
from segttt.io.dicom.rtstruct import write_rtstruct
from segttt.io.dicom.study import only_series, read_study
from tests.io.dicom.test_annotation import LABELS, blobs, read, written
from tests.io.dicom.written import CANARIES, canary, edit, voxels, write_series

MAY_NAME = {"PatientName", "PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName"}


def _mask(contours, files, shape):
    """As a program would read it that knows the slice of a contour by its reference alone."""
    slices = [pydicom.dcmread(one) for one in files]
    instances = [one.SOPInstanceUID for one in slices]
    found = np.zeros(shape, bool)
    for contour in contours:
        index = instances.index(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)
        head = slices[index]
        points = np.reshape(contour.ContourData, (-1, 3)).astype(float) - head.ImagePositionPatient
        row, column = np.reshape(head.ImageOrientationPatient, (2, 3)).astype(float)
        pixels = np.stack([points @ column, points @ row], 1) / np.array(head.PixelSpacing, float)
        found[index] ^= polygon2mask(shape[1:], pixels)
    return found


def test_another_reader_finds_the_same_voxels(tmp_path):
    tilted = ((0.0, 0.8, -0.6), (0.0, 0.6, 0.8))
    path, series = written(tmp_path, "rtstruct", axes=tilted)
    data = pydicom.dcmread(path)
    for contours, value in zip(data.ROIContourSequence, LABELS, strict=True):
        found = _mask(contours.ContourSequence, series.files, series.grid.shape)
        np.testing.assert_array_equal(found, blobs() == value)


def test_refers_to_the_series_and_names_its_rois(tmp_path):
    path, series = written(tmp_path, "rtstruct")
    data = pydicom.dcmread(path)
    sources = [pydicom.dcmread(one) for one in series.files]
    (frame,) = data.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
    (study,) = frame.RTReferencedStudySequence
    (referenced,) = study.RTReferencedSeriesSequence
    assert study.ReferencedSOPInstanceUID == data.StudyInstanceUID == sources[0].StudyInstanceUID
    assert referenced.SeriesInstanceUID == sources[0].SeriesInstanceUID != data.SeriesInstanceUID
    instances = [one.ReferencedSOPInstanceUID for one in referenced.ContourImageSequence]
    assert instances == [one.SOPInstanceUID for one in sources]
    assert [one.ROIName for one in data.StructureSetROISequence] == [
        "Left_Kidney", "liver tumour", "Cortex (M?ller)",
    ]  # fmt: skip
    code = data.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0]
    assert (code.CodeValue, code.CodeMeaning) == ("64033007", "Kidney")
    assert len({tuple(one.ROIDisplayColor) for one in data.ROIContourSequence}) == 3
    assert all(len(str(v)) <= 16 for c in _contours(data) for v in c.ContourData)


def _contours(data):
    return [one for roi in data.ROIContourSequence for one in roi.get("ContourSequence", ())]


def test_carries_of_the_patient_what_the_standard_demands(tmp_path):
    path, _ = written(tmp_path, "rtstruct")
    content = path.read_bytes().decode("latin")
    named = {keyword for keyword in CANARIES if canary(keyword) in content}
    assert named == MAY_NAME


def test_an_empty_segmentation_has_rois_without_contours(tmp_path):
    path, series = written(tmp_path, "rtstruct", np.zeros((5, 8, 9), np.uint8))
    data = pydicom.dcmread(path)
    assert len(data.StructureSetROISequence) == 3
    assert not _contours(data)
    assert not read(path, series).any()


def test_long_contours_are_whole(tmp_path):
    """More than the 64 KiB that explicit value representations allow a contour."""
    comb = np.zeros((2, 80, 400), np.uint8)
    comb[0, 1:79, ::2] = comb[0, 40] = 1
    path, series = written(tmp_path, "rtstruct", comb)
    assert max(one.NumberOfContourPoints for one in _contours(pydicom.dcmread(path))) > 700
    np.testing.assert_array_equal(read(path, series), comb)


def test_frames_of_a_multiframe_source(tmp_path):
    files = write_series(tmp_path / "single", voxels((5, 12, 14)).astype(np.int16))
    for path in files:
        edit(path, PatientPosition="HFS")
    enhanced = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        [pydicom.dcmread(path) for path in reversed(files)],
        highdicom.UID(), 9, highdicom.UID(), 1,
    )  # fmt: skip
    (tmp_path / "multi").mkdir()
    enhanced.save_as(tmp_path / "multi" / "one")
    series = only_series(tmp_path / "multi")
    path = tmp_path / "label.dcm"
    write_rtstruct(path, Segmentation("x", blobs(), series.grid), LABELS, series.files)
    np.testing.assert_array_equal(read(path, series), blobs())
    frames = {
        (int(c.ContourImageSequence[0].ReferencedFrameNumber), float(c.ContourData[2]))
        for c in _contours(pydicom.dcmread(path))
    }
    heights = [
        one.PlanePositionSequence[0].ImagePositionPatient[2]
        for one in enhanced.PerFrameFunctionalGroupsSequence
    ]
    assert all(heights[number - 1] == height for number, height in frames)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID"])
def test_a_source_without_uids_gets_none(tmp_path, keyword):
    files = write_series(tmp_path / "scan", voxels((5, 12, 14)))
    for file in files:
        edit(file, **{keyword: ""})
    series = read_study(tmp_path / "scan").series[0]
    with pytest.raises(ImageError, match=rf"{keyword}.*--format nifti"):
        write_rtstruct(
            tmp_path / "x.dcm", Segmentation("x", blobs(), series.grid), LABELS, series.files
        )
    assert not list(tmp_path.glob("*.dcm"))


def test_a_file_that_differs_takes_no_name(tmp_path, monkeypatch):
    whole = rtstruct.outlines
    monkeypatch.setattr(rtstruct, "outlines", lambda mask: whole(mask)[:1])  # loses the hole
    with pytest.raises(ResourceError, match="differs after writing"):
        written(tmp_path, "rtstruct")
    assert not list(tmp_path.glob("*.dcm"))


def _edited(tmp_path, change):
    path, series = written(tmp_path, "rtstruct")
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)
    return path, series


def _moved(contour, by):
    points = np.reshape(contour.ContourData, (-1, 3)).astype(float) + by
    contour.ContourData = [f"{value:.4f}" for value in points.ravel()]


def test_overlapping_rois_are_named(tmp_path):
    path, series = _edited(tmp_path, lambda data: _moved(_contours(data)[-2], [0, -2.5, 0]))
    with pytest.raises(LabelError, match="Left_Kidney and liver tumour overlap"):
        read(path, series)


def test_open_contours_are_refused(tmp_path):
    def change(data):
        _contours(data)[0].ContourGeometricType = "OPEN_PLANAR"

    with pytest.raises(LabelError, match="Left_Kidney has a contour of the kind OPEN_PLANAR"):
        read(*_edited(tmp_path, change))


def test_contours_drawn_on_thinner_slices_are_refused(tmp_path):
    def change(data):
        _moved(_contours(data)[0], [0, 0, 0.4 * 2.5])
        _moved(_contours(data)[1], [0, 0, -0.4 * 2.5])
        _moved(_contours(data)[2], [0, 0, -0.4 * 2.5])

    def crowd(data):
        _moved(_contours(data)[0], [0, 0, 0.6 * 2.5])

    path, series = _edited(tmp_path / "shifted", change)
    np.testing.assert_array_equal(read(path, series), blobs())  # less than half a distance
    with pytest.raises(GeometryError, match="lie closer together"):
        read(*_edited(tmp_path / "crowded", crowd))


def test_tilted_contours_are_refused(tmp_path):
    def change(data):
        points = np.reshape(_contours(data)[0].ContourData, (-1, 3)).astype(float)
        points[:, 2] += np.linspace(0, 2, len(points))
        _contours(data)[0].ContourData = [f"{value:.4f}" for value in points.ravel()]

    with pytest.raises(GeometryError, match="not parallel to the slices"):
        read(*_edited(tmp_path, change))


def test_several_frames_of_reference_are_refused(tmp_path):
    def change(data):
        data.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.3"

    with pytest.raises(LabelError, match="2 frames of reference"):
        read(*_edited(tmp_path, change))
