"""Small files of every format that is read, and ways to damage them."""

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import SimpleITK as sitk
import torch
from PIL import Image
from safetensors.torch import save_file

from segttt.io.dicom.study import read_series
from segttt.io.images import read_image
from segttt.io.models import load_tensors
from segttt.io.pictures import read_picture
from tests.io.dicom.written import write_series

VOLUME = np.random.default_rng(11).integers(-900, 900, (6, 9, 8)).astype(np.int16)
PICTURE = np.random.default_rng(12).integers(0, 255, (24, 31, 3)).astype(np.uint8)


@dataclass(frozen=True)
class Kind:
    """A format: how a sound file is written and how it is read."""

    name: str
    write: Callable[[Path], None]
    read: Callable[[Path], object]


def _volume(path: Path) -> None:
    image = sitk.GetImageFromArray(VOLUME)
    image.SetSpacing((0.75, 1.5, 3.0))
    sitk.WriteImage(image, str(path), useCompression=path.name.endswith("gz"))


def _picture(path: Path) -> None:
    plugin = "tifffile" if path.suffix == ".tif" else "pillow"
    imageio.imwrite(path, PICTURE, plugin=plugin)


def _deflated_tiff(path: Path) -> None:
    imageio.imwrite(path, PICTURE, plugin="tifffile", compression="zlib")


def _slice(path: Path) -> None:
    (first, _) = write_series(path.parent / "series", VOLUME[:2].view(np.uint16))
    first.rename(path)


def _read_slice(path: Path) -> object:
    (other,) = (path.parent / "series").iterdir()
    return read_series([path, other])


def _tensors(path: Path) -> None:
    values = torch.arange(600, dtype=torch.float32)
    save_file({"weight": values}, path, metadata={"about": '{"plan": "x"}'})


KINDS = (
    Kind("scan.nii", _volume, read_image),
    Kind("scan.nii.gz", _volume, read_image),
    Kind("scan.mha", _volume, read_image),
    Kind("scan.nrrd", _volume, read_image),
    Kind("slice", _slice, _read_slice),
    Kind("picture.png", _picture, lambda path: read_picture(path, None)),
    Kind("picture.jpg", _picture, lambda path: read_picture(path, None)),
    Kind("picture.tif", _picture, lambda path: read_picture(path, None)),
    Kind("deflated.tif", _deflated_tiff, lambda path: read_picture(path, None)),
    Kind("picture.bmp", _picture, lambda path: read_picture(path, None)),
    Kind("model.safetensors", _tensors, load_tensors),
)


def truncations(size: int, count: int, seed: int) -> list[int]:
    """Lengths to cut to: the hard ones (nothing, one byte less ...) and random ones."""
    hard = [0, 1, size // 2, *(size - n for n in (1, 2, 3, 4, 5, 8, 16, 20))]
    random = np.random.default_rng(seed).integers(1, size, max(0, count - len(hard))).tolist()
    return [length for length in [*hard, *random] if 0 <= length < size]


def flips(size: int, count: int, seed: int) -> Iterator[tuple[int, int]]:
    """(byte, bit) after the gzip header."""
    random = np.random.default_rng(seed)
    yield from zip(
        random.integers(10, size, count).tolist(),
        random.integers(0, 8, count).tolist(),
        strict=True,
    )


# Byte offsets of NIfTI-1 header fields.
DIM, TYPE, BITS, PIXDIM, OFFSET, SLOPE, QCODE, SCODE, QUATERN, SHIFT, SFORM, MAGIC = (
    40, 70, 72, 76, 108, 112, 252, 254, 256, 268, 280, 344,
)  # fmt: skip
NAN, INF = float("nan"), float("inf")


def malformed_nifti() -> dict[str, tuple[tuple[int, str, tuple[object, ...]], ...]]:
    """Header fields to overwrite, by what they make of the file."""
    one: dict[str, tuple[int, str, tuple[object, ...]]] = {}
    for rank in (-1, 0, 1, 8, 9, 300):
        one[f"rank {rank}"] = (DIM, "<h", (rank,))
    for axis in (1, 2, 3):
        for size in (-7, 0, 5, 30000):
            one[f"size {size} of axis {axis}"] = (DIM + 2 * axis, "<h", (size,))
    one["bomb"] = (DIM + 2, "<3h", (30000, 30000, 30000))
    for code in (0, 1, 3, 32, 128, 255, 1536, 1792, 2048, 2304, 9999):
        one[f"type {code}"] = (TYPE, "<h", (code,))
    for bits in (0, 1, 8, 32, -16):
        one[f"{bits} bits"] = (BITS, "<h", (bits,))
    for value in (0.0, -352.0, 100.0, 352.5, 400.0, 1e9, NAN, INF):
        one[f"offset {value}"] = (OFFSET, "<f", (value,))
    for axis in (1, 2, 3):
        for value in (0.0, -1.5, NAN, INF, 1e30, 7.0):
            one[f"spacing {value} of axis {axis}"] = (PIXDIM + 4 * axis, "<f", (value,))
    for value in (NAN, INF):
        one[f"intercept {value}"] = (SLOPE, "<2f", (2.0, value))
        one[f"sform {value}"] = (SFORM, "<f", (value,))
        one[f"shift {value}"] = (SHIFT, "<f", (value,))
        one[f"quaternion {value}"] = (QUATERN, "<f", (value,))
    one["flat sform"] = (SFORM, "<12f", (0.0,) * 12)
    one["moved sform"] = (SFORM + 12, "<f", (99.0,))
    one["mirrored qform"] = (PIXDIM, "<f", (-1.0,))
    one["long quaternion"] = (QUATERN, "<f", (2.0,))
    one["no magic"] = (MAGIC, "4s", (b"nope",))
    one["two files"] = (MAGIC, "4s", (b"ni1\0",))
    one["wrong size"] = (0, "<i", (7,))
    patches = {name: (patch,) for name, patch in one.items()}
    sheared = (SFORM, "<12f", (0.75, 0.15, 0, 0, 0, 1.4925, 0, 0, 0, 0, 3.0, 0))
    return {**patches, "sheared sform": ((QCODE, "<h", (0,)), sheared)}


def patched(content: bytes, patches: tuple[tuple[int, str, tuple[object, ...]], ...]) -> bytes:
    """The content with fields overwritten."""
    changed = bytearray(content)
    for place, form, values in patches:
        struct.pack_into(form, changed, place, *values)
    return bytes(changed)


def malformed_pictures() -> dict[str, tuple[str, bytes]]:
    """Name of the damage -> file name and content."""

    def coded(name: str, array: np.ndarray, **how: object) -> bytes:
        stream = BytesIO()
        plugin = "tifffile" if name.endswith("tif") else "pillow"
        imageio.imwrite(stream, array, plugin=plugin, extension=Path(name).suffix, **how)
        return stream.getvalue()

    png, tif = coded("x.png", PICTURE), coded("x.tif", PICTURE)
    jpg, bmp = coded("x.jpg", PICTURE), coded("x.bmp", PICTURE)
    found: dict[str, tuple[str, bytes]] = {}
    for name, content in (("x.png", png), ("x.tif", tif), ("x.jpg", jpg), ("x.bmp", bmp)):
        found[f"empty {name}"] = (name, b"")
        found[f"text {name}"] = (name, b"not a picture at all, but some text" * 9)
        found[f"zeros {name}"] = (name, bytes(400))
        found[f"zipped {name}"] = (name, gzip.compress(content))
        found[f"half {name}"] = (name, content[: len(content) // 2])
    found["png, wrong checksum"] = ("x.png", png[:60] + bytes([png[60] ^ 1]) + png[61:])
    found["png, bomb"] = ("x.png", _png_size(png, 60000, 60000))
    found["png, no width"] = ("x.png", _png_size(png, 0, 24))
    found["png, no height"] = ("x.png", _png_size(png, 31, 0))
    deep = np.zeros((5, 6, 3), np.uint16)
    found["png, 16-bit colours"] = ("x.png", _png16(deep))
    found["tif, pages"] = ("x.tif", coded("x.tif", np.zeros((5, 30, 31), np.uint8)))
    found["tif, complex"] = ("x.tif", coded("x.tif", np.zeros((8, 9), np.complex64)))
    found["tif, NaN"] = ("x.tif", coded("x.tif", np.full((8, 9), np.nan, np.float32)))
    found["bmp, longer than it is"] = ("x.bmp", bmp[:2] + struct.pack("<I", 10**6) + bmp[6:])
    found["jpg, cmyk"] = ("x.jpg", _cmyk())
    return found


def _png_size(content: bytes, width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + body + zlib.crc32(body).to_bytes(4, "big") + content[33:]


def _png16(array: np.ndarray) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + crc

    height, width, _ = array.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip


def _cmyk() -> bytes:
    stream = BytesIO()
    Image.new("CMYK", (9, 8)).save(stream, "JPEG")
    return stream.getvalue()
