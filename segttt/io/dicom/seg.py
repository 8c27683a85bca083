"""Segmentations as DICOM SEG on the grid of their source, written by highdicom.

With RTSTRUCT the output that carries patient and study: the standard demands them, copied from the
source.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import highdicom
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
from highdicom.sr.coding import CodedConcept
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.valuerep import DSfloat

from segttt import __version__
from segttt.cases import Remedies, Segmentation
from segttt.errors import ImageError
from segttt.geometry.grid import Grid
from segttt.io.dicom.codes import Code, meaning_of
from segttt.io.dicom.header import FAULTS
from segttt.io.dicom.scan import Scan, open_scan
from segttt.io.dicom.source import (
    MAY_BE_EMPTY,
    numbered_on_slices,
    require_references,
    series_number,
    verify,
)
from segttt.io.files import replace_atomically

SegType = Literal["binary", "labelmap"]


def write_seg(
    path: Path,
    segmentation: Segmentation,
    labels: Mapping[int, str],
    files: Sequence[Path],
    kind: SegType,
    remedies: Remedies = Remedies(),  # noqa: B008  (frozen)
) -> None:
    """Write the label map atomically with references to `files`, read it back and compare.

    It lies on the slices as the scanner made them, whatever `remedies` made of them. Segments are
    numbered in the order of `labels`. An `ImageError` where the source cannot be referred to, a
    `ResourceError` where the copy on disk is not what was to be written.
    """
    require_references(files)
    scan = open_scan(files, remedies)
    numbered = numbered_on_slices(segmentation, labels, scan)
    sources = [_source(file, scan) for file in files]
    try:
        written = _segmentation(_placed(numbered, scan), labels, sources, kind)
    except FAULTS:  # whose words may quote the patient, so that they are not passed on
        raise ImageError(
            f"{files[0].parent}: no DICOM SEG can be made for this series. Use --format nifti."
        ) from None
    with replace_atomically(path) as temporary:
        written.save_as(temporary)
        verify(temporary, path, numbered, scan)


def _placed(numbered: np.ndarray, scan: Scan) -> dict[str, Any]:
    """The array and its place, as highdicom takes them."""
    if not scan.stack.remedies:
        frame = scan.headers[0].frame_of_reference
        place = affine_of(scan.stack.grid)
        return {
            "pixel_array": highdicom.Volume(
                numbered, place, "PATIENT", frame_of_reference_uid=frame
            )
        }
    slices = scan.stack.slices
    return {
        "pixel_array": numbered,
        "plane_positions": [
            highdicom.PlanePositionSequence("PATIENT", corner)
            for corner in slices.corners_mm.tolist()
        ],
    }


def affine_of(grid: Grid) -> np.ndarray:
    """The 4 x 4 matrix from array index (z, y, x) to (left, posterior, superior) in mm."""
    affine = np.eye(4)
    affine[:3, :3] = (np.asarray(grid.direction) * np.asarray(grid.spacing_mm)[:, None]).T
    affine[:3, 3] = grid.origin_mm
    return affine


def _source(file: Path, scan: Scan) -> Any:
    """A header of the source with every tag that may be empty, and the true distance of slices.

    highdicom copies SpacingBetweenSlices where it is given, and it is often wrong; slices that are
    no regular stack have none.
    """
    head = dcmread(file, stop_before_pixels=True)
    for keyword in MAY_BE_EMPTY:
        if head.get(keyword) is None:
            setattr(head, keyword, "")
    groups = [*head.get("SharedFunctionalGroupsSequence", ())]
    groups += head.get("PerFrameFunctionalGroupsSequence", ())
    measures = [one for group in groups for one in group.get("PixelMeasuresSequence", ())]
    for place in (head, *measures):
        if not scan.stack.remedies:
            step = DSfloat(scan.stack.grid.spacing_mm[0], auto_format=True)
            place.SpacingBetweenSlices = step
        elif "SpacingBetweenSlices" in place:
            del place.SpacingBetweenSlices
    return head


def _segmentation(
    placed: dict[str, Any], labels: Mapping[int, str], sources: Sequence[Any], kind: SegType
) -> highdicom.seg.Segmentation:
    return highdicom.seg.Segmentation(
        source_images=sources,
        **placed,
        segmentation_type=kind.upper(),
        segment_descriptions=[
            _description(number, name) for number, name in enumerate(labels.values(), start=1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=series_number(sources[0]),
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="segttt",
        manufacturer_model_name="segttt",
        software_versions=__version__,
        device_serial_number="none",
        content_label="SEGMENTATION",
        content_description="Automatic segmentation, not for diagnosis",
        series_description="segttt segmentation",
    )


def _description(number: int, name: str) -> SegmentDescription:
    meaning = meaning_of(name)
    plain = name.encode("ascii", "replace").decode()  # the source's character set may lack it
    described = SegmentDescription(
        segment_number=number,
        segment_label=plain[:64],
        segmented_property_category=_coded(meaning.category),
        segmented_property_type=_coded(meaning.kind),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="segttt", version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
    )
    described.SegmentDescription = plain[:1024]
    if meaning.side:
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            _coded(meaning.side)
        ]
    return described


def _coded(code: Code) -> CodedConcept:
    return CodedConcept(code[0], "SCT", code[1])
