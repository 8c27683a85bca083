"""The files of one segmentation: in which formats, and whether they are still intact."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Integer

from segttt.cases import Case, Segmentation, Volume
from segttt.errors import UsageError
from segttt.io.files import digest, make_folder
from segttt.io.volumes import (
    is_series,
    segmentation_name,
    write_dicom,
    write_map,
    write_segmentation,
)

Format = Literal["nifti", "dicom-seg", "rtstruct"]
SegType = Literal["binary", "labelmap"]
ENDINGS: dict[str, str] = {"dicom-seg": ".seg.dcm", "rtstruct": ".rtstruct.dcm"}
"""Of the formats that refer to a DICOM series."""
ENTRIES: dict[str, str] = {"dicom-seg": "dicom_seg", "rtstruct": "rtstruct"}
"""Where the manifest has them; NIfTI is the entry's own file."""


@dataclass(frozen=True)
class Output:
    """How segmentations are written."""

    formats: Sequence[Format] = ()
    """Empty: files as they came in; of DICOM series NIfTI, and DICOM SEG where it is possible."""
    seg_type: SegType = "binary"


def require_apart(targets: Iterable[Path], sources: Iterable[Path]) -> None:
    """A `UsageError` where a file that is to be written is one that is read."""
    read = {path.resolve() for path in sources}
    for target in targets:
        if target.resolve() in read:
            raise UsageError(
                f"{target}: is a scan that its segmentation would overwrite. Name another place."
            )


def remove_outputs(out: Path, entry: Mapping[str, Any] | None) -> None:
    """Remove the files of a manifest's entry, which must not pass for those of a later prediction.

    Entries that name anything outside `out` are left alone.
    """
    for one in _written(entry or {}):
        path = (out / str(one["file"])).resolve()
        if path.is_relative_to(out.resolve()):
            path.unlink(missing_ok=True)


def write_outputs(
    out: Path, case: Case, segmentation: Segmentation, labels: Mapping[int, str], output: Output
) -> dict[str, Any]:
    """Write a case in the wanted formats; returns the names and checksums for the manifest."""
    series = is_series(case)
    formats = output.formats or (("nifti", "dicom-seg") if series else ("nifti",))
    referring = [one for one in ENDINGS if one in formats]
    if referring and not series:
        raise UsageError(
            f"--format {referring[0]}: {case.images[0]} is no DICOM series that it could refer to. "
            "Leave the option out."
        )
    entry: dict[str, Any] = {}
    if "nifti" in formats:
        image = out / segmentation_name(case)
        write_segmentation(image, segmentation)
        entry |= {"file": image.name, "sha256": digest(image)}
    for one in referring:
        target = out / f"{case.id}{ENDINGS[one]}"
        kind = "rtstruct" if one == "rtstruct" else output.seg_type
        optional = not output.formats
        if write_dicom(target, case, segmentation, labels, kind, optional=optional):
            entry[ENTRIES[one]] = {"file": target.name, "sha256": digest(target)}
    return entry


def write_cells(out: Path, volume: Volume, classes: Integer[np.ndarray, "z y x"]) -> dict[str, Any]:
    """Write the objects that interior and boundary show, numbered in 16 bits, `instances/CASE`."""
    from segttt.preprocessing.cells import decode  # scikit-image is slow to import

    cells = decode(classes)
    dtype = np.uint16 if cells.max() < 2**16 else np.uint32
    name = Path("instances") / segmentation_name(volume.case)
    name = name.with_suffix(".tif") if dtype == np.uint32 and name.suffix == ".png" else name
    make_folder(out / name.parent)
    write_map(out / name, cells.astype(dtype), volume)
    return {"file": name.as_posix(), "sha256": digest(out / name)}


def is_intact(out: Path, entry: Mapping[str, Any], formats: Sequence[Format] = ()) -> bool:
    """Whether a manifest's entry has the `formats`, and its files are what was written."""
    files = _written(entry)
    wanted = [ENTRIES.get(one, "file") for one in formats]
    return (
        bool(files)
        and all(key in entry for key in wanted)
        and all(
            (out / one["file"]).is_file() and digest(out / one["file"]) == one["sha256"]
            for one in files
        )
    )


def _written(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The files that a manifest's entry names, with their checksums."""
    found = (entry, *(entry.get(key) for key in ENTRIES.values()), *entry.get("maps", ()))
    return [one for one in found if isinstance(one, Mapping) and "file" in one]
