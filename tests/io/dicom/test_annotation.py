"""DICOM SEG and RTSTRUCT as label maps of the series that they refer to."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import RTStructureSetStorage, SecondaryCaptureImageStorage

from segttt.cases import Segmentation
from segttt.errors import DataError, GeometryError, LabelError
from segttt.io.dicom.annotation import names_in, number_names, read_annotation, same_name
from segttt.io.dicom.rtstruct import write_rtstruct
from segttt.io.dicom.seg import write_seg
from segttt.io.dicom.slices import slices_of
from segttt.io.dicom.study import only_series
from segttt.io.layouts.folders import label_files
from tests.io.dicom.test_geometry import PLANES
from tests.io.dicom.written import edit, other_object, voxels, write_series

LABELS = {1: "Left_Kidney", 4: "liver tumour", 9: "Cortex (Müller)"}
KINDS = ["binary", "labelmap", "rtstruct"]


def blobs(shape=(5, 12, 14)):
    """Three labels; the first has a hole, the third a slice of its own and a part at the border."""
    labels = np.zeros(shape, np.uint8)
    labels[1:4, 2:9, 2:9] = 1
    labels[2, 4:6, 4:6] = 0
    labels[1:3, 9:, 3:9] = 4
    labels[4, :3, 10:] = 9
    return labels


def written(folder, kind, labels=None, axes=PLANES["axial"], names=None):
    """A series with its label; (label file, series)."""
    labels = blobs() if labels is None else labels
    write_series(folder / "scan", voxels(labels.shape), axes=axes)
    series = only_series(folder / "scan")
    path, segmentation = folder / "label.dcm", Segmentation("scan", labels, series.grid)
    if kind == "rtstruct":
        write_rtstruct(path, segmentation, names or LABELS, series.files)
    else:
        write_seg(path, segmentation, names or LABELS, series.files, kind)
    return path, series


def read(path, series, names=None):
    return read_annotation(path, slices_of(series.grid), names or LABELS, series.files[0])


@pytest.mark.parametrize("axes", PLANES.values(), ids=PLANES.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_comes_back(tmp_path, kind, axes):
    path, series = written(tmp_path, kind, axes=axes)
    np.testing.assert_array_equal(read(path, series), blobs())


@pytest.mark.parametrize("kind", KINDS)
def test_names_decide_values(tmp_path, kind):
    path, series = written(tmp_path, kind)
    assert names_in(path)[:2] == ["Left_Kidney", "liver tumour"]
    swapped = {7: "CORTEX (müller)", 2: "left  kidney", 300: "Liver_Tumour"}
    expected = np.array([0, 2, 0, 0, 300, 0, 0, 0, 0, 7])[blobs()]
    np.testing.assert_array_equal(read(path, series, swapped), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_undeclared_names_are_refused(tmp_path, kind):
    path, series = written(tmp_path, kind)
    with pytest.raises(
        LabelError, match=r"holds liver tumour, .* declared are Left_Kidney, Cortex"
    ):
        read(path, series, {1: "Left_Kidney", 2: "Cortex (Müller)"})


@pytest.mark.parametrize("kind", KINDS)
def test_another_series_is_refused(tmp_path, kind):
    path, _ = written(tmp_path, kind)
    write_series(tmp_path / "other", voxels((5, 12, 14)))
    with pytest.raises(GeometryError, match=r"FrameOfReferenceUID.*other"):
        read(path, only_series(tmp_path / "other"))
    frame = pydicom.dcmread(next((tmp_path / "scan").iterdir())).FrameOfReferenceUID
    for file in (tmp_path / "other").iterdir():
        edit(file, FrameOfReferenceUID=frame)
    with pytest.raises(GeometryError, match="refers to another series"):
        read(path, only_series(tmp_path / "other"))


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_the_series_elsewhere_are_refused(tmp_path, kind):
    path, series = written(tmp_path, kind)
    for file in series.files:
        position = pydicom.dcmread(file).ImagePositionPatient
        edit(file, ImagePositionPatient=[*position[:2], position[2] + 5.2])
    with pytest.raises(GeometryError, match=r"label\.dcm.*lies on no slice of the series"):
        read(path, only_series(series.folder))


@pytest.mark.parametrize("kind", KINDS)
def test_cut_files_are_named(tmp_path, kind):
    path, series = written(tmp_path, kind)
    whole = path.read_bytes()
    for share in (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DataError, match=r"label\.dcm"):
            read(path, series)


def test_other_objects_are_no_labels(tmp_path):
    other_object(tmp_path / "x.dcm", SecondaryCaptureImageStorage)
    with pytest.raises(LabelError, match="Secondary Capture Image; a label is a SEG or RTSTRUCT"):
        names_in(tmp_path / "x.dcm")
    other_object(tmp_path / "y.dcm", RTStructureSetStorage)
    with pytest.raises(LabelError, match=r"y\.dcm: is cut or damaged"):
        names_in(tmp_path / "y.dcm")


def test_names_are_numbered_in_sorted_order():
    names = ["liver", "Aorta", "left_kidney", "Left kidney"]
    assert number_names(names) == {1: "Aorta", 2: "Left kidney", 3: "liver"}
    assert same_name("Müller_A ") == same_name("m?ller a")


def test_labels_that_dicom_cannot_tell_apart_are_refused(tmp_path):
    path, series = written(tmp_path, "binary")
    with pytest.raises(LabelError, match="liver and Liver cannot be told apart"):
        read(path, series, {1: "liver", 2: "Liver"})


def test_a_seg_of_a_viewer(tmp_path):
    """pydicom's sample describes three frames and holds one, so that it must be mended first."""
    path, sample = tmp_path / "label.dcm", Path(get_testdata_file("liver_1frame.dcm"))
    source = pydicom.dcmread(sample)
    source.NumberOfFrames = 1
    del source.PerFrameFunctionalGroupsSequence[1:]
    source.save_as(path)
    assert names_in(path) == ["Liver"]
    files = write_series(
        tmp_path / "scan", np.zeros((3, 512, 512), np.uint16), spacing=(1, 0.810547, 0.810547),
        corner=(-235.2, -226.8, -129.69),
    )  # fmt: skip
    for file in files:
        series = source.ReferencedSeriesSequence[0].SeriesInstanceUID
        edit(file, FrameOfReferenceUID=source.FrameOfReferenceUID, SeriesInstanceUID=series)
    scan = only_series(tmp_path / "scan")
    with pytest.raises(LabelError, match="cut or damaged"):
        read(sample, scan, {5: "liver"})
    labels = read(path, scan, {5: "liver"})
    np.testing.assert_array_equal(labels[1] == 5, source.pixel_array)
    assert not labels[[0, 2]].any()


def test_points_are_no_regions(tmp_path):
    data = pydicom.dcmread(get_testdata_file("rtstruct.dcm"), force=True)
    data.save_as(tmp_path / "rt.dcm", enforce_file_format=True)
    assert names_in(tmp_path / "rt.dcm") == ["patient"]  # the isocentres are points


def test_a_folder_is_a_label_where_it_holds_one_file(tmp_path):
    path, series = written(tmp_path, "rtstruct")
    labels = tmp_path / "labels"
    (labels / "case").mkdir(parents=True)
    path.rename(labels / "case" / "RS")
    np.testing.assert_array_equal(read(labels / "case", series), blobs())
    assert label_files(labels) == ({"case": labels / "case" / "RS"}, [])
    other_object(labels / "case" / "more", RTStructureSetStorage)
    with pytest.raises(LabelError, match="holds 2 DICOM files"):
        names_in(labels / "case")
    files, (failure,) = label_files(labels)
    assert (files, failure.id) == ({}, "case")


def test_endings_are_no_part_of_the_id(tmp_path):
    for name in ("a.dcm", "b.seg.dcm", "c.rtstruct.dcm"):
        other_object(tmp_path / name, RTStructureSetStorage)
    assert sorted(label_files(tmp_path)[0]) == ["a", "b", "c"]
