"""PNG, JPEG, TIFF and BMP."""

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image

from segttt.errors import ImageError, LabelError
from segttt.io.pictures import picture_grid, read_label_picture, read_picture, write_label_picture

RANDOM = np.random.default_rng(3)
COLOURS = RANDOM.integers(0, 255, (40, 50, 3)).astype(np.uint8)
LOSSLESS = ["png", "tif", "tiff", "bmp"]


@pytest.mark.parametrize("ending", LOSSLESS)
def test_colours_become_channels(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    imageio.imwrite(path, COLOURS)
    image = read_picture(path, 3)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[:, 0], np.moveaxis(COLOURS, 2, 0))
    np.testing.assert_array_equal(read_picture(path, None), image)


def test_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    imageio.imwrite(path, np.full((16, 24, 3), (200, 90, 30), np.uint8))
    image = read_picture(path, 3)
    assert image.shape == (3, 1, 16, 24)
    np.testing.assert_allclose(image.mean((1, 2, 3)), (200, 90, 30), atol=2)


def test_alpha_is_dropped_and_grey_repeated_or_folded(tmp_path):
    path = tmp_path / "a.png"
    alpha = np.full((40, 50, 1), 255, np.uint8)
    imageio.imwrite(path, np.concatenate([COLOURS, alpha], 2))
    np.testing.assert_array_equal(read_picture(path, 3)[:, 0], np.moveaxis(COLOURS, 2, 0))
    grey = COLOURS[..., :1]
    imageio.imwrite(path, grey[..., 0])
    assert read_picture(path, 1).shape == (1, 1, 40, 50)
    np.testing.assert_array_equal(read_picture(path, 3)[2, 0], grey[..., 0])
    imageio.imwrite(path, np.concatenate([grey, grey, grey, alpha], 2))
    np.testing.assert_array_equal(read_picture(path, 1)[0, 0], grey[..., 0])
    Image.merge("LA", [Image.fromarray(grey[..., 0]), Image.fromarray(alpha[..., 0])]).save(path)
    np.testing.assert_array_equal(read_picture(path, 1)[0, 0], grey[..., 0])


def test_colours_are_no_single_channel(tmp_path):
    path = tmp_path / "a.png"
    imageio.imwrite(path, COLOURS)
    with pytest.raises(ImageError, match="3 channels where 1 are expected"):
        read_picture(path, 1)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    deep = RANDOM.integers(0, 65535, (9, 8)).astype(np.uint16)
    imageio.imwrite(path, deep)
    np.testing.assert_array_equal(read_picture(path, 1)[0, 0], deep)


def test_sixteen_bit_colours(tmp_path):
    deep = RANDOM.integers(0, 65535, (9, 8, 3)).astype(np.uint16)
    path = tmp_path / "a.tif"
    imageio.imwrite(path, deep)
    np.testing.assert_array_equal(read_picture(path, 3)[1, 0], deep[..., 1])
    import SimpleITK as sitk

    path = tmp_path / "a.png"
    sitk.WriteImage(sitk.GetImageFromArray(deep, isVector=True), str(path))
    with pytest.raises(ImageError, match="16-bit colours"):
        read_picture(path, 3)


@pytest.mark.parametrize("ending", [*LOSSLESS, "jpg"])
def test_truncated_files_are_refused(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    imageio.imwrite(path, COLOURS)
    content = path.read_bytes()
    for cut in [1, 2, 5, 12, *range(20, len(content), len(content) // 20), len(content)]:
        path.write_bytes(content[:-cut])
        with pytest.raises(ImageError, match=rf"a\.{ending}"):
            read_picture(path, 3)


def test_every_flipped_byte_of_a_png_is_refused(tmp_path):
    path = tmp_path / "a.png"
    imageio.imwrite(path, COLOURS[:12, :12])
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r"a\.png"):
            read_picture(path, 3)


def test_stacks_and_printing_colours_are_refused(tmp_path):
    stack = tmp_path / "a.tif"
    imageio.imwrite(stack, np.zeros((7, 40, 50), np.uint8))
    with pytest.raises(ImageError, match="no single picture"):
        read_picture(stack, 1)
    path = tmp_path / "a.jpg"
    Image.fromarray(COLOURS).convert("CMYK").save(path)
    with pytest.raises(ImageError, match="CMYK"):
        read_picture(path, 3)


def test_nan_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    imageio.imwrite(path, np.array([[1.0, np.nan]], np.float32))
    with pytest.raises(ImageError, match="NaN"):
        read_picture(path, 1)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_labels_survive(tmp_path, ending, kind):
    labels = RANDOM.integers(0, np.iinfo(kind).max, (1, 9, 8)).astype(kind)
    path = tmp_path / f"a.{ending}"
    write_label_picture(path, labels)
    np.testing.assert_array_equal(read_label_picture(path), labels)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_label_pictures_in_other_modes(tmp_path):
    path = tmp_path / "a.png"
    indices = RANDOM.integers(0, 4, (9, 8)).astype(np.uint8)
    palette = Image.fromarray(indices, mode=None).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 9])
    palette = Image.frombytes("P", (8, 9), indices.tobytes())
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 9])
    palette.save(path)
    np.testing.assert_array_equal(read_label_picture(path)[0], indices)
    Image.fromarray(indices > 1).save(path)
    np.testing.assert_array_equal(read_label_picture(path)[0], indices > 1)
    imageio.imwrite(path, np.stack([indices] * 3, 2))
    np.testing.assert_array_equal(read_label_picture(path)[0], indices)


def test_labels_that_cannot_be(tmp_path):
    path = tmp_path / "a.png"
    imageio.imwrite(path, COLOURS)
    with pytest.raises(LabelError, match="coloured"):
        read_label_picture(path)
    with pytest.raises(LabelError, match="JPEG changes"):
        read_label_picture(tmp_path / "a.jpg")
    with pytest.raises(LabelError, match="up to 65535"):
        write_label_picture(path, np.full((1, 2, 2), 70_000, np.uint32))


def test_grid():
    grid = picture_grid(3, 5)
    assert grid.shape == (1, 3, 5)
    assert grid.spacing_mm == (1, 1, 1)
    assert grid.point_mm((0, 2, 4)) == (4, 2, 0)


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 3)])
def test_lzw_is_read_and_pages_are_refused(tmp_path, shape):
    path = tmp_path / "x.tif"
    array = np.random.default_rng(2).integers(0, 255, shape).astype(np.uint8)
    pages = [Image.fromarray(array), Image.fromarray(array)]
    pages[0].save(path, compression="tiff_lzw")
    image = read_picture(path, None)
    np.testing.assert_array_equal(np.moveaxis(image[:, 0], 0, -1).reshape(shape), array)
    pages[0].save(path, compression="tiff_lzw", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match=r"x\.tif: holds .* one page per file"):
        read_picture(path, None)
