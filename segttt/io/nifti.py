"""NIfTI files read byte by byte, because no library at hand refuses every damaged one.

Measured: SimpleITK 2.5 returns truncated files and flipped offsets as full volumes, turns NaN into
0 and a spacing of 0 into 1; nibabel 5.4 does not reach the checksum of a compressed file.
"""

import gzip
import zlib
from dataclasses import dataclass
from io import BufferedIOBase, BufferedReader
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from segttt.errors import GeometryError, ImageError
from segttt.geometry.grid import Grid
from segttt.geometry.slabs import slab_slices

GZIP = b"\x1f\x8b"
LARGEST_RATIO = 1040  # deflate cannot shrink further (1032), gzip adds a few bytes
SPACING_TOLERANCE = 1e-3
DIRECTION_TOLERANCE = 2e-3  # float32 quaternions near half a turn are off by up to 7e-4
OFFSET_TOLERANCE_VOXELS = 0.1
INFINITE = float("inf")
LARGEST_VOXELS = 1 << 33  # 32 GiB as float32; no scanner makes more, a compressed bomb would
READ_AHEAD = 2**20  # bytes asked of a network drive at once, for which 8 KiB are many round trips
UNIT_MM = {1: 1000.0, 2: 1.0, 3: 0.001}
VOXELS = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
REFUSED = {
    1: "single bits", 32: "complex numbers", 128: "RGB colours", 1536: "128-bit numbers",
    1792: "complex numbers", 2048: "complex numbers", 2304: "RGBA colours",
}  # fmt: skip
FIELDS = ("dim", "datatype", "bitpix", "pixdim", "offset", "slope", "intercept", "units",
          "qform_code", "sform_code", "quaternion", "shift", "sform")  # fmt: skip
NIFTI_1 = np.dtype(
    {
        "names": FIELDS,
        "formats": ("8i2", "i2", "i2", "8f4", "f4", "f4", "f4", "u1", "i2", "i2", "3f4", "3f4",
                    "12f4"),
        "offsets": (40, 70, 72, 76, 108, 112, 116, 123, 252, 254, 256, 268, 280),
        "itemsize": 348,
    }
)  # fmt: skip
NIFTI_2 = np.dtype(
    {
        "names": FIELDS,
        "formats": ("8i8", "i2", "i2", "8f8", "i8", "f8", "f8", "i4", "i4", "i4", "3f8", "3f8",
                    "12f8"),
        "offsets": (16, 12, 14, 104, 168, 176, 184, 500, 344, 348, 352, 376, 400),
        "itemsize": 540,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What decides where the voxels are and how to read them."""

    shape: tuple[int, ...]
    """As in the file, fastest axis first."""
    dtype: np.dtype
    offset: int
    fields: np.void


def header_voxels(path: Path) -> int:
    """Voxels of a file by its header; an OSError or `ImageError` where that cannot be read."""
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP
        file.seek(0)
        header = _header(gzip.GzipFile(fileobj=file) if compressed else file, path)
    return prod(header.shape)


def read_nifti(path: Path, dtype: DTypeLike | None = None) -> tuple[np.ndarray, Grid]:
    """Voxels (c, z, y, x) in file axes, scaled as the header says, and the grid.

    They are converted to `dtype` while they are read; None keeps them as they are. An `ImageError`
    tells of files that are cut, longer than their header says, damaged or hold no real numbers; a
    `GeometryError` of headers that contradict themselves.
    """
    try:
        with path.open("rb", buffering=0) as source:
            file = BufferedReader(source, READ_AHEAD)
            compressed = file.read(2) == GZIP
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if compressed else file
            header = _header(stream, path)
            voxels = _voxels(stream, header, path, dtype, LARGEST_RATIO if compressed else 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ImageError(
            f"{path}: its compressed content is cut or damaged ({error}). Copy it again."
        ) from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return voxels.reshape(_array_shape(header, path)), _grid(header, path)


def _header(stream: BufferedIOBase, path: Path) -> Header:
    start = stream.read(540)
    layout = None
    for order in ("little", "big"):
        size = int.from_bytes(start[:4], order)
        if size == 348 and start[344:348] == b"n+1\0":
            layout = NIFTI_1.newbyteorder(order)
        elif size == 540 and start[4:8] == b"n+2\0" and len(start) == 540:
            layout = NIFTI_2.newbyteorder(order)
    if layout is None:
        raise ImageError(f"{path}: is not a NIfTI file. Is it complete, and is its ending right?")
    fields = np.frombuffer(start, layout, count=1)[0]
    return Header(*_storage(fields, path), fields)


def _storage(fields: np.void, path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    code = int(fields["datatype"])
    if code not in VOXELS:
        found = REFUSED.get(code, f"voxels of the unknown type {code}")
        raise ImageError(f"{path}: holds {found}. Save one real number per voxel and channel.")
    dtype = np.dtype(VOXELS[code]).newbyteorder(fields.dtype["datatype"].byteorder)
    if int(fields["bitpix"]) != 8 * dtype.itemsize:
        raise ImageError(
            f"{path}: its header contradicts itself ({fields['bitpix']} bits per voxel for type "
            f"{dtype.name}). Export it again."
        )
    rank = int(fields["dim"][0])
    shape = tuple(int(n) for n in fields["dim"][1 : rank + 1]) if 2 <= rank <= 7 else ()
    if not shape or min(shape) < 1:
        raise ImageError(f"{path}: its header has the dimensions {fields['dim'].tolist()}.")
    offset, smallest = float(fields["offset"]), fields.dtype.itemsize + 4
    if not (smallest <= offset < INFINITE and offset == int(offset)):
        raise ImageError(
            f"{path}: its header says that the voxels start at byte {offset:g}, but they cannot "
            f"start before {smallest}. Export it again."
        )
    return shape, dtype, int(offset)


def _voxels(
    stream: BufferedIOBase, header: Header, path: Path, dtype: DTypeLike | None, ratio: int
) -> np.ndarray:
    """All voxels in the order of the file."""
    count = prod(header.shape)
    expected = header.offset + count * header.dtype.itemsize
    if expected > path.stat().st_size * ratio:
        raise ImageError(
            f"{path}: is cut: its header asks for {expected} bytes, which it cannot hold. "
            "Copy or download it again."
        )
    if count > LARGEST_VOXELS:
        raise ImageError(
            f"{path}: asks for {count} voxels, more than any scan has. Cut it into parts."
        )
    scale = _scale(header, path)
    stored = np.result_type(header.dtype, scale[0]) if scale else header.dtype
    voxels = np.empty(count, dtype or stored)
    straight = voxels.dtype == header.dtype and not scale
    stream.seek(header.offset)
    for part in slab_slices((count,)):  # a scan is in memory in one type only
        here = voxels[part]
        raw = here if straight else np.empty(len(here), header.dtype)
        if missing := _fill(stream, raw):
            there = part.stop * raw.itemsize - missing
            raise ImageError(
                f"{path}: is cut: {there} of {count * raw.itemsize} bytes of voxels are there. "
                "Copy or download it again."
            )
        if not straight:
            with np.errstate(over="ignore"):  # what is too large becomes infinite
                here[:] = raw * scale[0] + scale[1] if scale else raw
    # The checksum of a compressed file comes after the last byte, so read to the very end.
    if stream.read(1):
        raise ImageError(
            f"{path}: holds more bytes than the {expected} its header asks for. Export it again."
        )
    return voxels


def _fill(stream: BufferedIOBase, array: np.ndarray) -> int:
    """Read into an array; the bytes that are missing at the end of the stream."""
    view, filled = array.view(np.uint8).data, 0
    while filled < len(view):
        got = stream.readinto(view[filled:])
        if not got:
            break
        filled += got
    return len(view) - filled


def _scale(header: Header, path: Path) -> tuple[float, float] | None:
    """Slope and intercept; None where the stored numbers are the voxels."""
    slope, intercept = float(header.fields["slope"]), float(header.fields["intercept"])
    if slope == 0 or not np.isfinite(slope) or (slope == 1 and intercept == 0):
        return None
    if not np.isfinite(intercept):
        raise ImageError(f"{path}: its header scales by {slope:g} and adds {intercept:g}.")
    return slope, intercept


def _array_shape(header: Header, path: Path) -> tuple[int, ...]:
    x, y, z, *more = (*header.shape, 1)[: max(3, len(header.shape))]
    more = [size for size in more if size > 1]
    if len(more) > 1:
        raise ImageError(
            f"{path}: has {len(header.shape)} dimensions {header.shape}. "
            "Save each channel or time point in a file of its own."
        )
    return (*(more[::-1] or (1,)), z, y, x)


def _grid(header: Header, path: Path) -> Grid:
    fields = header.fields
    unit = UNIT_MM.get(int(fields["units"]) & 7, 1.0)
    spacing = fields["pixdim"][1:4].astype(np.float64) * unit
    if len(header.shape) == 2 and not spacing[2] > 0:
        spacing[2] = 1.0
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise GeometryError(
            f"{path}: has spacing {spacing.tolist()} mm (x, y, z). Export it again with a valid "
            "spacing; segttt does not guess it."
        )
    places = []
    if fields["sform_code"] > 0:
        places.append(_sform(fields, spacing, unit, path))
    if fields["qform_code"] > 0:
        places.append(_qform(fields, unit, path))
    if len(places) == 2:
        _agree(places[0], places[1], spacing, path)
    # Without either, ITK's convention: axes run to left, posterior, superior from the origin.
    direction, origin = places[0] if places else (np.diag((-1.0, -1.0, 1.0)), np.zeros(3))
    to_lps = np.array((-1.0, -1.0, 1.0))
    rows = (direction * to_lps[:, None]).T[::-1]  # one row per array axis z, y, x
    x, y, z = (*header.shape, 1)[:3]
    first, second, third = (tuple(float(v) + 0.0 for v in row) for row in rows)
    left, posterior, superior = (float(v) + 0.0 for v in origin * to_lps)
    return Grid(
        (z, y, x),
        (float(spacing[2]), float(spacing[1]), float(spacing[0])),
        (left, posterior, superior),
        (first, second, third),  # pyright: ignore[reportArgumentType]
    )


def _sform(
    fields: np.void, spacing: np.ndarray, unit: float, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    matrix = fields["sform"].astype(np.float64).reshape(3, 4) * unit
    steps = np.linalg.norm(matrix[:, :3], axis=0)
    if not np.allclose(steps, spacing, rtol=SPACING_TOLERANCE, atol=0):
        raise GeometryError(
            f"{path}: its header contradicts itself: spacing {np.round(spacing, 4).tolist()} mm "
            f"against {np.round(steps, 4).tolist()} mm in the sform (x, y, z). "
            "Find out which is right and export it again."
        )
    return matrix[:, :3] / steps, matrix[:, 3]


def _qform(fields: np.void, unit: float, path: Path) -> tuple[np.ndarray, np.ndarray]:
    b, c, d = (float(v) for v in fields["quaternion"])
    rest = 1.0 - (b * b + c * c + d * d)
    if not rest > -1e-4:
        raise GeometryError(f"{path}: its qform is no rotation. Export it again.")
    a = max(rest, 0.0) ** 0.5
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    rotation[:, 2] *= -1.0 if fields["pixdim"][0] < 0 else 1.0
    return rotation, fields["shift"].astype(np.float64) * unit


def _agree(
    sform: tuple[np.ndarray, np.ndarray],
    qform: tuple[np.ndarray, np.ndarray],
    spacing: np.ndarray,
    path: Path,
) -> None:
    turned = np.abs(sform[0] - qform[0]).max()
    moved = np.abs(sform[1] - qform[1]).max()
    near = OFFSET_TOLERANCE_VOXELS * spacing.min()
    if not (turned <= DIRECTION_TOLERANCE and moved <= near):  # NaN is not near
        raise GeometryError(
            f"{path}: its header contradicts itself: sform and qform differ by {moved:.3g} mm in "
            f"the origin and {turned:.3g} in the directions. Find out which is right, and export "
            "it again with that one only."
        )
