"""Scans and label maps in every volume format."""

import os

import numpy as np
import pytest
import SimpleITK as sitk

from segttt.errors import GeometryError, ImageError, LabelError, ResourceError
from segttt.geometry.grid import Grid
from segttt.io import itk
from segttt.io.images import read_image, read_label_image, write_image

ENDINGS = ["nii", "nii.gz", "nrrd", "mha"]


def turned_about(axis, degrees, shape):
    """The canonical grid turned in the patient."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    rows = tuple(tuple(float(v) for v in row) for row in (np.eye(3)[::-1] @ turn))
    return Grid(shape, (3.0, 0.7, 0.7), (-101.5, 32.25, -900.0), rows)


def oblique(shape):
    return turned_about((1.0, -2.0, 0.5), 23.0, shape)


@pytest.mark.parametrize("ending", ENDINGS)
def test_voxels_and_oblique_grid_survive(save, voxels, ending):
    grid = oblique(voxels.shape)
    image, found = read_image(save(f"scan.{ending}", voxels, grid))
    np.testing.assert_array_equal(image[0], voxels)
    assert image.dtype == np.float32
    assert found.difference(grid) is None
    np.testing.assert_allclose(found.direction, grid.direction, atol=1e-5)
    np.testing.assert_allclose(found.origin_mm, grid.origin_mm, atol=1e-3)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_truncated_files_are_refused(tmp_path, voxels, ending, compressed):
    path = tmp_path / f"scan.{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path), compressed)
    content = path.read_bytes()
    for share in (0.02, 0.5, 0.8, 0.99):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ImageError, match=rf"scan\.{ending}"):
            read_image(path)


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_flipped_bytes_of_compressed_voxels_are_refused(tmp_path, voxels, ending):
    path = tmp_path / f"scan.{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path), True)
    content = path.read_bytes()
    for place in range(len(content) - 300, len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=rf"scan\.{ending}"):
            read_image(path)


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_nan_is_refused(save, ending):
    array = np.ones((3, 4, 5), np.float32)
    array[1, 2, 3] = np.nan
    path = save(f"scan.{ending}", np.ones_like(array))
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    with pytest.raises(ImageError, match="holds 1 voxels that are NaN"):
        read_image(path)


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
@pytest.mark.parametrize("kind", [sitk.sitkVectorUInt8, sitk.sitkComplexFloat32])
def test_colours_and_complex_numbers_are_refused(tmp_path, ending, kind):
    path = tmp_path / f"scan.{ending}"
    components = 3 if kind == sitk.sitkVectorUInt8 else 0
    image = sitk.Image((5, 4, 3), kind, components)
    sitk.WriteImage(image, str(path))
    with pytest.raises(ImageError, match="one real number"):
        read_image(path)


def test_a_sheared_nrrd_is_refused(save, voxels):
    path = save("scan.nrrd", voxels)
    content = path.read_bytes().replace(b"(0,0.75,0)", b"(0.3,0.75,0)")
    path.write_bytes(content)
    with pytest.raises((GeometryError, ImageError), match=r"scan\.nrrd"):
        read_image(path)


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_flat_and_four_dimensional_files(tmp_path, ending):
    path = tmp_path / f"scan.{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(12, dtype=np.int16).reshape(3, 4)), str(path))
    image, grid = read_image(path)
    assert image.shape == (1, 1, 3, 4)
    assert grid.shape == (1, 3, 4)
    parts = [sitk.GetImageFromArray(np.full((2, 3, 4), i, np.int16)) for i in range(3)]
    sitk.WriteImage(sitk.JoinSeries(parts), str(path))
    image, _ = read_image(path)
    assert [float(channel.mean()) for channel in image] == [0, 1, 2]


def test_labels_are_whole_numbers(save):
    array = np.arange(24).reshape(2, 3, 4)
    for kind in ("u1", "f4", "f8", "i8"):
        labels, _ = read_label_image(save("label.nii.gz", array.astype(kind)))
        assert labels.dtype == np.int16
        np.testing.assert_array_equal(labels, array)
    labels, _ = read_label_image(save("label.nii.gz", (array + 70_000).astype("u4")))
    assert labels.dtype == np.int32
    assert labels.max() == 70_023


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.5, "no whole numbers, such as 1.5"), (-1.0, "from -1"), (3e9, "3e\\+09")],
)
def test_other_values_are_refused(save, value, words):
    array = np.zeros((2, 3, 4))
    array[1, 1, 1] = value
    with pytest.raises(LabelError, match=rf"label\.nii\.gz: .*{words}"):
        read_label_image(save("label.nii.gz", array))


def test_nan_in_a_label_is_refused(save):
    path = save("label.nii", np.zeros((2, 3, 4), np.float32))
    content = bytearray(path.read_bytes())
    content[352:356] = np.float32(np.nan).tobytes()
    path.write_bytes(content)
    with pytest.raises(LabelError, match="no whole numbers"):
        read_label_image(path)


def test_a_label_has_one_channel(tmp_path):
    part = sitk.GetImageFromArray(np.zeros((2, 3, 4), np.uint8))
    path = tmp_path / "label.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([part, part]), str(path))
    with pytest.raises(LabelError, match="2 channels"):
        read_label_image(path)


def test_a_silently_cut_file_is_noticed_and_the_old_one_kept(save, voxels, monkeypatch):
    path = save("scan.nii.gz", voxels)
    before = path.read_bytes()
    write = sitk.WriteImage

    def on_a_full_disk(image, name, **options):
        write(image, name, **options)
        os.truncate(name, 200)

    monkeypatch.setattr(itk.sitk, "WriteImage", on_a_full_disk)
    with pytest.raises(ResourceError, match=r"scan\.nii\.gz: cannot be written"):
        write_image(path, voxels + 1, oblique(voxels.shape))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["scan.nii.gz"]


def test_writing_twice_gives_the_same_bytes(save, voxels):
    first = save("a.nii.gz", voxels).read_bytes()
    assert save("b.nii.gz", voxels).read_bytes() == first


def test_no_oblique_scan_is_refused_for_round_off(save):
    """Quaternions in float32 lose digits where a scan is nearly turned by half, as all LPS ones."""
    random = np.random.default_rng(5)
    array = np.zeros((2, 3, 4), np.uint8)
    for degrees in np.geomspace(1e-4, 45, 40):
        grid = turned_about(random.normal(size=3), float(degrees), array.shape)
        _, found = read_image(save("scan.nii", array, grid))
        np.testing.assert_allclose(found.direction, grid.direction, atol=1e-6)
