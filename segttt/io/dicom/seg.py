"""Segmentations as DICOM SEG on the grid of their source, written by highdicom.

The one output that carries patient and study: the standard demands them, copied from the source.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import highdicom
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription, segread
from highdicom.sr.coding import CodedConcept
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.valuerep import DSfloat

from segttt import __version__
from segttt.cases import Segmentation
from segttt.errors import ImageError, ResourceError
from segttt.geometry.grid import Grid
from segttt.io.dicom.codes import Code, meaning_of
from segttt.io.dicom.header import FAULTS
from segttt.io.files import replace_atomically

SegType = Literal["binary", "labelmap"]
NEEDED = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID",
)  # fmt: skip
MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "Modality",
)  # fmt: skip
SERIES_NUMBERS = 1000  # added to the source's, so that the two do not meet in a viewer


def lacking(files: Sequence[Path]) -> str:
    """The first tag that a SEG must refer to and the source does not have; empty where none."""
    head = dcmread(files[0], specific_tags=list(NEEDED), stop_before_pixels=True)
    return next((keyword for keyword in NEEDED if not head.get(keyword)), "")


def write_seg(
    path: Path,
    segmentation: Segmentation,
    labels: Mapping[int, str],
    files: Sequence[Path],
    kind: SegType,
) -> None:
    """Write the label map atomically with references to `files`, read it back and compare.

    Segments are numbered in the order of `labels`. An `ImageError` where the source cannot be
    referred to, a `ResourceError` where the copy on disk is not what was to be written.
    """
    if missing := lacking(files):
        raise ImageError(
            f"{files[0].parent}: a DICOM SEG must refer to its source, which has no {missing}. "
            "Use --format nifti."
        )
    numbered = np.zeros(segmentation.labels.shape, np.uint8 if len(labels) < 256 else np.uint16)
    for number, value in enumerate(labels, start=1):
        numbered[segmentation.labels == value] = number
    sources = [_source(file, segmentation.grid) for file in files]
    volume = highdicom.Volume(
        numbered,
        affine_of(segmentation.grid),
        "PATIENT",
        frame_of_reference_uid=sources[0].FrameOfReferenceUID,
    )
    try:
        written = _segmentation(volume, labels, sources, kind)
    except FAULTS:  # whose words may quote the patient, so that they are not passed on
        raise ImageError(
            f"{files[0].parent}: no DICOM SEG can be made for this series. Use --format nifti."
        ) from None
    with replace_atomically(path) as temporary:
        written.save_as(temporary)
        found = read_seg(temporary, volume)
        if not np.array_equal(found, numbered):
            raise ResourceError(f"{path}: differs after writing. Is the disk full or damaged?")


def read_seg(path: Path, grid: highdicom.Volume) -> np.ndarray:
    """The segment numbers of a DICOM SEG on the grid of a volume, zero where nothing is."""
    segments = segread(path)
    found = segments.get_volume(combine_segments=True, skip_overlap_checks=True)
    return found.match_geometry(grid).array


def affine_of(grid: Grid) -> np.ndarray:
    """The 4 x 4 matrix from array index (z, y, x) to (left, posterior, superior) in mm."""
    affine = np.eye(4)
    affine[:3, :3] = (np.asarray(grid.direction) * np.asarray(grid.spacing_mm)[:, None]).T
    affine[:3, 3] = grid.origin_mm
    return affine


def _source(file: Path, grid: Grid) -> Any:
    """A header of the source with every tag that may be empty, and the true distance of slices.

    highdicom copies SpacingBetweenSlices where it is given, and it is often wrong.
    """
    head = dcmread(file, stop_before_pixels=True)
    for keyword in MAY_BE_EMPTY:
        if head.get(keyword) is None:
            setattr(head, keyword, "")
    groups = [*head.get("SharedFunctionalGroupsSequence", ())]
    groups += head.get("PerFrameFunctionalGroupsSequence", ())
    measures = [one for group in groups for one in group.get("PixelMeasuresSequence", ())]
    for place in (head, *measures):
        place.SpacingBetweenSlices = DSfloat(grid.spacing_mm[0], auto_format=True)
    return head


def _segmentation(
    volume: highdicom.Volume, labels: Mapping[int, str], sources: Sequence[Any], kind: SegType
) -> highdicom.seg.Segmentation:
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=volume,
        segmentation_type=kind.upper(),
        segment_descriptions=[
            _description(number, name) for number, name in enumerate(labels.values(), start=1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBERS + int(sources[0].get("SeriesNumber") or 0),
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
