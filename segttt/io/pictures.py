"""2D pictures (PNG, JPEG, TIFF, BMP): one slice, one channel per colour."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from jaxtyping import Float32, Int, Shaped

from segttt.errors import ImageError, LabelError
from segttt.geometry.grid import Grid
from segttt.io.files import replace_atomically, unwritable
from segttt.io.images import as_labels
from segttt.io.names import ending

PNG = b"\x89PNG\r\n\x1a\n"
GREY_RGB_OR_ALPHA = (1, 2, 3, 4)


def picture_grid(height: int, width: int) -> Grid:
    """The grid of a picture: canonical axes, one millimetre per pixel for want of better."""
    axes = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    return Grid((1, height, width), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), axes)


def read_picture(path: Path, channels: int | None) -> Float32[np.ndarray, "c 1 h w"]:
    """The colours of a picture; alpha is dropped, grey is repeated where colours are wanted.

    `channels` None takes what the file has. An `ImageError` tells of damaged files and of colours
    where one channel is wanted.
    """
    pixels = np.moveaxis(_pixels(path), 2, 0)
    colours = pixels[: len(pixels) - 1 + len(pixels) % 2] if len(pixels) > 1 else pixels
    if channels == 1 and len(colours) == 3 and (colours == colours[:1]).all():
        colours = colours[:1]
    if len(colours) == 1 and channels:
        colours = np.repeat(colours, channels, axis=0)
    if channels and len(colours) != channels:
        raise ImageError(
            f"{path}: has {len(colours)} channels where {channels} are expected. "
            "Convert it, or correct the channels of the dataset."
        )
    image = colours[:, None].astype(np.float32)
    if not np.isfinite(image).all():
        raise ImageError(f"{path}: holds NaN or infinite pixels. Replace them and save it again.")
    return image


def read_label_picture(path: Path) -> Int[np.ndarray, "1 h w"]:
    """The label values of a picture with one channel; a palette's indices are the values."""
    if ending(path) in (".jpg", ".jpeg"):
        raise LabelError(f"{path}: JPEG changes label values. Save labels as PNG.")
    pixels = _pixels(path, indices=True)
    colours = pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., :1]
    if (colours != colours[..., :1]).any():
        raise LabelError(f"{path}: is coloured; a label picture has one channel of whole numbers.")
    return as_labels(colours[None, ..., 0], path)


def write_label_picture(path: Path, labels: Shaped[np.ndarray, "1 h w"]) -> None:
    """Write PNG or TIFF atomically, then read it back and compare."""
    if labels.dtype.itemsize > 2 and ending(path) == ".png":
        raise LabelError(f"{path}: PNG holds values up to 65535, found {labels.max()}.")
    _write(path, labels[0], lambda temporary: read_label_picture(temporary)[0])


def write_map_picture(path: Path, values: Float32[np.ndarray, "1 h w"]) -> None:
    """Write a TIFF of real numbers atomically, then read it back and compare."""
    _write(path, values[0], lambda temporary: _pixels(temporary)[..., 0])


def _write(path: Path, pixels: np.ndarray, read: Callable[[Path], np.ndarray]) -> None:
    with replace_atomically(path, pixels.nbytes) as temporary:
        plugin = "pillow" if ending(path) == ".png" else "tifffile"
        imageio.imwrite(temporary, pixels, plugin=plugin)
        try:
            same = np.array_equal(read(temporary), pixels)
        except ImageError as error:
            raise unwritable(path, "it cannot be read back", pixels.nbytes) from error
        if not same:
            raise unwritable(path, "it differs after writing", pixels.nbytes)


def _pixels(path: Path, *, indices: bool = False) -> np.ndarray:
    """(h, w, channels) of the picture; palette indices instead of colours on request."""
    if not path.is_file():
        raise ImageError(f"{path}: does not exist.")
    try:
        tiff = ending(path) in (".tif", ".tiff")
        pixels = _tiff(path) if tiff else _decoded(path, path.read_bytes(), indices)
    except (OSError, ValueError, SyntaxError, RuntimeError, struct.error, zlib.error) as error:
        raise ImageError(f"{path}: cannot be read ({error}). Is it complete?") from error
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if (
        pixels.ndim != 3
        or pixels.shape[2] not in GREY_RGB_OR_ALPHA
        or pixels.dtype.kind not in "buif"
    ):
        raise ImageError(
            f"{path}: is no single picture (array of {pixels.shape}). Save one page per file, "
            "or a volume as NIfTI."
        )
    return pixels.astype(np.uint8) if pixels.dtype.kind == "b" else pixels


def _decoded(path: Path, content: bytes, indices: bool) -> np.ndarray:
    """Read by Pillow, from memory: it would read the file twice."""
    CHECKS.get(ending(path), lambda *_: None)(path, content)
    mode = imageio.immeta(content, plugin="pillow").get("mode")
    if mode in ("CMYK", "YCCK"):
        raise ImageError(f"{path}: is a {mode} picture for printing. Convert it to RGB.")
    kept = "P" if indices and mode == "P" else None
    return imageio.imread(content, plugin="pillow", mode=kept)


def _tiff(path: Path) -> np.ndarray:
    """Read by tifffile; LZW and other compressions for which it lacks a codec by Pillow."""
    try:
        return imageio.imread(path, plugin="tifffile")
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
    pages = list(imageio.imiter(path, plugin="pillow"))
    if len(pages) != 1 or pages[0].shape != imageio.improps(path, plugin="tifffile").shape:
        raise ImageError(
            f"{path}: holds {len(pages)} compressed pages, or colours that cannot be read. "
            "Save it as PNG, one page per file."
        )
    return pages[0]


def _check_png(path: Path, content: bytes) -> None:
    """Refuse what decoders let pass: wrong checksums, a missing end, 16-bit colours cut to 8."""
    place, ended = len(PNG), False
    while content.startswith(PNG) and not ended:
        length, kind = struct.unpack_from(">I4s", content.ljust(place + 8, b"\0"), place)
        body = content[place + 4 : place + 8 + length]
        checksum = content[place + 8 + length : place + 12 + length]
        if checksum != zlib.crc32(body).to_bytes(4, "big"):
            break
        if kind == b"IHDR" and body[12] == 16 and body[13] & 2:
            raise ImageError(f"{path}: has 16-bit colours. Save it as TIFF, or with 8 bits.")
        place, ended = place + 12 + length, kind == b"IEND"
    if not ended:
        raise ImageError(f"{path}: is cut or damaged, or no PNG. Copy or download it again.")


def _check_bmp(path: Path, content: bytes) -> None:
    """Refuse files shorter than their header says; decoders pass missing padding."""
    if int.from_bytes(content[2:6], "little") > len(content):
        raise ImageError(f"{path}: is cut. Copy or download it again.")


CHECKS: dict[str, Callable[[Path, bytes], None]] = {".png": _check_png, ".bmp": _check_bmp}
