"""NIfTI files, sound and broken."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from segttt.errors import GeometryError, ImageError
from segttt.geometry import slabs
from segttt.geometry.grid import Grid
from segttt.io import nifti
from segttt.io.images import read_image

# Byte offsets of NIfTI-1 header fields.
DIM, TYPE, BITS, PIXDIM, OFFSET, SLOPE, UNITS, QCODE, SCODE, QUATERN, SFORM = (
    40, 70, 72, 76, 108, 112, 123, 252, 254, 256, 280,
)  # fmt: skip


@pytest.fixture
def nii(save, voxels):
    """Write an uncompressed scan with one header field overwritten."""

    def written(*patches, name="scan.nii", array=None):
        path = save(name, voxels if array is None else array)
        content = bytearray(path.read_bytes())
        for place, form, *values in patches:
            struct.pack_into(form, content, place, *values)
        path.write_bytes(content)
        return path

    return written


def test_equals_simpleitk(save, voxels, any_direction):
    grid = Grid(
        voxels.shape,
        (3.0, 0.75, 1.5),
        (-12.5, 40.25, 7.0),
        tuple(map(tuple, any_direction.tolist())),
    )
    path = save("scan.nii.gz", voxels, grid)
    image, found = read_image(path)
    reference = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(image[0], sitk.GetArrayFromImage(reference))
    np.testing.assert_allclose(found.spacing_mm[::-1], reference.GetSpacing())
    np.testing.assert_allclose(found.origin_mm, reference.GetOrigin(), atol=1e-5)
    np.testing.assert_allclose(
        np.array(found.direction)[::-1].T.ravel(), reference.GetDirection(), atol=1e-6
    )
    assert found.difference(grid) is None


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_truncated_files_are_refused(save, voxels, name, share):
    path = save(name, voxels)
    content = path.read_bytes()
    path.write_bytes(content[: min(int(len(content) * share), len(content) - 1)])
    with pytest.raises(ImageError, match=r"scan\.nii.*(Copy|complete)"):
        read_image(path)


def test_every_flipped_byte_of_a_compressed_payload_is_refused(save, voxels):
    path = save("scan.nii.gz", voxels)
    content = path.read_bytes()
    assert len(content) > 300
    for place in range(10, len(content)):  # after the gzip header
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r"scan\.nii\.gz"):
            read_image(path)


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ((0, "<i", 7), "not a NIfTI"),
        ((344, "4s", b"nope"), "not a NIfTI"),
        ((DIM, "<h", 0), "dimensions"),
        ((DIM, "<h", 9), "dimensions"),
        ((DIM + 2, "<h", -7), "dimensions"),
        ((DIM + 2, "<h", 0), "dimensions"),
        ((DIM + 2, "<3h", 30000, 30000, 30000), "is cut"),
        ((DIM + 2, "<h", 6), "more bytes"),
        ((TYPE, "<h", 32), "complex"),
        ((TYPE, "<h", 128), "RGB"),
        ((TYPE, "<h", 77), "unknown type 77"),
        ((BITS, "<h", 8), "contradicts"),
        ((OFFSET, "<f", 1e9), "is cut"),
        ((OFFSET, "<f", float("nan")), "start at"),
        ((OFFSET, "<f", -352.0), "start at"),
        ((OFFSET, "<f", 352.5), "start at"),
        ((SLOPE, "<2f", 2.0, float("nan")), "scales"),
    ],
)
def test_lying_headers_are_refused(nii, patch, words):
    with pytest.raises(ImageError, match=rf"scan\.nii: .*{words}"):
        read_image(nii(patch))


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ((PIXDIM + 4, "<f", 0.0), "spacing"),
        ((PIXDIM + 8, "<f", float("nan")), "spacing"),
        ((PIXDIM + 12, "<f", -3.0), "spacing"),
        ((PIXDIM + 12, "<f", 2.5), "against"),
        ((SFORM, "<f", float("nan")), "against"),
        ((SFORM, "<12f", *[0.0] * 12), "against"),
        ((SFORM + 12, "<f", 99.0), "sform and qform differ"),
        ((PIXDIM, "<f", -1.0), "sform and qform differ"),
        ((QUATERN, "<f", 2.0), "no rotation"),
    ],
)
def test_contradicting_geometry_is_refused(nii, patch, words):
    with pytest.raises(GeometryError, match=rf"scan\.nii: .*{words}"):
        read_image(nii(patch))


def test_sheared_sform_is_refused(nii):
    shear = (1.5, 0.15, 0, 0, 0, 0.7348, 0, 0, 0, 0, 3, 0)  # second column is 0.75 long
    with pytest.raises(GeometryError, match="right angles"):
        read_image(nii((QCODE, "<h", 0), (SFORM, "<12f", *shear)))


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (1, 1)])
def test_either_form_gives_the_same_grid(nii, codes):
    _, both = read_image(nii())
    _, found = read_image(nii((QCODE, "<2h", *codes)))
    assert found.difference(both) is None


def test_without_any_form_itk_s_convention_holds(nii):
    path = nii((QCODE, "<2h", 0, 0))
    _, grid = read_image(path)
    reference = sitk.ReadImage(str(path))
    assert grid.origin_mm == reference.GetOrigin()
    assert grid.spacing_mm[::-1] == reference.GetSpacing()
    assert np.array(grid.direction)[::-1].T.ravel().tolist() == list(reference.GetDirection())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_counted_and_refused(nii, voxels, value):
    path = nii(array=voxels.astype(np.float32))
    content = bytearray(path.read_bytes())
    struct.pack_into("<2f", content, 352 + 40, value, value)
    path.write_bytes(content)
    with pytest.raises(ImageError, match="holds 2 voxels that are NaN or infinite"):
        read_image(path)


def test_float64_beyond_float32_is_refused(save):
    with pytest.raises(ImageError, match="1 voxels"):
        read_image(save("scan.nii", np.array([[[0.0, 1e200]]])))


@pytest.mark.parametrize("code", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_real_type(save, code):
    array = np.arange(60).reshape(3, 4, 5).astype(code)
    image, _ = read_image(save("scan.nii.gz", array))
    np.testing.assert_array_equal(image[0], array)


def test_slope_and_intercept(nii, voxels):
    image, _ = read_image(nii((SLOPE, "<2f", 0.5, -1000.0)))
    np.testing.assert_allclose(image[0], voxels * 0.5 - 1000)
    image, _ = read_image(nii((SLOPE, "<2f", 0.0, 5.0)))  # a slope of 0 means: not scaled
    np.testing.assert_array_equal(image[0], voxels)


@pytest.mark.parametrize("code", ["u1", "i2", "f4", "f8"])
@pytest.mark.parametrize("scale", [None, (0.37, -1024.0)])
def test_conversion_in_parts_equals_that_of_the_whole(nii, voxels, monkeypatch, code, scale):
    monkeypatch.setattr(slabs, "SLAB_VOXELS", 37)
    stored = voxels.astype(code)
    path = nii(*([(SLOPE, "<2f", *scale)] if scale else []), array=stored)
    slope, intercept = (float(np.float32(number)) for number in scale or (1, 0))
    expected = stored * slope + intercept if scale else stored
    found, _ = nifti.read_nifti(path)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found[0], expected)
    converted, _ = nifti.read_nifti(path, np.float32)
    assert converted.dtype == np.float32
    np.testing.assert_array_equal(converted[0], expected.astype(np.float32))


def test_big_endian(nii, voxels):
    path = nii()
    content = path.read_bytes()
    old, new = _header("<"), _header(">")
    header = struct.pack(new, *struct.unpack(old, content[:348]))
    path.write_bytes(header + content[348:352] + voxels.astype(">i2").tobytes())
    image, grid = read_image(path)
    np.testing.assert_array_equal(image[0], voxels)
    assert grid.difference(read_image(nii(name="other.nii"))[1]) is None


def _header(order):
    return order + "i36s8h3fh h h h 8f f f f h b b 4f 2i 80s 24s h h 6f 12f 16s 4s".replace(" ", "")


def test_nifti_2_with_an_extension(tmp_path, voxels):
    header = bytearray(540)
    struct.pack_into("<i8s2h8q", header, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16, 3, 7, 6, 5, 1, 1, 1, 1)
    struct.pack_into("<8dq", header, 104, 1, 1.5, 0.75, 3, 0, 0, 0, 0, 560)
    struct.pack_into("<2i", header, 344, 0, 2)
    struct.pack_into("<12d", header, 400, 1.5, 0, 0, -4, 0, 0.75, 0, 5, 0, 0, 3, 6)
    struct.pack_into("<i", header, 500, 2)
    path = tmp_path / "two.nii"
    path.write_bytes(bytes(header) + b"\1\0\0\0" + b"e" * 16 + voxels.tobytes())
    image, grid = read_image(path)
    np.testing.assert_array_equal(image[0], voxels)
    assert grid.spacing_mm == (3, 0.75, 1.5)
    assert grid.origin_mm == (4, -5, 6)


def test_a_compressed_file_under_a_plain_name_and_the_reverse(save, voxels):
    path = save("scan.nii", voxels)
    plain = path.read_bytes()
    path.write_bytes(gzip.compress(plain))
    np.testing.assert_array_equal(read_image(path)[0][0], voxels)
    other = path.with_name("other.nii.gz")
    other.write_bytes(plain)
    np.testing.assert_array_equal(read_image(other)[0][0], voxels)


def test_a_fourth_dimension_becomes_channels(tmp_path):
    parts = [sitk.GetImageFromArray(np.full((3, 4, 5), i, np.float32)) for i in (1, 2)]
    path = tmp_path / "two.nii.gz"
    sitk.WriteImage(sitk.JoinSeries(parts), str(path))
    image, grid = read_image(path)
    assert image.shape == (2, 3, 4, 5)
    assert [float(channel.mean()) for channel in image] == [1, 2]
    assert grid.shape == (3, 4, 5)


def test_two_long_extra_dimensions_are_refused(nii):
    with pytest.raises(ImageError, match="5 dimensions"):
        read_image(nii((DIM, "<6h", 5, 7, 3, 1, 2, 5)))


def test_a_flat_file_is_one_slice(nii):
    image, grid = read_image(
        nii((DIM, "<4h", 2, 7, 30, 1), (PIXDIM + 12, "<f", 0.0), (QCODE, "<2h", 0, 0))
    )
    assert image.shape == (1, 1, 30, 7)
    assert grid.spacing_mm == (1.0, 0.75, 1.5)


def test_metres_and_microns_become_millimetres(nii):
    _, grid = read_image(nii((UNITS, "<b", 3)))
    np.testing.assert_allclose(grid.spacing_mm, (0.003, 0.00075, 0.0015), rtol=1e-6)


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b", b"\x1f\x8b\x08\0\0\0\0\0\0\0garbage", b"x" * 600]
)
def test_no_nifti_at_all(tmp_path, content):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"scan\.nii\.gz"):
        read_image(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "none.nii.gz")
