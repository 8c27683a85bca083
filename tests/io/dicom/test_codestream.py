"""The size that compressed pixels state themselves."""

import struct
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame

from segttt.errors import ImageError
from segttt.io.dicom.codestream import stated_size
from segttt.io.dicom.header import read_header
from segttt.io.dicom.pixels import decode

FILES = (
    "693_J2KI.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPEG-lossy.dcm",
    "JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm", "J2K_pixelrep_mismatch.dcm", "SC_rgb_jpeg.dcm",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_size_is_that_of_the_header(name):
    data = pydicom.dcmread(get_testdata_file(name))
    frames = int(data.get("NumberOfFrames", 1))
    stream = get_frame(data.PixelData, 0, number_of_frames=frames)
    assert stated_size(stream) == (data.Rows, data.Columns, data.SamplesPerPixel)


@pytest.mark.parametrize(
    "stream", [b"", b"RIFF", b"\xff\xd8", b"\xff\xd8\xff\xda\0\2", b"\xff\x4f\xff\x51"]
)
def test_what_states_no_size_is_refused(stream):
    with pytest.raises((ValueError, struct.error)):
        stated_size(stream)


@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm"])
def test_a_stream_larger_than_its_header_is_never_decoded(name, tmp_path):
    content = bytearray(Path(get_testdata_file(name)).read_bytes())
    if "jp2k" in name:
        struct.pack_into(">II", content, content.find(b"\xff\x4f\xff\x51") + 8, 30_000, 30_000)
    else:
        struct.pack_into(">HH", content, content.find(b"\xff\xd8\xff\xf7") + 7, 30_000, 30_000)
    path = tmp_path / "bomb"
    path.write_bytes(content)
    with pytest.raises(ImageError, match="bomb: its compressed pixels are 30000 x 30000"):
        list(decode(path, read_header(path).frames))
