"""What decides where the pixels of one DICOM file lie; no tag of the patient is read."""

import logging
import math
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import config
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from segttt.errors import ImageError

# Broken values are ours to judge; warnings about them would print them, and with them patients.
config.settings.reading_validation_mode = config.IGNORE
for library in ("pydicom", "highdicom"):
    logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=library)

FAULTS = (
    ValueError, RuntimeError, AttributeError, LookupError, TypeError, ArithmeticError,
    EOFError, OSError, struct.error, zlib.error, InvalidDicomError, BytesLengthException,
)  # fmt: skip
"""What pydicom and its decoders raise on damaged files."""
VOLUMES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "enhanced CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "legacy converted enhanced CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "legacy converted enhanced MR",
    "1.2.840.10008.5.1.4.1.1.128": "PET",
    "1.2.840.10008.5.1.4.1.1.128.1": "legacy converted enhanced PET",
    "1.2.840.10008.5.1.4.1.1.130": "enhanced PET",
    "1.2.840.10008.5.1.4.1.1.13.1.1": "X-ray 3D angiography",
    "1.2.840.10008.5.1.4.1.1.13.1.2": "X-ray 3D craniofacial",
}
"""Objects that hold slices of a volume; everything else is no image to segment."""
MODALITIES = ("CT", "MR", "PT")
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
MARKS = (
    "AcquisitionNumber", "EchoNumbers", "TemporalPositionIdentifier", "DiffusionBValue",
    "ImageType",
)  # fmt: skip
"""Tags that tell apart slices at one position, most telling first."""
WANTED = [
    tag_for_keyword(keyword) or 0
    for keyword in (
        "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality",
        "FrameOfReferenceUID",
        "SeriesNumber", "SeriesDescription", "Rows", "Columns", "NumberOfFrames",
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
        "RescaleIntercept", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
        *MARKS,
    )
]  # fmt: skip
LARGEST_INFLATED = 1 << 30  # bytes; a deflated file says nowhere how large it becomes


@dataclass(frozen=True)
class Frame:
    """One plane: its corner in mm, its axes, the distances of its pixels, the scale of its values.

    None where the file does not say it, or not as finite numbers.
    """

    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    """Direction along a row, then along a column."""
    spacing: tuple[float, ...] | None
    """Distance of rows, then of columns, in mm."""
    scale: tuple[float, ...] | None
    """Slope and intercept."""


@dataclass(frozen=True)
class Header:
    """One DICOM file."""

    path: Path
    kind: str
    """Key of `VOLUMES`; empty for objects that hold no volume."""
    called: str
    """The kind of object in words."""
    sop_class: str
    instance: str
    study: str
    series: str
    frame_of_reference: str
    modality: str
    number: int | None
    description: str
    rows: int
    columns: int
    marks: tuple[str, ...]
    """Values of `MARKS`."""
    localiser: bool
    multiframe: bool
    has_pixels: bool
    frames: tuple[Frame, ...]


def read_header(path: Path) -> Header:
    """Read a file up to its pixels; an `ImageError` names files that are cut or damaged."""
    reached: list[int] = []

    def at_pixels(tag: int, _: str | None, length: int) -> bool:
        if tag in PIXELS:
            reached.append(length)
        return tag in PIXELS

    try:
        _check_deflated(path)
        with path.open("rb") as file:
            dataset = read_partial(file, at_pixels, specific_tags=list(WANTED))
        return _header(path, dataset, has_pixels=bool(reached))
    except FAULTS:  # whose words may quote the patient, so that they are not passed on
        raise ImageError(f"{path}: is cut or damaged DICOM. Copy it again.") from None


def _header(path: Path, dataset: Any, *, has_pixels: bool) -> Header:
    sop_class = text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID")
    kind = sop_class
    ended = "SOPClassUID" not in dataset and not has_pixels
    if ended and kind != MediaStorageDirectoryStorage:
        raise EOFError("ends before the tag that every object has")
    modality = text(dataset, "Modality")
    if not kind and modality in MODALITIES:
        kind, called = modality, modality
    else:
        called = VOLUMES.get(kind) or _object_name(kind)
    volume = kind in VOLUMES or kind in MODALITIES
    number = numbers(dataset, "SeriesNumber", 1)
    return Header(
        path=path,
        kind=kind if volume else "",
        called=called,
        sop_class=sop_class,
        instance=text(dataset, "SOPInstanceUID")
        or text(dataset.file_meta, "MediaStorageSOPInstanceUID"),
        study=text(dataset, "StudyInstanceUID"),
        series=text(dataset, "SeriesInstanceUID"),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        modality=modality,
        number=int(number[0]) if number else None,
        description=text(dataset, "SeriesDescription"),
        rows=_count(dataset, "Rows"),
        columns=_count(dataset, "Columns"),
        marks=tuple(text(dataset, keyword) for keyword in MARKS),
        localiser="LOCALIZER" in text(dataset, "ImageType").upper(),
        multiframe="PerFrameFunctionalGroupsSequence" in dataset
        or _count(dataset, "NumberOfFrames") > 1,
        has_pixels=has_pixels,
        frames=frames_of(dataset) if volume else (),
    )


def _object_name(uid: str) -> str:
    """`Segmentation`, `Enhanced SR` ...; a private class is only called so."""
    known = UID(uid)
    if not uid or known.is_private or known.name == uid:
        return "unknown object"
    return known.name.replace(" Storage", "").removesuffix(" IOD")


def frames_of(dataset: Any) -> tuple[Frame, ...]:
    """The planes of a file in the order of its pixels."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if not per_frame:
        one = Frame(
            numbers(dataset, "ImagePositionPatient", 3),
            numbers(dataset, "ImageOrientationPatient", 6),
            numbers(dataset, "PixelSpacing", 2),
            _scale(dataset),
        )
        return (one,) * max(1, min(_count(dataset, "NumberOfFrames"), 2))
    if len(per_frame) != max(1, _count(dataset, "NumberOfFrames")):
        raise ValueError("the frames are not those that are described")
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    return tuple(_functional(groups, shared) for groups in per_frame)


def _functional(groups: Any, shared: Any) -> Frame:
    def part(sequence: str) -> Any:
        found = groups.get(sequence) or shared.get(sequence)
        return found[0] if found else Dataset()

    return Frame(
        numbers(part("PlanePositionSequence"), "ImagePositionPatient", 3),
        numbers(part("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        numbers(part("PixelMeasuresSequence"), "PixelSpacing", 2),
        _scale(part("PixelValueTransformationSequence")),
    )


def _scale(dataset: Any) -> tuple[float, ...] | None:
    """Slope and intercept; (1, 0) where neither is given."""
    given = [word for word in ("RescaleSlope", "RescaleIntercept") if dataset.get(word) is not None]
    if not given:
        return 1.0, 0.0
    slope = numbers(dataset, "RescaleSlope", 1)
    intercept = numbers(dataset, "RescaleIntercept", 1)
    return (*slope, *intercept) if slope and intercept and slope[0] else None


def numbers(dataset: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """So many finite numbers, or None."""
    try:
        value = dataset.get(keyword)
        given = [value] if count == 1 else list(value or ())
        found = tuple(float(one) for one in given)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def _count(dataset: Any, keyword: str) -> int:
    found = numbers(dataset, keyword, 1)
    return int(found[0]) if found else 0


def text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    if value is None:
        return ""
    parts = value if isinstance(value, list | MultiValue) else [value]
    return "\\".join(str(one) for one in parts).strip(" \0")


def _check_deflated(path: Path) -> None:
    """Refuse a deflated file that would not end, before pydicom inflates it in one piece."""
    with path.open("rb") as file:
        start = file.read(1024)
        if DeflatedExplicitVRLittleEndian.encode() not in start:
            return
        file.seek(144 + int.from_bytes(start[140:144], "little"))
        stream, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while (block := stream.unconsumed_tail or file.read(1 << 16)) and not stream.eof:
            size += len(stream.decompress(block, 1 << 20))
            if size > LARGEST_INFLATED:
                raise ValueError("inflates without end")
