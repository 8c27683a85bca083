"""Images to segment."""

import pytest

from segttt.errors import LayoutError
from segttt.io.layouts.inputs import list_inputs


@pytest.fixture
def touch(tmp_path):
    def made(*names):
        for name in names:
            (tmp_path / name).write_bytes(b"")
        return tmp_path

    return made


def ids(folder, channels):
    cases, failures = list_inputs(folder, channels)
    return {case.id: [path.name for path in case.images] for case in cases}, failures


def test_a_folder_of_scans(touch):
    folder = touch("b.nii.gz", "a_0000.nii", "c d.nrrd", ".DS_Store", "dataset.json")
    found, failures = ids(folder, 1)
    assert found == {"a": ["a_0000.nii"], "b": ["b.nii.gz"], "c d": ["c d.nrrd"]}
    assert failures == []
    assert all(case.images[0].is_absolute() for case in list_inputs(folder, 1)[0])


def test_one_file(touch):
    folder = touch("a_0000.nii.gz", "b.nii.gz")
    cases, _ = list_inputs(folder / "a_0000.nii.gz", 1)
    assert [(case.id, case.label) for case in cases] == [("a", None)]


def test_channels_are_grouped_and_missing_ones_named(touch):
    folder = touch("a_0000.nii.gz", "a_0001.nii.gz", "b_0001.nii.gz", "whole.nii.gz")
    found, failures = ids(folder, 2)
    assert found == {"a": ["a_0000.nii.gz", "a_0001.nii.gz"], "whole": ["whole.nii.gz"]}
    assert [(failure.id, failure.stage) for failure in failures] == [("b", "layout")]
    assert "lacks b_0000" in failures[0].reason


def test_frames_of_a_film_keep_their_names(touch):
    folder = touch(*(f"frame_{i:04d}.png" for i in (0, 1, 5)))
    found, failures = ids(folder, 1)
    assert list(found) == ["frame_0000", "frame_0001", "frame_0005"]
    assert failures == []


def test_two_files_of_one_name(touch):
    found, failures = ids(touch("a.nii", "a.nii.gz", "b.nii"), 1)
    assert list(found) == ["b"]
    assert failures[0].id == "a"


@pytest.mark.parametrize("name", ["a b ü.png", "-rf.png", "x.y.nii.gz"])
def test_odd_names(touch, name):
    found, _ = ids(touch(name), 1)
    assert list(found.values()) == [[name]]


def test_nothing_to_segment(touch):
    folder = touch("notes.txt")
    with pytest.raises(LayoutError, match="holds no image"):
        list_inputs(folder, 1)
    with pytest.raises(LayoutError, match=r"notes\.txt: is no image"):
        list_inputs(folder / "notes.txt", 1)
    with pytest.raises(LayoutError, match="does not exist"):
        list_inputs(folder / "none", 1)
