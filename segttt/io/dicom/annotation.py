"""DICOM SEG and RTSTRUCT as label maps: segments and ROIs are known by their names."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Int

from segttt.errors import GeometryError, LabelError
from segttt.io.dicom.find import walk
from segttt.io.dicom.header import FAULTS, Header, read_header
from segttt.io.dicom.read_rtstruct import open_rtstruct
from segttt.io.dicom.read_seg import open_seg
from segttt.io.dicom.region import Annotation, merged
from segttt.io.dicom.slices import Slices

READERS = {
    "1.2.840.10008.5.1.4.1.1.66.4": open_seg,
    "1.2.840.10008.5.1.4.1.1.66.7": open_seg,  # label maps
    "1.2.840.10008.5.1.4.1.1.481.3": open_rtstruct,
}
"""SOP class -> what opens it."""
LONGEST = 64  # characters of a name in DICOM


def same_name(name: str) -> str:
    """A name as names are compared: without case, with blanks for underscores, as DICOM keeps it.

    Letters beyond ASCII count as one, since many files cannot hold them.
    """
    plain = name.encode("ascii", "replace").decode()[:LONGEST]
    return " ".join(plain.casefold().replace("_", " ").split())


def number_names(names: Iterable[str]) -> dict[int, str]:
    """Numbers from 1 for all names in sorted order; names that count as one have one number."""
    spellings: dict[str, str] = {}
    for name in sorted(names):
        spellings.setdefault(same_name(name), name)
    return {index: spellings[key] for index, key in enumerate(sorted(spellings), start=1)}


def names_in(path: Path) -> list[str]:
    """Names of the segments or ROIs of a file."""
    return list(open_annotation(path).names.values())


def read_annotation(
    path: Path, slices: Slices, labels: Mapping[int, str], source: Path | None = None
) -> Int[np.ndarray, "n rows columns"]:
    """The label map on the slices, with the values that `labels` give to the names.

    With `source`, a file of the series, its UIDs must be those that the label refers to. A
    `LabelError` names what is not among the labels, or overlaps; a `GeometryError` what lies
    elsewhere.
    """
    annotation = open_annotation(path)
    if source:
        _check_references(annotation, read_header(source))
    values = _values(annotation, labels)
    try:
        return merged(annotation, slices, values)
    except FAULTS:  # whose words may quote the patient, so that they are not passed on
        raise LabelError(f"{path}: is cut or damaged DICOM. Copy it again.") from None


def open_annotation(path: Path) -> Annotation:
    """The segments or ROIs of a file, or of the one file in a folder.

    A `DataError` where it is neither or damaged.
    """
    if path.is_dir():
        inside = walk(path).dicom
        if len(inside) != 1:
            raise LabelError(f"{path}: holds {len(inside)} DICOM files where a label is one.")
        path = inside[0]
    header = read_header(path)
    if header.sop_class not in READERS:
        raise LabelError(
            f"{path}: is a DICOM object of the kind {header.called}; a label is a SEG or RTSTRUCT."
        )
    try:
        return READERS[header.sop_class](path)
    except FAULTS:
        raise LabelError(f"{path}: is cut or damaged DICOM. Copy it again.") from None


def _values(annotation: Annotation, labels: Mapping[int, str]) -> dict[int, int]:
    """Value of each segment or ROI by its name."""
    known: dict[str, int] = {}
    for value, name in labels.items():
        if known.setdefault(same_name(name), value) != value:
            raise LabelError(f"The labels {labels[known[same_name(name)]]} and {name} cannot be "
                             "told apart in DICOM. Rename one of them.")  # fmt: skip
    strange = [name for name in annotation.names.values() if same_name(name) not in known]
    if strange:
        more = f" and {len(strange) - 8} more" if len(strange) > 8 else ""
        raise LabelError(
            f"{annotation.path}: holds {', '.join(strange[:8])}{more}, which the dataset does not "
            f"declare; declared are {', '.join(labels.values()) or 'none'}. Declare them in "
            "dataset.json (for `segttt evaluate` by --labels), or take them out of the file."
        )
    return {number: known[same_name(name)] for number, name in annotation.names.items()}


def _check_references(annotation: Annotation, head: Header) -> None:
    if (
        not annotation.frame_of_reference
        or annotation.frame_of_reference != head.frame_of_reference
    ):
        wrong = "lies in another frame of reference (FrameOfReferenceUID) than"
    elif annotation.series and head.series not in annotation.series:
        wrong = "refers to another series (SeriesInstanceUID) than"
    else:
        return
    raise GeometryError(
        f"{annotation.path}: {wrong} the images in {head.path.parent}. "
        "Put it beside the series that it was made for."
    )
