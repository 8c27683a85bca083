"""Pixels of every compression, byte order and width."""

import shutil
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.frame import encode_frame
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from segttt.errors import DataError, ImageError
from segttt.io.dicom.header import read_header
from segttt.io.dicom.pixels import decode
from segttt.io.dicom.study import read_series, read_study, usable_files
from tests.io.dicom.written import edit, voxels, write_series


def _one(path):
    (plane,) = decode(path, read_header(path).frames)
    return plane


@pytest.mark.parametrize(
    "name",
    ["RLE", "jp2klossless", "jpeg_ls_lossless", "implicit", "padded", "bigendian", "expb"],
)
def test_every_encoding_of_one_slice_gives_the_same(name):
    np.testing.assert_array_equal(_one_of(f"MR_small_{name}.dcm"), _one_of("MR_small.dcm"))


def _one_of(name):
    return _one(Path(get_testdata_file(name)))


@pytest.mark.parametrize("name", ["693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm", "CT_small.dcm"])
def test_rescaled_ct_is_in_hounsfield_units(name):
    plane = _one_of(name)
    data = pydicom.dcmread(get_testdata_file(name))
    expected = data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept)
    np.testing.assert_allclose(plane, expected)
    assert plane.min() < -500


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless,
        JPEGLSLossless,
    ],
    ids=lambda uid: uid.name,
)  # fmt: skip
@pytest.mark.parametrize("kind", [np.uint16, np.uint8])
def test_series_in_every_transfer_syntax(tmp_path, syntax, kind):
    array = (voxels((4, 40, 36)) % (256 if kind == np.uint8 else 4096)).astype(kind)
    for path in write_series(tmp_path, array):
        data = pydicom.dcmread(path)
        if syntax.is_encapsulated:
            data = _compressed(data, syntax)
        else:
            data.file_meta.TransferSyntaxUID = syntax
        data.save_as(path, enforce_file_format=True, implicit_vr=syntax.is_implicit_VR)
    np.testing.assert_array_equal(read_series(usable_files(tmp_path))[0][0], array)


def _compressed(data, syntax):
    frame = encode_frame(
        data.pixel_array,
        syntax,
        bits_allocated=data.BitsAllocated,
        bits_stored=data.BitsStored,
        photometric_interpretation="MONOCHROME2",
    )
    data.PixelData = encapsulate([frame])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = syntax
    return data


def test_big_endian_series(tmp_path):
    array = voxels()
    for path in write_series(tmp_path, array):
        data = pydicom.dcmread(path)
        data.PixelData = data.pixel_array.astype(">u2").tobytes()
        data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        # Only numbers of the header are swapped by the writer, so this must be asked for.
        pydicom.dcmwrite(path, data, force_encoding=True, implicit_vr=False, little_endian=False)
    np.testing.assert_array_equal(read_series(usable_files(tmp_path))[0][0], array)


def test_bits_above_the_stored_ones_are_no_values(tmp_path):
    array = voxels()
    for path in write_series(tmp_path, array | 0xF000):
        edit(path, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read_series(usable_files(tmp_path))[0][0], array)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "holds colours"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "holds colours"),
        ({"Rows": 60000, "Columns": 60000}, "says that it has 60000 x 60000"),
        ({"Rows": 7000}, "is cut"),
        ({"BitsAllocated": 17}, "cannot be decoded"),
        ({"RescaleSlope": "nan", "RescaleIntercept": "0"}, "RescaleSlope"),
        ({"RescaleSlope": "0", "RescaleIntercept": "0"}, "RescaleSlope"),
        ({"PixelData": b"ab"}, "is cut|cannot be decoded"),
    ],
)
def test_pixels_that_are_none_are_refused(tmp_path, tags, words):
    files = write_series(tmp_path)
    edit(files[1], **tags)
    with pytest.raises(ImageError, match=rf"{files[1].name}: .*({words})"):
        _one(files[1])


def test_truncated_pixels_of_a_scanner_are_named():
    with pytest.raises(ImageError, match=r"MR_truncated\.dcm: .*(cut|decoded)"):
        _one_of("MR_truncated.dcm")


@pytest.mark.parametrize("share", [0.6, 0.9, 0.99])
def test_cut_compressed_slices_are_named(tmp_path, share):
    path = tmp_path / "cut"
    content = Path(get_testdata_file("693_J2KI.dcm")).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="cut"):
        _one(path)


def test_enhanced_multiframe_equals_the_single_frames(tmp_path):
    array = voxels()
    files = write_series(tmp_path / "single", array.astype(np.int16))
    for index, path in enumerate(files):
        edit(path, RescaleSlope=2, RescaleIntercept=-1000 + index, PatientPosition="HFS")
    expected, place = read_series(usable_files(tmp_path / "single"))
    enhanced = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        [pydicom.dcmread(path) for path in reversed(files)],
        series_instance_uid=highdicom.UID(),
        series_number=9,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
    )
    (tmp_path / "multi").mkdir()
    enhanced.save_as(tmp_path / "multi" / "one")
    found, grid = read_series(usable_files(tmp_path / "multi"))
    np.testing.assert_array_equal(found, expected)
    assert grid.difference(place) is None
    assert read_study(tmp_path / "multi" / "one").series[0].grid == grid


def test_an_object_with_frames_that_nothing_places_is_refused(tmp_path):
    shutil.copy(get_testdata_file("MR_small.dcm"), tmp_path / "one")
    edit(tmp_path / "one", NumberOfFrames=2)
    (series,) = read_study(tmp_path).series
    assert "lie where another one lies" in (series.problem or "")
