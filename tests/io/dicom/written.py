"""DICOM series written for tests, sound and broken, with canaries where patients stand."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

CANARIES = (
    "PatientName", "PatientID", "OtherPatientNames", "PatientAddress", "PatientComments",
    "PatientMotherBirthName", "EthnicGroup", "Occupation", "AdditionalPatientHistory",
    "MilitaryRank", "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy", "RequestingPhysician", "AccessionNumber", "StudyID",
    "StationName", "StudyDescription", "SeriesDescription", "ProtocolName", "DeviceSerialNumber",
    "ImageComments", "RequestedProcedureDescription", "PerformedProcedureStepDescription",
    "DerivationDescription",
)  # fmt: skip
DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
CANARY_DATE = "19070209"
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
"""Directions along a row and along a column."""


def canary(keyword: str) -> str:
    """A value that occurs nowhere else, short enough for every text tag."""
    return f"ZQ{CANARIES.index(keyword):02d}X"


def voxels(shape: tuple[int, int, int] = (6, 7, 9)) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 2000, shape).astype(np.uint16)


def write_series(
    folder: Path,
    array: np.ndarray | None = None,
    *,
    axes: tuple[tuple[float, ...], tuple[float, ...]] = AXIAL,
    spacing: tuple[float, float, float] = (2.5, 0.75, 1.25),
    corner: tuple[float, float, float] = (-30.5, 12.25, 100.0),
    uid: str | None = None,
    number: int | None = 3,
    shuffled: bool = True,
) -> list[Path]:
    """One file per slice, from the lowest to the highest along the normal; names tell no order."""
    array = voxels() if array is None else array
    study, series, frame = generate_uid(), uid or generate_uid(), generate_uid()
    normal = np.cross(*axes)
    names = np.random.default_rng(5).permutation(len(array)) if shuffled else range(len(array))
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index, (name, plane) in enumerate(zip(names, array, strict=True)):
        data = _blank(plane)
        data.StudyInstanceUID, data.SeriesInstanceUID = study, series
        data.FrameOfReferenceUID = frame
        data.SeriesNumber = number
        data.InstanceNumber = index + 1
        data.ImagePositionPatient = _ds(np.add(corner, normal * spacing[0] * index))
        data.ImageOrientationPatient = _ds(np.ravel(axes))
        data.PixelSpacing = list(spacing[1:])
        data.SliceThickness = 99
        data.SpacingBetweenSlices = 77
        path = folder / f"IM{name:04d}"
        data.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


def edit(path: Path, **tags: object) -> None:
    """Change tags of a file; None takes one away."""
    data = pydicom.dcmread(path)
    for keyword, value in tags.items():
        if value is None:
            del data[keyword]
        else:
            setattr(data, keyword, value)
    data.save_as(path)


def _ds(values: np.ndarray) -> list[str]:
    return [f"{value:.10g}" for value in values]


def _blank(plane: np.ndarray) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage if plane.dtype.kind == "u" else CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    data.Modality = "MR" if plane.dtype.kind == "u" else "CT"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    for keyword in CANARIES:
        setattr(data, keyword, canary(keyword))
    for keyword in DATES:
        setattr(data, keyword, CANARY_DATE)
    data.StudyTime, data.PatientSex = "101112", "O"
    data.Rows, data.Columns = plane.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * plane.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(plane.dtype.kind == "i")
    data.PixelData = plane.tobytes()
    return data


def other_object(path: Path, sop_class: str) -> None:
    """A DICOM object without slices."""
    data: Dataset = _blank(np.zeros((2, 2), np.uint16))
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
    del data.PixelData
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
