"""Segmentations as RTSTRUCT: closed contours on every slice of their source.

A hole is a contour of its own within another one; all contours of an ROI on one slice count
together (a pixel is inside where an odd number of them encloses it).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from segttt import __version__
from segttt.cases import Remedies, Segmentation
from segttt.errors import ImageError
from segttt.io.dicom.codes import Code, meaning_of
from segttt.io.dicom.header import FAULTS
from segttt.io.dicom.polygons import outlines
from segttt.io.dicom.scan import Scan, open_scan
from segttt.io.dicom.source import (
    MAY_BE_EMPTY,
    numbered_on_slices,
    require_references,
    series_number,
    verify,
)
from segttt.io.files import replace_atomically

STUDY_MANAGEMENT = (
    "1.2.840.10008.3.1.2.3.1"  # retired, and still what RTSTRUCT refers to studies by
)
COLOURS = (
    (230, 25, 75), (60, 180, 75), (0, 130, 200), (255, 225, 25), (245, 130, 48), (145, 30, 180),
    (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 212), (0, 128, 128), (170, 110, 40),
    (128, 0, 0), (0, 0, 128), (128, 128, 0), (220, 190, 255),
)  # fmt: skip
"""Of the ROIs in turn."""
DECIMALS = 4  # of a contour's coordinates in mm; a number has at most 16 characters


def write_rtstruct(
    path: Path,
    segmentation: Segmentation,
    labels: Mapping[int, str],
    files: Sequence[Path],
    remedies: Remedies = Remedies(),  # noqa: B008  (frozen)
) -> None:
    """Write the label map atomically with references to `files`, read it back and compare.

    It lies on the slices as the scanner made them. ROIs are numbered in the order of `labels`;
    those without a voxel have no contours. Errors as of `write_seg`.
    """
    require_references(files)
    scan = open_scan(files, remedies)
    numbered = numbered_on_slices(segmentation, labels, scan)
    try:
        written = _structure_set(numbered, labels, files, scan)
    except FAULTS:  # whose words may quote the patient, so that they are not passed on
        raise ImageError(
            f"{scan.folder}: no RTSTRUCT can be made for this series. Use --format nifti."
        ) from None
    with replace_atomically(path) as temporary:
        written.save_as(temporary, enforce_file_format=True)
        verify(temporary, path, numbered, scan)


def _structure_set(
    numbered: np.ndarray, labels: Mapping[int, str], files: Sequence[Path], scan: Scan
) -> FileDataset:
    images = [_image(*one) for one in scan.frames]
    dataset = _empty(files[0])
    dataset.ReferencedFrameOfReferenceSequence = [_references(scan, images)]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    for number, name in enumerate(labels.values(), start=1):
        plain = name.encode("ascii", "replace").decode()[:64]  # the character set may lack it
        contours = _contours(numbered == number, scan, images)
        dataset.StructureSetROISequence.append(
            _item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=scan.headers[0].frame_of_reference,
                ROIName=plain,
                ROIGenerationAlgorithm="AUTOMATIC",
                ROIGenerationDescription=f"segttt {__version__}",
            )
        )
        dataset.ROIContourSequence.append(
            _item(
                ROIDisplayColor=list(COLOURS[(number - 1) % len(COLOURS)]),
                ReferencedROINumber=number,
                **({"ContourSequence": contours} if contours else {}),
            )
        )
        dataset.RTROIObservationsSequence.append(_observation(number, name, plain))
    return dataset


def _empty(source: Path) -> FileDataset:
    """An object of the source's study; of the patient it has what the standard demands."""
    head = dcmread(source, stop_before_pixels=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian  # explicit VR ends a contour at 64 KiB
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    for keyword in ("SpecificCharacterSet", "StudyInstanceUID", "FrameOfReferenceUID"):
        if keyword in head:
            setattr(dataset, keyword, head.get(keyword))
    for keyword in MAY_BE_EMPTY:
        value = head.get(keyword)
        setattr(dataset, keyword, "" if value is None else value)
    now = datetime.now(UTC)
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        RTStructureSetStorage,
        meta.MediaStorageSOPInstanceUID,
    )
    dataset.Modality, dataset.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    dataset.SeriesNumber, dataset.InstanceNumber = series_number(head), 1
    dataset.SeriesDescription = "segttt segmentation"
    dataset.OperatorsName = dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = dataset.ManufacturerModelName = "segttt"
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = __version__, "none"
    dataset.StructureSetLabel, dataset.ApprovalStatus = "SEGMENTATION", "UNAPPROVED"
    dataset.StructureSetDescription = "Automatic segmentation, not for diagnosis"
    dataset.StructureSetDate = dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.StructureSetTime = dataset.InstanceCreationTime = now.strftime("%H%M%S")
    return dataset


def _references(scan: Scan, images: Sequence[Dataset]) -> Dataset:
    head = scan.headers[0]
    series = _item(SeriesInstanceUID=head.series, ContourImageSequence=list(images))
    study = _item(
        ReferencedSOPClassUID=STUDY_MANAGEMENT,
        ReferencedSOPInstanceUID=head.study,
        RTReferencedSeriesSequence=[series],
    )
    return _item(FrameOfReferenceUID=head.frame_of_reference, RTReferencedStudySequence=[study])


def _image(header: Any, frame: int) -> Dataset:
    """The reference to one slice."""
    image = _item(ReferencedSOPClassUID=header.sop_class, ReferencedSOPInstanceUID=header.instance)
    if header.multiframe:
        image.ReferencedFrameNumber = frame
    return image


def _contours(mask: np.ndarray, scan: Scan, images: Sequence[Dataset]) -> list[Dataset]:
    contours = []
    for index in np.flatnonzero(mask.any((1, 2))).tolist():
        for polygon in outlines(mask[index]):
            points = scan.stack.slices.points_mm(index, polygon)
            contours.append(
                _item(
                    ContourImageSequence=[images[index]],
                    ContourGeometricType="CLOSED_PLANAR",
                    NumberOfContourPoints=len(points),
                    ContourNumber=len(contours) + 1,
                    ContourData=[f"{value:.{DECIMALS}f}" for value in points.ravel().tolist()],
                )
            )
    return contours


def _observation(number: int, name: str, plain: str) -> Dataset:
    meaning = meaning_of(name)
    code = _coded(meaning.kind)
    if meaning.side:
        code.SegmentedPropertyTypeModifierCodeSequence = [_coded(meaning.side)]
    return _item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        ROIObservationLabel=plain[:16],
        RTROIIdentificationCodeSequence=[code],
        RTROIInterpretedType="ORGAN",
        ROIInterpreter="",
    )


def _coded(code: Code) -> Dataset:
    return _item(CodeValue=code[0], CodingSchemeDesignator="SCT", CodeMeaning=code[1])


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
