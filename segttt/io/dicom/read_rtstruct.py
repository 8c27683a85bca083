"""Contours of an RTSTRUCT as regions on the slices of a series."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from segttt.errors import GeometryError, LabelError
from segttt.io.dicom.header import text
from segttt.io.dicom.polygons import inside
from segttt.io.dicom.region import Annotation, Region
from segttt.io.dicom.slices import Slices

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
APART = 0.5  # of the distance of slices, between a contour and its slice
LEVEL = 0.1  # of the distance of slices, between contours that count as drawn on one slice
Contours = dict[int, list[np.ndarray]]


def open_rtstruct(path: Path) -> Annotation:
    """The ROIs of a file that have closed contours; marked points are passed over."""
    dataset = dcmread(path)
    if "RTROIObservationsSequence" not in dataset:  # which follows the contours in every file
        raise EOFError("ends before the contours do")
    called = {int(one.ROINumber): text(one, "ROIName") for one in dataset.StructureSetROISequence}
    contours = _contours(dataset, called, path)
    return Annotation(
        path,
        {number: called[number] for number in contours},
        _frame_of_reference(dataset, contours, path),
        frozenset(_series(dataset)),
        partial(_regions, contours, called, path),
    )


def _contours(dataset: Any, called: dict[int, str], path: Path) -> Contours:
    """Closed contours in mm of each ROI; a `LabelError` names one that is drawn otherwise."""
    found: Contours = {}
    for roi in dataset.get("ROIContourSequence", ()):
        number = int(roi.ReferencedROINumber)
        for contour in roi.get("ContourSequence") or ():
            kind = text(contour, "ContourGeometricType").upper()
            if kind == "POINT":
                continue
            if kind not in CLOSED:
                raise LabelError(
                    f"{path}: {called[number]} has a contour of the kind {kind or 'unknown'}; "
                    "only closed ones enclose anything. Close it, or take it away."
                )
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            if len(points) != contour.NumberOfContourPoints or not np.isfinite(points).all():
                raise ValueError("the points are not those that are described")
            found.setdefault(number, []).append(points)
    return found


def _frame_of_reference(dataset: Any, contours: Contours, path: Path) -> str:
    """The one of all ROIs with contours, else of the whole file."""
    frames = {
        text(one, "ReferencedFrameOfReferenceUID")
        for one in dataset.StructureSetROISequence
        if int(one.ROINumber) in contours
    } - {""}
    if len(frames) > 1:
        raise LabelError(
            f"{path}: its ROIs lie in {len(frames)} frames of reference. "
            "Export those of one series alone."
        )
    whole = [
        text(one, "FrameOfReferenceUID")
        for one in dataset.get("ReferencedFrameOfReferenceSequence", ())
    ]
    return next(iter([*frames, *whole]), "")


def _series(dataset: Any) -> Iterator[str]:
    for frame in dataset.get("ReferencedFrameOfReferenceSequence", ()):
        for study in frame.get("RTReferencedStudySequence", ()):
            for series in study.get("RTReferencedSeriesSequence", ()):
                yield text(series, "SeriesInstanceUID")


def _regions(
    contours: Contours, called: dict[int, str], path: Path, slices: Slices
) -> Iterator[Region]:
    """All contours of an ROI on one slice count together: one within another is a hole."""
    for number, drawn in contours.items():
        by_slice: dict[int, list[np.ndarray]] = defaultdict(list)
        above_mm: dict[int, list[float]] = defaultdict(list)
        for points in drawn:
            place, above, pixels = slices.locate(points)
            index = int(np.median(place))
            above = above + slices.heights_mm[place] - slices.heights_mm[index]
            _check_level(above, slices, points, f"{path}: {called[number]}")
            by_slice[index].append(pixels)
            above_mm[index].append(float(above.mean()))
        for index, polygons in sorted(by_slice.items()):
            if np.ptp(above_mm[index]) > LEVEL * slices.usual_mm:
                raise GeometryError(
                    f"{path}: {called[number]} is drawn on slices that lie closer together than "
                    "those of the series. Use the series that it was drawn on."
                )
            yield Region(number, index, inside(polygons, *slices.size))


def _check_level(above: np.ndarray, slices: Slices, points: np.ndarray, roi: str) -> None:
    if np.ptp(above) > LEVEL * slices.usual_mm:
        raise GeometryError(
            f"{roi} has a contour that is not parallel to the slices of the series. "
            "Use the series that it was drawn on."
        )
    if np.abs(above).max() > (APART + LEVEL) * slices.usual_mm:
        at = ", ".join(f"{value:g}" for value in points[0])
        raise GeometryError(
            f"{roi} has a contour at {at} mm, which lies on no slice of the series. "
            "Use the series that it was drawn on."
        )
