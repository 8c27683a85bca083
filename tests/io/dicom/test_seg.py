"""DICOM SEG: read back by highdicom it is what was segmented, and it refers to its source."""

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from segttt.cases import Segmentation
from segttt.errors import ImageError
from segttt.io.dicom.codes import ABNORMAL, FINDINGS, ORGANS, SIDES, STRUCTURE, TISSUE, meaning_of
from segttt.io.dicom.seg import affine_of, write_seg
from segttt.io.dicom.study import only_series
from tests.io.dicom.test_geometry import PLANES
from tests.io.dicom.written import canary, edit, voxels, write_series

LABELS = {1: "Left kidney", 4: "liver tumour", 9: "Cortex (Müller)"}


def _written(tmp_path, kind, axes=PLANES["axial"], labels=None):
    write_series(tmp_path / "scan", voxels((5, 8, 9)), axes=axes)
    series = only_series(tmp_path / "scan")
    labels = np.zeros((5, 8, 9), np.uint8) if labels is None else labels
    path = tmp_path / "out.seg.dcm"
    write_seg(path, Segmentation("scan", labels, series.grid), LABELS, series.files, kind)
    return path, series


@pytest.fixture
def labels():
    return np.random.default_rng(1).choice(np.array([0, 1, 4, 9], np.uint8), (5, 8, 9))


@pytest.mark.parametrize("axes", PLANES.values(), ids=PLANES.keys())
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_reads_back_with_dice_one_on_the_source_grid(tmp_path, labels, axes, kind):
    path, series = _written(tmp_path, kind, axes, labels)
    sources = [pydicom.dcmread(one) for one in series.files]
    for one in sources:
        del one.SpacingBetweenSlices  # it is wrong, and highdicom believes it
    source = highdicom.get_volume_from_series(sources)
    found = highdicom.seg.segread(path).get_volume(combine_segments=True)
    found = found.match_geometry(source)
    mine = highdicom.Volume(labels, affine_of(series.grid), "PATIENT")
    expected = mine.match_geometry(source).array
    for number, value in enumerate(LABELS, start=1):
        np.testing.assert_array_equal(found.array == number, expected == value)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_an_empty_segmentation_is_written(tmp_path, kind):
    path, _ = _written(tmp_path, kind)
    assert not highdicom.seg.segread(path).pixel_array.any()


def test_refers_to_every_slice_and_to_the_patient(tmp_path, labels):
    path, series = _written(tmp_path, "binary", labels=labels)
    found = highdicom.seg.segread(path)
    sources = [pydicom.dcmread(one) for one in series.files]
    (referenced,) = found.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == sources[0].SeriesInstanceUID
    instances = {one.ReferencedSOPInstanceUID for one in referenced.ReferencedInstanceSequence}
    assert instances == {one.SOPInstanceUID for one in sources}
    assert found.StudyInstanceUID == sources[0].StudyInstanceUID
    assert found.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
    assert found.SeriesInstanceUID != sources[0].SeriesInstanceUID
    assert found.PatientName == canary("PatientName")
    frame = found.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert frame.SourceImageSequence[0].ReferencedSOPInstanceUID in instances


def test_segments_are_named_and_coded(tmp_path, labels):
    path, _ = _written(tmp_path, "binary", labels=labels)
    kidney, tumour, cortex = highdicom.seg.segread(path).SegmentSequence
    assert [one.SegmentLabel for one in (kidney, tumour, cortex)] == [
        "Left kidney", "liver tumour", "Cortex (M?ller)",
    ]  # fmt: skip
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("64033007", "SCT")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert tumour.SegmentedPropertyCategoryCodeSequence[0].CodeValue == ABNORMAL[0]
    assert cortex.SegmentedPropertyTypeCodeSequence[0].CodeValue == TISSUE[0]
    assert cortex.SegmentDescription == "Cortex (M?ller)"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"])
def test_a_source_that_cannot_be_referred_to_is_refused(tmp_path, labels, keyword):
    for path in write_series(tmp_path / "scan", voxels((5, 8, 9))):
        edit(path, **{keyword: ""})
    series = only_series(tmp_path / "scan")
    with pytest.raises(ImageError, match=rf"{keyword}.*--format nifti"):
        write_seg(
            tmp_path / "x.seg.dcm", Segmentation("x", labels, series.grid), LABELS, series.files,
            "binary",
        )  # fmt: skip
    assert not list(tmp_path.glob("*.dcm"))


def test_patient_tags_that_may_be_empty_may_be_absent(tmp_path, labels):
    names = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber")
    for path in write_series(tmp_path / "scan", voxels((5, 8, 9))):
        edit(path, **dict.fromkeys((*names, "StudyID", "StudyDate", "StudyTime"), None))
    series = only_series(tmp_path / "scan")
    path = tmp_path / "x.seg.dcm"
    write_seg(path, Segmentation("x", labels, series.grid), LABELS, series.files, "binary")
    assert pydicom.dcmread(path).PatientName == ""


@pytest.mark.parametrize(
    ("label", "kind", "side"),
    [
        ("Left kidney", "Kidney", "Left"),
        ("kidney_R", "Kidney", "Right"),
        ("right_kidney", "Kidney", "Right"),
        ("RAG", "Tissue", None),
        ("IVC", "Inferior vena cava", None),
        ("left adrenal", "Adrenal gland", "Left"),
        ("Lungs", "Lung", None),
        ("liver tumour", "Neoplasm", None),
        ("Oesophagus", "Esophagus", None),
        ("Anterior", "Tissue", None),
        ("42", "Tissue", None),
    ],
)
def test_labels_find_their_codes(label, kind, side):
    meaning = meaning_of(label)
    assert meaning.kind[1] == kind
    assert (meaning.side[1] if meaning.side else None) == side


def test_codes_are_those_of_the_standard():
    known = {getattr(codes.SCT, name).value for name in codes.SCT.dir()}
    ours = [STRUCTURE, ABNORMAL, TISSUE, *ORGANS.values(), *FINDINGS.values(), *SIDES.values()]
    assert not [code for code in ours if code[0] not in known]


def test_positions_with_one_decimal_can_be_segmented(tmp_path):
    """Slices that stray from the regular grid as far as a regular stack may."""
    for index, path in enumerate(write_series(tmp_path / "scan", voxels((9, 8, 9)))):
        place = [0.07 * (index % 2), 0, round(0.625 * index, 1)]
        edit(path, ImagePositionPatient=place, PixelSpacing=[0.75, 0.75])
    series = only_series(tmp_path / "scan")
    labels = np.random.default_rng(1).choice(np.array([0, 1, 4, 9], np.uint8), (9, 8, 9))
    path = tmp_path / "x.seg.dcm"
    write_seg(path, Segmentation("x", labels, series.grid), LABELS, series.files, "binary")
    assert path.is_file()
