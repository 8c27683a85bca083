"""What a DICOM segmentation takes from the series that it refers to, and how it is proved."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer
from pydicom import dcmread

from segttt.cases import Segmentation
from segttt.errors import DataError, ImageError
from segttt.io.dicom.annotation import open_annotation
from segttt.io.dicom.region import merged
from segttt.io.dicom.regular import to_slices
from segttt.io.dicom.scan import Scan
from segttt.io.files import unwritable

NEEDED = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID",
)  # fmt: skip
MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "Modality",
)  # fmt: skip
"""Tags of patient and study that the standard demands, though without a value."""
SERIES_NUMBERS = 1000  # added to the source's, so that the two do not meet in a viewer


def lacking(files: Sequence[Path]) -> str:
    """The first tag that a segmentation must refer to and the source does not have, else empty."""
    head = dcmread(files[0], specific_tags=list(NEEDED), stop_before_pixels=True)
    return next((keyword for keyword in NEEDED if not head.get(keyword)), "")


def series_number(head: Any) -> int:
    """Of the segmentation, told apart from that of its source."""
    return SERIES_NUMBERS + int(head.get("SeriesNumber") or 0)


def require_references(files: Sequence[Path]) -> None:
    """An `ImageError` where the series cannot be referred to."""
    if missing := lacking(files):
        raise ImageError(
            f"{files[0].parent}: a DICOM segmentation must refer to its source, which has no "
            f"{missing}. Use --format nifti."
        )


def numbered_on_slices(
    segmentation: Segmentation, labels: Mapping[int, str], scan: Scan
) -> Integer[np.ndarray, "n rows columns"]:
    """The label map on the slices of the source, labels numbered from 1 in their order."""
    numbered = np.zeros(segmentation.labels.shape, np.uint8 if len(labels) < 256 else np.uint16)
    for number, value in enumerate(labels, start=1):
        numbered[segmentation.labels == value] = number
    return to_slices(numbered, scan.stack)


def verify(
    temporary: Path, path: Path, numbered: Integer[np.ndarray, "n rows columns"], scan: Scan
) -> None:
    """Read a written file as a label and compare; a `ResourceError` names `path` if it differs."""
    try:
        annotation = open_annotation(temporary)
        numbers = {number: number for number in annotation.names}
        same = np.array_equal(merged(annotation, scan.stack.slices, numbers), numbered)
    except DataError:
        same = False
    if not same:
        raise unwritable(path, "it differs after writing")
