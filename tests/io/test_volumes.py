"""Cases into the canonical orientation and segmentations back onto the file's grid."""

import imageio.v3 as imageio
import numpy as np
import pytest
import SimpleITK as sitk

from segttt.cases import Case
from segttt.errors import GeometryError, ImageError
from segttt.geometry.grid import Grid
from segttt.io.volumes import (
    map_name,
    read_labels,
    read_volume,
    segmentation_name,
    to_segmentation,
    write_map,
    write_segmentation,
)

STRAIGHT = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def test_a_scan_goes_to_the_canonical_axes_and_its_segmentation_back(save, any_direction, tmp_path):
    """In all 48 orientations; the numbers of the header's geometry are those of the source."""
    direction = tuple(map(tuple, any_direction.tolist()))
    grid = Grid((5, 6, 7), (3.0, 0.75, 1.5), (-12.5, 40.25, 7.0), direction)
    label = np.zeros((5, 6, 7), np.uint8)
    label[1, 2:4, 3], label[4, 0, :2] = 4, 9
    image = label.astype(np.float32) * 100 + np.arange(7)
    case = Case("a", (save("a_0000.nii", image, grid),), save("label.nii", label, grid))
    volume = read_volume(case, 1)
    np.testing.assert_allclose(volume.grid.direction, STRAIGHT)
    for value in (4, 9):  # labelled voxels lie where they lay in the file
        places = [
            sorted(g.point_mm(tuple(i)) for i in np.argwhere(array == value).tolist())
            for g, array in ((volume.grid, volume.label), (volume.source, label))
        ]
        np.testing.assert_allclose(*places, atol=1e-9)
    assert ((volume.image[0] >= 400) == (volume.label > 0)).all()
    classes = np.searchsorted([0, 4, 9], volume.label).astype(np.uint8)
    path = tmp_path / segmentation_name(case)
    write_segmentation(path, to_segmentation(classes, volume, {4: "four", 9: "nine"}))
    found, place = read_labels(path)
    np.testing.assert_array_equal(found, label)
    assert place.difference(volume.source) is None
    header, source = path.read_bytes(), case.label.read_bytes()
    assert header[:76] == source[:76]
    for first, last in ((76, 108), (256, 328)):  # pixdim; quaternion, shift and sform; 0 equals -0
        numbers = [np.frombuffer(one[first:last], "<f4") for one in (header, source)]
        np.testing.assert_array_equal(*numbers)


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
def test_every_format_returns(save, voxels, tmp_path, ending):
    case = Case("a", (save(f"a.{ending}", voxels),))
    volume = read_volume(case, 1)
    assert volume.label is None
    classes = (volume.image[0] > 0).astype(np.uint8)
    path = tmp_path / "out" / segmentation_name(case)
    path.parent.mkdir()
    write_segmentation(path, to_segmentation(classes, volume, {300: "bone"}))
    found, grid = read_labels(path)
    np.testing.assert_array_equal(found, (voxels > 0) * 300)
    assert grid.difference(volume.source) is None
    assert sitk.ReadImage(str(path)).GetPixelID() == sitk.sitkUInt16


def test_channels_in_files_of_their_own(save, voxels):
    case = Case("a", tuple(save(f"a_{i:04d}.nii.gz", voxels + i) for i in range(3)))
    image = read_volume(case, 3).image
    assert image.shape[0] == 3
    np.testing.assert_array_equal(image[2] - image[0], 2)
    with pytest.raises(ImageError, match="hold 3 channels where 2 are expected"):
        read_volume(case, 2)


def test_files_on_different_grids_are_refused_by_name(save, voxels):
    moved = Grid(voxels.shape, (3.0, 0.75, 1.5), (0.0, 0.0, 5.0), STRAIGHT)
    images = (save("a_0000.nii.gz", voxels), save("a_0001.nii.gz", voxels, moved))
    with pytest.raises(GeometryError, match=r"a_0001.*a_0000.*mm apart"):
        read_volume(Case("a", images), 2)
    label = save("label.nii.gz", np.zeros((5, 6, 8), np.uint8))
    with pytest.raises(GeometryError, match=r"label\.nii\.gz.*a_0000.*shape"):
        read_volume(Case("a", images[:1], label), 1)
    assert read_volume(Case("a", images[:1], label), 1, label=False).label is None


def test_pictures(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (12, 10, 3)).astype(np.uint8)
    label = (colours[..., 0] > 99).astype(np.uint8)
    imageio.imwrite(tmp_path / "a.jpg", colours)
    imageio.imwrite(tmp_path / "label.png", label)
    case = Case("a", (tmp_path / "a.jpg",), tmp_path / "label.png")
    volume = read_volume(case, 3)
    assert volume.image.shape == (3, 1, 12, 10)
    np.testing.assert_array_equal(volume.label[0], label)
    path = tmp_path / segmentation_name(case)
    assert path.name == "a.png"
    write_segmentation(path, to_segmentation(volume.label.astype(np.uint8), volume, {255: "polyp"}))
    np.testing.assert_array_equal(imageio.imread(path), label * 255)


def test_pictures_of_different_size_are_refused(tmp_path):
    imageio.imwrite(tmp_path / "a.png", np.zeros((12, 10), np.uint8))
    imageio.imwrite(tmp_path / "label.png", np.zeros((10, 12), np.uint8))
    with pytest.raises(GeometryError, match=r"label\.png"):
        read_volume(Case("a", (tmp_path / "a.png",), tmp_path / "label.png"), 1)


def test_maps_of_pictures_are_tiffs(tmp_path):
    values = np.random.default_rng(0).random((1, 6, 7)).astype(np.float32)
    picture = tmp_path / "p.png"
    imageio.imwrite(picture, np.zeros((6, 7, 3), np.uint8))
    volume = read_volume(Case("p", (picture,)), None)
    assert map_name(volume.case) == "p.tif"
    write_map(tmp_path / "p.tif", values, volume)
    np.testing.assert_array_equal(imageio.imread(tmp_path / "p.tif"), values[0])
