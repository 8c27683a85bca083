"""Folders from scanners: sorted into series, the rest counted."""

import shutil

import numpy as np
import pytest
from pydicom.uid import RTStructureSetStorage, SegmentationStorage

from segttt.errors import DataError, UsageError
from segttt.io.dicom.select import select
from segttt.io.dicom.study import only_series, read_series, read_study, usable_files
from tests.io.dicom.written import canary, edit, other_object, voxels, write_series


def test_a_mixed_folder_of_any_depth(tmp_path):
    first = write_series(tmp_path / "a" / "deep" / "scan", number=1)
    write_series(tmp_path / "b" / "scan", voxels((4, 5, 5)), number=2)
    other_object(tmp_path / "b" / "seg", SegmentationStorage)
    other_object(tmp_path / "b" / "rt", RTStructureSetStorage)
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "preview.jpg").write_bytes(b"no picture")
    (tmp_path / "outside").symlink_to("/etc")
    (tmp_path / "passwd").symlink_to("/etc/passwd")
    shutil.copy(first[0], tmp_path / "a" / "copy")
    study = read_study(tmp_path)
    assert [one.id for one in study.series] == ["a", "scan"]
    assert [one.grid.shape for one in study.series] == [(6, 7, 9), (4, 5, 5)]
    assert dict(study.skipped) == {
        "Segmentation": 1, "RT Structure Set": 1, "other file": 1, "link out of the folder": 2,
        "copy of a slice": 1,
    }  # fmt: skip


def test_ids_come_from_folders_then_paths_then_numbers(tmp_path):
    for place, number in (("x/scan", 1), ("y/scan", 1), ("Müller, Ö", 1)):
        write_series(tmp_path / place, number=number)
    for index, number in enumerate((4, 5, 5)):
        uid = f"1.2.{number}.{index}"
        folder = tmp_path / "mixed"
        files = write_series(tmp_path / "new", number=number, uid=uid)
        folder.mkdir(exist_ok=True)
        for path in files:
            path.rename(folder / f"{uid}-{path.name}")
    found = [one.id for one in read_study(tmp_path).series]
    assert found == [
        "M-ller", "mixed_series4", "mixed_series5", "mixed_series5_2", "x_scan", "y_scan",
    ]  # fmt: skip


def test_hostile_tags_never_become_names(tmp_path):
    for index, path in enumerate(write_series(tmp_path / "..hidden", uid="../../etc/pwned")):
        edit(path, SeriesDescription="../../up", SOPInstanceUID=f"../{index}")
    (series,) = read_study(tmp_path).series
    assert series.id == "hidden"
    assert series.grid is not None


def test_scouts_in_the_same_series_are_split_off(tmp_path):
    write_series(tmp_path, uid="1.2.3")
    write_series(tmp_path / "s", voxels((1, 7, 9)), uid="1.2.3", axes=((0, 1, 0), (0, 0, -1)))
    write_series(tmp_path / "t", voxels((1, 12, 12)), uid="1.2.3")
    for folder in ("s", "t"):
        for path in (tmp_path / folder).iterdir():
            _same_study(path, next(tmp_path.glob("IM*")))
    study = read_study(tmp_path)
    assert [one.grid.shape for one in study.series] == [(6, 7, 9)]
    assert study.skipped["scout or localiser"] == 2


def _same_study(path, other):
    import pydicom

    edit(path, StudyInstanceUID=pydicom.dcmread(other).StudyInstanceUID)


@pytest.mark.parametrize("keyword", ["EchoNumbers", "AcquisitionNumber", "DiffusionBValue"])
def test_echoes_and_b_values_are_split_where_a_tag_says_so(tmp_path, keyword):
    one, two = voxels(), voxels()[::-1].copy()
    for value, array in ((1, one), (2, two)):
        folder = tmp_path / str(value)
        for path in write_series(folder, array, uid="1.2.3"):
            edit(path, StudyInstanceUID="1.2", **{keyword: value})
    found = read_study(tmp_path).series
    assert len(found) == 2
    for series, array in zip(found, (one, two), strict=True):
        np.testing.assert_array_equal(read_series(series.files)[0][0], array)


def test_empty_uids_keep_a_folder_together(tmp_path):
    for name in ("a", "b"):
        for path in write_series(tmp_path / name):
            edit(path, SOPClassUID="", SOPInstanceUID="", StudyInstanceUID="", SeriesInstanceUID="")
    assert [one.id for one in read_study(tmp_path).series if one.grid] == ["a", "b"]


def test_two_files_that_claim_to_be_one_slice(tmp_path):
    files = write_series(tmp_path / "scan")
    for path in files[:2]:
        edit(path, SOPInstanceUID="1.2.3")
    (series,) = read_study(tmp_path).series
    assert "claims to be the same slice" in (series.problem or "")


def test_slices_of_several_sizes_are_refused(tmp_path):
    write_series(tmp_path, voxels((3, 7, 9)), uid="1.2.3")
    write_series(tmp_path / "n", voxels((3, 8, 9)), uid="1.2.3", corner=(-30.5, 12.25, 107.5))
    for path in (tmp_path / "n").iterdir():
        _same_study(path, next(tmp_path.glob("IM*")))
    shapes = {one.grid.shape for one in read_study(tmp_path).series}
    assert shapes == {(3, 7, 9), (3, 8, 9)}
    with pytest.raises(DataError, match="one DICOM series, found 2"):
        only_series(tmp_path)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.95, 0.999])
def test_a_cut_slice_is_named(tmp_path, share):
    files = write_series(tmp_path)
    content = files[2].read_bytes()
    files[2].write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=files[2].name):
        read_series(usable_files(tmp_path))


def test_headers_without_pixels_are_refused(tmp_path):
    for path in write_series(tmp_path):
        edit(path, PixelData=None)
    with pytest.raises(DataError, match="holds no pixels"):
        read_series(usable_files(tmp_path))


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        ([], ["a", "b"]),
        (["a"], ["a"]),
        (["2"], ["b"]),
        (["modality=mr"], ["a", "b"]),
        (["description=zq*", "number=1"], ["a"]),
        (["uid=1.2.7"], ["a"]),
    ],
)
def test_series_are_chosen(tmp_path, conditions, ids):
    write_series(tmp_path / "a", number=1, uid="1.2.7")
    write_series(tmp_path / "b", number=2)
    series = read_study(tmp_path).series
    assert series[0].description == canary("SeriesDescription")
    assert [one.id for one in select(series, conditions)] == ids


@pytest.mark.parametrize("condition", ["c", "9", "modality=CT", "colour=red"])
def test_choosing_nothing_is_a_usage_error(tmp_path, condition):
    write_series(tmp_path / "a")
    with pytest.raises(UsageError, match=r"--series"):
        select(read_study(tmp_path).series, [condition])
