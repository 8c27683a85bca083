"""What check_case says."""

import numpy as np
import pytest

from segttt.config.dataset import CaseFiles, Dataset
from segttt.io.check import (
    BYTES_PER_VOXEL,
    WARNING,
    case_of,
    check_case,
    undeclared_labels,
    working_bytes,
)
from segttt.io.volumes import read_volume


@pytest.fixture
def checked(save, voxels):
    """Write image and label and return what is found wrong with them."""

    def problems(label, image=voxels, **changes):
        files = CaseFiles(
            id="a",
            images=(str(save("a.nii.gz", image)),),
            label=str(save("labels/a.nii.gz", label)),
        )
        settings = {"name": "d", "layout": "plain", "channels": ("CT",), "labels": {1: "one"}}
        dataset = Dataset(**(settings | changes), cases=(files,))
        return check_case(files, dataset)

    return problems


def test_a_sound_case(checked, voxels):
    assert checked((voxels > 0).astype(np.uint8)) == []


def test_undeclared_values_with_their_counts(checked, voxels):
    label = np.zeros(voxels.shape, np.uint8)
    label[0, 0, :3], label[1, 0, 0], label[2, 2, 2] = 7, 9, 1
    (problem,) = checked(label)
    assert "7 (3 voxels), 9 (1 voxels)" in problem
    assert "labels/a.nii.gz" in problem
    assert "Declare" in problem
    assert checked(label, instances=True) == []
    assert checked(label, labels={}) == []


def test_a_label_on_another_grid(checked):
    (problem,) = checked(np.zeros((5, 6, 8), np.uint8))
    assert "does not lie on the grid of" in problem


def test_wrong_number_of_channels(checked, voxels):
    (problem,) = checked(np.ones(voxels.shape, np.uint8), channels=("CT", "PET"))
    assert "hold 1 channels where 2 are expected" in problem


def test_warnings(checked, voxels):
    empty, constant = checked(np.zeros(voxels.shape, np.uint8)), None
    assert len(empty) == 1
    assert empty[0].startswith(WARNING)
    assert "background only" in empty[0]
    constant = checked(np.ones(voxels.shape, np.uint8), image=np.full(voxels.shape, 5, np.int16))
    assert constant[0].endswith("channel CT is 5 everywhere.")


def test_undeclared_labels_of_a_volume(save, voxels):
    files = CaseFiles(id="a", images=(str(save("a.nii.gz", voxels)),))
    dataset = Dataset(name="d", layout="plain", channels=("CT",), labels={1: "one"}, cases=(files,))
    assert undeclared_labels(read_volume(case_of(files), 1), dataset) == []


def test_what_a_case_takes_is_known_from_headers(save, voxels, tmp_path):
    two = tuple(str(save(f"a_{i}.nii.gz", voxels)) for i in range(2))
    assert working_bytes(CaseFiles(id="a", images=two)) == 2 * voxels.size * BYTES_PER_VOXEL
    (tmp_path / "series").mkdir()
    for name, size in (("1", 300), ("2", 500)):
        (tmp_path / "series" / name).write_bytes(bytes(size))
    series = CaseFiles(id="s", images=(str(tmp_path / "series"),))
    assert working_bytes(series) == 800 * BYTES_PER_VOXEL


@pytest.mark.parametrize("content", [b"", b"\x1f\x8bcut", b"no header at all"])
def test_what_cannot_be_read_takes_nothing(tmp_path, content):
    (tmp_path / "x.nii.gz").write_bytes(content)
    for name in ("x.nii.gz", "absent.nii.gz"):
        assert working_bytes(CaseFiles(id="x", images=(str(tmp_path / name),))) == 0
