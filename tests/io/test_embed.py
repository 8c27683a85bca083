"""Images as bytes: what a page carries is what it was given."""

from io import BytesIO

import imageio.v3 as imageio
import numpy as np

from segttt.io.embed import SMALL_BYTES, nifti_bytes, picture_bytes
from segttt.io.nifti import read_nifti

RANDOM = np.random.default_rng(0)


def test_a_nifti_comes_back_with_its_voxels_spacing_and_axes(tmp_path):
    voxels = RANDOM.integers(0, 256, (4, 5, 6), dtype=np.uint8)
    path = tmp_path / "one.nii.gz"
    path.write_bytes(nifti_bytes(voxels, (3.0, 2.0, 1.5)))
    back, grid = read_nifti(path)
    np.testing.assert_array_equal(back[0], voxels)
    assert grid.spacing_mm == (3.0, 2.0, 1.5)
    assert grid.direction == ((0, 0, 1), (0, 1, 0), (1, 0, 0))  # superior, posterior, left
    middle = grid.point_mm((1.5, 2.0, 2.5))
    np.testing.assert_allclose(middle, 0, atol=1e-6)


def test_equal_voxels_give_equal_bytes():
    voxels = RANDOM.integers(0, 9, (3, 3, 3), dtype=np.uint8)
    assert nifti_bytes(voxels, (1.0, 1.0, 1.0)) == nifti_bytes(voxels.copy(), (1.0, 1.0, 1.0))


def test_small_pictures_are_exact_and_large_ones_small():
    grey = RANDOM.integers(0, 256, (20, 30), dtype=np.uint8)
    content, media = picture_bytes(grey)
    assert media == "image/png"
    np.testing.assert_array_equal(imageio.imread(BytesIO(content)), grey)

    slope = np.add.outer(np.arange(300), np.arange(300)) / 2.4
    noisy = (slope[..., None] + RANDOM.normal(0, 4, (300, 300, 3))).clip(0, 255).astype(np.uint8)
    content, media = picture_bytes(noisy)
    assert media == "image/jpeg"
    assert len(content) < noisy.size / 4
    assert noisy.size > SMALL_BYTES
    back = imageio.imread(BytesIO(content)).astype(float)
    assert np.abs(back - noisy).mean() < 5
