"""Pixels of DICOM files, decoded and scaled to the values that they stand for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, RLELossless

from segttt.errors import ImageError
from segttt.io.dicom.codestream import stated_size
from segttt.io.dicom.header import FAULTS, Frame, numbers

LARGEST_SIDE = 1 << 14
GREY = ("MONOCHROME1", "MONOCHROME2")


def decode(path: Path, frames: Sequence[Frame]) -> Iterator[Float32[np.ndarray, "y x"]]:
    """The scaled planes of a file in its own order.

    An `ImageError` tells of colours, of cut or damaged pixels, and of decoders that are missing.
    """
    try:
        dataset = dcmread(path)
        _check_storage(dataset, len(frames), path)
        for index, frame in enumerate(frames):
            pixels = pixel_array(dataset, index=index, raw=True)
            yield _scaled(_stored_bits(pixels, dataset), frame, path)
    except FAULTS:  # whose words may quote the patient, so that they are not passed on
        raise ImageError(
            f"{path}: its pixels cannot be decoded ({_compression(path)}). Copy it again, or "
            "export the series uncompressed."
        ) from None


def _check_storage(dataset: Any, frames: int, path: Path) -> None:
    photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    if photometric not in GREY or numbers(dataset, "SamplesPerPixel", 1) not in (None, (1.0,)):
        raise ImageError(f"{path}: holds colours, not one number per voxel. Use the original scan.")
    if "ModalityLUTSequence" in dataset:
        raise ImageError(
            f"{path}: scales its values by a table, which is not read. Export the series with "
            "RescaleSlope and RescaleIntercept."
        )
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if not (0 < rows <= LARGEST_SIDE and 0 < columns <= LARGEST_SIDE):
        raise ImageError(f"{path}: says that it has {rows} x {columns} pixels. Export it again.")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        if not get_decoder(syntax).is_available:
            raise ImageError(
                f"{path}: is compressed as {syntax.name}, for which no decoder is installed. "
                "Install one by pip install 'segttt[dicom]'."
            )
        if syntax != RLELossless:
            _check_streams(dataset, frames, path)
        return
    needed = rows * columns * frames * int(dataset.BitsAllocated) // 8
    if needed > path.stat().st_size and not syntax.is_deflated:
        raise ImageError(f"{path}: is cut: it cannot hold its {needed} bytes. Copy it again.")


def _check_streams(dataset: Any, frames: int, path: Path) -> None:
    """Refuse frames whose own size is not the header's; a decoder would allocate what they say."""
    wanted = (int(dataset.Rows), int(dataset.Columns), 1)
    for stream in generate_frames(dataset.PixelData, number_of_frames=frames):
        if (found := stated_size(stream)) != wanted:
            raise ImageError(
                f"{path}: its compressed pixels are {found[0]} x {found[1]} of {found[2]} values, "
                f"its header says {wanted[0]} x {wanted[1]} of 1. Export it again."
            )


def _stored_bits(pixels: np.ndarray, dataset: Any) -> np.ndarray:
    """Integers without what lies in the bits above the stored ones, as overlays once did."""
    if pixels.dtype.kind not in "iu" or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return pixels
    unused = 8 * pixels.dtype.itemsize - int(dataset.BitsStored)
    if not 0 < unused < 8 * pixels.dtype.itemsize:
        return pixels
    return (pixels << unused) >> unused


def _scaled(pixels: np.ndarray, frame: Frame, path: Path) -> Float32[np.ndarray, "y x"]:
    if frame.scale is None:
        raise ImageError(
            f"{path}: RescaleSlope or RescaleIntercept is missing or no number. "
            "Export the original series again."
        )
    slope, intercept = frame.scale
    plane = (pixels.astype(np.float64) * slope + intercept).astype(np.float32)
    broken = plane.size - int(np.isfinite(plane).sum())
    if broken:
        raise ImageError(
            f"{path}: holds {broken} voxels that are NaN or infinite. Export the series again."
        )
    return plane


def _compression(path: Path) -> str:
    try:
        syntax = dcmread(path, specific_tags=[]).file_meta.get("TransferSyntaxUID")
    except FAULTS:
        return "damaged header"
    known = UID(syntax or "")
    return known.name if known.is_transfer_syntax else "unknown transfer syntax"
