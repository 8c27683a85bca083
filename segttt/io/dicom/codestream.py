"""The size that compressed pixels state themselves, looked at before a decoder believes it.

Measured: a slice of 6 KiB whose JPEG-LS stream says 30000 x 30000 takes 3.4 GB and 8 s to refuse.
"""

import struct

J2K = b"\xff\x4f\xff\x51"  # start of codestream, then its size
JPEG = b"\xff\xd8"
NO_FRAMES = (0xC4, 0xC8, 0xCC)  # of the markers C0 to CF those that begin no frame
FRAMES = {*range(0xC0, 0xD0), 0xF7}.difference(NO_FRAMES)  # F7: JPEG-LS
SCAN = 0xDA
JP2_HEADER_BYTES = 4096


def stated_size(stream: bytes) -> tuple[int, int, int]:
    """Rows, columns and components of one compressed frame.

    A `ValueError` or `struct.error` where the stream is neither JPEG, JPEG-LS nor JPEG 2000, or is
    cut.
    """
    if stream.startswith(JPEG):
        return _jpeg(stream)
    place = stream.find(J2K, 0, JP2_HEADER_BYTES)
    if place < 0:
        raise ValueError("neither JPEG nor JPEG 2000")
    right, bottom, left, top = struct.unpack_from(">4I", stream, place + 8)
    (components,) = struct.unpack_from(">H", stream, place + 40)
    return bottom - top, right - left, components


def _jpeg(stream: bytes) -> tuple[int, int, int]:
    place = len(JPEG)
    while True:
        fill, marker, length = struct.unpack_from(">BBH", stream, place)
        if fill != 0xFF or marker == SCAN:
            raise ValueError("a scan without a frame")
        if marker == 0xFF:  # a byte of padding
            place += 1
            continue
        if marker in FRAMES:
            rows, columns, components = struct.unpack_from(">HHB", stream, place + 5)
            return rows, columns, components
        place += 2 + length
