"""Series as volumes: the same voxels in the same place as SimpleITK's, where that one is right."""

import numpy as np
import pytest
import SimpleITK as sitk

from segttt.errors import GeometryError
from segttt.io.dicom.study import read_series, read_study, usable_files
from tests.io.dicom.written import edit, voxels, write_series


def _turned(degrees, about):
    a, b = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = {0: [[1, 0, 0], [0, a, -b], [0, b, a]], 2: [[a, -b, 0], [b, a, 0], [0, 0, 1]]}[about]
    return tuple(tuple(row) for row in (np.array(matrix) @ np.eye(3)[:, :2]).T)


PLANES = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "negated columns": ((1, 0, 0), (0, -1, 0)),
    "feet first": ((-1, 0, 0), (0, 1, 0)),
    "oblique": _turned(23, 0),
    "turned in plane": _turned(-40, 2),
}


@pytest.mark.parametrize("axes", PLANES.values(), ids=PLANES.keys())
def test_equals_simpleitk(tmp_path, axes):
    array = voxels()
    files = write_series(tmp_path, array, axes=axes)
    image, grid = read_series(usable_files(tmp_path))
    reference = sitk.ReadImage([str(path) for path in files])
    np.testing.assert_array_equal(image[0], array)
    np.testing.assert_array_equal(image[0], sitk.GetArrayFromImage(reference))
    np.testing.assert_allclose(grid.spacing_mm[::-1], reference.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(grid.origin_mm, reference.GetOrigin(), atol=1e-6)
    direction = np.array(grid.direction)[::-1].T.ravel()
    np.testing.assert_allclose(direction, reference.GetDirection(), atol=1e-6)
    assert grid.spacing_mm[0] == pytest.approx(2.5)  # SliceThickness says 99


def test_rescale_of_each_slice(tmp_path):
    array = voxels()
    files = write_series(tmp_path, array)
    for index, path in enumerate(files):
        edit(path, RescaleSlope=1 + index, RescaleIntercept=-1024.5)
    expected = array * np.arange(1, 7)[:, None, None] - 1024.5
    np.testing.assert_allclose(read_series(usable_files(tmp_path))[0][0], expected)


def test_positions_with_one_decimal_are_regular(tmp_path):
    for index, path in enumerate(write_series(tmp_path, spacing=(1.25, 1, 1), corner=(0, 0, 0))):
        edit(path, ImagePositionPatient=[0, 0, round(1.25 * index, 1)])
    assert read_series(usable_files(tmp_path))[1].spacing_mm[0] == pytest.approx(1.25, abs=0.02)


def _gap(files):
    files[2].unlink()


def _tilt(files):
    for index, path in enumerate(files):
        edit(path, ImagePositionPatient=[0, float(index), 2.5 * index])


def _twice(files):
    edit(files[3], ImagePositionPatient=[-30.5, 12.25, 105.0])


def _uneven(files):
    edit(files[3], ImagePositionPatient=[-30.5, 12.25, 107.9])


def _rotating(files):
    for index, path in enumerate(files):
        edit(path, ImageOrientationPatient=list(np.ravel(_turned(10 * index, 2))))


def _every(**tags):
    def change(files):
        for path in files:
            edit(path, **tags)

    return change


def _first(**tags):
    def change(files):
        edit(files[0], **tags)

    return change


def _single(files):
    for path in files[1:]:
        path.unlink()


BROKEN = {
    "gap": (_gap, r"gap of 5 mm where its slices are 2\.5 mm apart; 1 of 6 slices are missing"),
    "tilt": (_tilt, "sideways by 5 mm in all, as by a tilted gantry.*--correct-tilt"),
    "twice": (_twice, "1 of 6 slices lie where another one lies.*Keep one"),
    "uneven": (_uneven, "2.1 to 2.9 mm apart.*--resample-nonuniform"),
    "rotating": (_rotating, "turned against each other"),
    "single": (_single, "a single slice"),
    "no spacing": (_every(PixelSpacing=None), "PixelSpacing is missing .* 6 of 6 slices"),
    "no position": (_first(ImagePositionPatient=None), "ImagePositionPatient .* 1 of 6 slices"),
    "no axes": (_every(ImageOrientationPatient=None), "ImageOrientationPatient is missing"),
    "short position": (_first(ImagePositionPatient=[1, 2]), "ImagePositionPatient .* 1 of 6"),
    "zero spacing": (_every(PixelSpacing=[0, 1]), "PixelSpacing is from 0"),
    "other spacing": (_first(PixelSpacing=[2, 2]), "PixelSpacing is from"),
    "skewed": (_every(ImageOrientationPatient=[1, 0, 0, 0.5, 0.8, 0]), "right-angled"),
    "mosaic": (_every(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "mosaics.*dcm2niix"),
    "long axes": (_every(ImageOrientationPatient=[2, 0, 0, 0, 1, 0]), "right-angled"),
}


@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_regular_volume_is_refused(tmp_path, change, words):
    folder = tmp_path / "scan"
    change(write_series(folder))
    with pytest.raises(GeometryError, match=rf"scan: .*{words}"):
        _read(folder)


def _read(folder):
    (series,) = read_study(folder).series
    raise GeometryError(series.problem or "nothing is wrong")
