"""Images as bytes that a page can carry: small NIfTI files, PNG and JPEG pictures."""

import gzip

import imageio.v3 as imageio
import numpy as np
from jaxtyping import UInt8

from segttt.shapes import Triple

SMALL_BYTES = 24_000
"""A PNG below stays a PNG; above, a JPEG of this quality is several times smaller."""
QUALITY = 86


def nifti_bytes(voxels: UInt8[np.ndarray, "z y x"], spacing_mm: Triple) -> bytes:
    """A compressed NIfTI-1 file of a canonical array; equal voxels give equal bytes.

    It says how large the voxels are and which way they run, and nothing else: the origin is the
    array's middle, so that no position of a scanner and no text of a header travels along.
    """
    z, y, x = voxels.shape
    across, down, up = spacing_mm[::-1]
    header = np.zeros(352, np.uint8)

    def put(offset: int, dtype: str, *values: int | float) -> None:
        raw = np.array(values, dtype).view(np.uint8)
        header[offset : offset + len(raw)] = raw

    put(0, "<i4", 348)
    put(40, "<i2", 3, x, y, z, 1, 1, 1, 1)
    put(70, "<i2", 2, 8)  # unsigned bytes
    put(76, "<f4", 1, across, down, up)
    put(108, "<f4", 352, 1)  # offset of the voxels, and a slope of 1
    put(123, "u1", 2)  # millimetres
    put(254, "<i2", 1)  # a place by sform: rows point to left and posterior, NIfTI's to R and A
    put(280, "<f4", -across, 0, 0, across * (x - 1) / 2)
    put(296, "<f4", 0, -down, 0, down * (y - 1) / 2)
    put(312, "<f4", 0, 0, up, -up * (z - 1) / 2)
    header[344:348] = np.frombuffer(b"n+1\0", np.uint8)
    return gzip.compress(header.tobytes() + np.ascontiguousarray(voxels).tobytes(), mtime=0)


def picture_bytes(
    pixels: UInt8[np.ndarray, "y x"] | UInt8[np.ndarray, "y x 3"],
) -> tuple[bytes, str]:
    """A picture and its media type: PNG where that is small, JPEG elsewhere."""
    png = imageio.imwrite("<bytes>", pixels, plugin="pillow", extension=".png", optimize=True)
    if len(png) <= SMALL_BYTES:
        return png, "image/png"
    jpeg = imageio.imwrite("<bytes>", pixels, plugin="pillow", extension=".jpg", quality=QUALITY)
    return jpeg, "image/jpeg"
