"""The files of one segmentation: in which formats, and whether they are still intact."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segttt.cases import Case, Segmentation
from segttt.errors import UsageError
from segttt.io.files import digest
from segttt.io.volumes import is_series, segmentation_name, write_dicom_seg, write_segmentation

Format = Literal["nifti", "dicom-seg", "both"]
SegType = Literal["binary", "labelmap"]


@dataclass(frozen=True)
class Output:
    """How segmentations are written."""

    format: Format | None = None
    """None: files as they came in; of DICOM series NIfTI, and DICOM SEG where it is possible."""
    seg_type: SegType = "binary"


def write_outputs(
    out: Path, case: Case, segmentation: Segmentation, labels: Mapping[int, str], output: Output
) -> dict[str, Any]:
    """Write a case in the wanted formats; returns the names and checksums for the manifest."""
    series = is_series(case)
    if not series and output.format in ("dicom-seg", "both"):
        raise UsageError(
            f"--format {output.format}: {case.images[0]} is no DICOM series that a DICOM SEG could "
            "refer to. Leave the option out."
        )
    entry: dict[str, Any] = {}
    if output.format != "dicom-seg":
        image = out / segmentation_name(case)
        write_segmentation(image, segmentation)
        entry |= {"file": image.name, "sha256": digest(image)}
    if series and output.format != "nifti":
        target = out / f"{case.id}.seg.dcm"
        optional = output.format is None
        if write_dicom_seg(target, case, segmentation, labels, output.seg_type, optional=optional):
            entry["dicom_seg"] = {"file": target.name, "sha256": digest(target)}
    return entry


def is_intact(out: Path, entry: Mapping[str, Any]) -> bool:
    """Whether the files of a manifest's entry are, byte for byte, what was written."""
    written = (entry, entry.get("dicom_seg"), *entry.get("maps", ()))
    files = [one for one in written if one and "file" in one]
    return bool(files) and all(
        (out / one["file"]).is_file() and digest(out / one["file"]) == one["sha256"]
        for one in files
    )
