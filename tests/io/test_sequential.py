"""Source files are read from begin to end, once per pass: what a network drive is fast at."""

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import SimpleITK as sitk

from segttt.cases import Case
from segttt.io.nifti import READ_AHEAD
from segttt.io.volumes import read_volume
from tests.io.dicom.written import write_series
from tests.io.recorded import record

COUNTERS = Path("/proc/self/io")
SHAPE = (48, 160, 176)


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """The reads of every file of the test that Python opens."""
    return record(tmp_path, monkeypatch)


def slices():
    """Of the size that scanners make, beside which headers are small."""
    return np.random.default_rng(0).integers(0, 2000, (4, 512, 512)).astype(np.uint16)


def noise():
    return np.random.default_rng(0).integers(-900, 900, SHAPE).astype(np.int16)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_nifti_file_is_read_once_from_begin_to_end_in_large_parts(save, opened, name):
    label = save(f"label_{name}", (noise() > 0).astype(np.uint8))
    case = Case("a", (save(name, noise()),), label)
    opened.clear()
    read_volume(case, 1)
    assert set(opened) == {name, label.name}
    for path in (case.images[0], label):
        ((*parts,),) = opened[path.name]
        size = path.stat().st_size
        places = np.cumsum([0, *(got for _, got in parts)])
        assert [place for place, _ in parts] == places[:-1].tolist()
        assert places[-1] == size
        assert len(parts) <= 2 + size / (READ_AHEAD / 4)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("a.nii", 1.2),
        ("a.nii.gz", 1.2),
        ("plain.mha", 1.2),
        ("a.mha", 2.2),  # a checksum that ITK does not look at, then the voxels
        ("a.nrrd", 2.2),
        ("series", 1.2),
        ("a.png", 1.2),
        ("a.jpg", 1.2),
        ("a.tif", 1.2),
    ],
)
def test_the_bytes_of_a_source_are_read_about_once(save, tmp_path, name, most):
    if not COUNTERS.is_file():
        pytest.skip("this system does not count the bytes that a process reads")
    path = written(name, save, tmp_path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    case = Case("a", (path,))
    read_volume(case, 1)  # what is imported late is imported now
    before = bytes_read()
    read_volume(case, 1)
    assert bytes_read() - before <= most * sum(file.stat().st_size for file in files) + 2000


def written(name, save, folder):
    """A source of about 2 MB, or one of a few hundred kB where it is a picture."""
    path = folder / name
    if name == "series":
        write_series(path, slices())
    elif name.startswith("plain"):
        sitk.WriteImage(sitk.GetImageFromArray(noise()), str(path), useCompression=False)
    elif path.suffix in (".png", ".jpg", ".tif"):
        pixels = np.random.default_rng(0).integers(0, 255, (600, 500)).astype(np.uint8)
        imageio.imwrite(path, pixels)
    else:
        return save(name, noise())
    return path


def bytes_read():
    """By this process, whatever read them."""
    facts = dict(line.split(": ") for line in COUNTERS.read_text().splitlines())
    return int(facts["rchar"])


def test_a_file_of_a_dicom_series_is_read_whole_once(tmp_path, opened):
    files = write_series(tmp_path / "series", slices())
    opened.clear()
    read_volume(Case("a", (tmp_path / "series",)), 1)
    for path in files:
        read = [sum(got for _, got in parts) for parts in opened[path.name]]
        assert len(read) <= 6
        assert sorted(read)[-1] == path.stat().st_size
        assert sum(read) <= 1.2 * path.stat().st_size
