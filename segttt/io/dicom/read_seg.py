"""Frames of a DICOM SEG as regions on the slices of a series."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from highdicom.seg import SegmentationTypeValues, segread

from segttt.errors import GeometryError, LabelError
from segttt.io.dicom.header import Frame, frames_of, text
from segttt.io.dicom.pixels import LARGEST_SIDE
from segttt.io.dicom.region import Annotation, Region
from segttt.io.dicom.slices import Slices

BESIDE = 0.15  # of a pixel or of the distance of slices; a regular stack may stray by 0.1
CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def open_seg(path: Path) -> Annotation:
    """The segments of a file, of any type; fractions above one half count as inside."""
    dataset = segread(path)
    if max(int(dataset.Rows), int(dataset.Columns)) > LARGEST_SIDE:
        raise LabelError(f"{path}: says that it has {dataset.Rows} x {dataset.Columns} pixels.")
    names = {int(one.SegmentNumber): text(one, "SegmentLabel") for one in dataset.SegmentSequence}
    return Annotation(
        path,
        {number: name for number, name in names.items() if number},  # 0 may name the background
        text(dataset, "FrameOfReferenceUID"),
        frozenset(
            text(one, "SeriesInstanceUID") for one in dataset.get("ReferencedSeriesSequence", ())
        ),
        partial(_regions, dataset, path),
    )


def _regions(dataset: Any, path: Path, slices: Slices) -> Iterator[Region]:
    kind = dataset.segmentation_type
    half = int(dataset.get("MaximumFractionalValue") or 1) / 2
    for index, frame in enumerate(frames_of(dataset)):
        pixels = dataset.get_stored_frame(index, as_index=True)
        if not pixels.any():
            continue
        if kind == SegmentationTypeValues.LABELMAP:
            parts = [(int(number), pixels == number) for number in np.unique(pixels) if number]
        else:
            parts = [(_segment(dataset, index), pixels > half)]
        place, (row, column), turn = _placed(frame, pixels.shape, slices, path)
        for number, inside in parts:
            mask = np.zeros(slices.size, bool)
            upright = inside.T if turn[0, 0] == 0 else inside
            part = upright[:: turn[:, 0].sum(), :: turn[:, 1].sum()]
            mask[row : row + part.shape[0], column : column + part.shape[1]] = part
            yield Region(number, place, mask)


def _segment(dataset: Any, index: int) -> int:
    """The segment that a frame shows; where all show one, it may be said once for all."""
    groups = dataset.PerFrameFunctionalGroupsSequence[index]
    if "SegmentIdentificationSequence" not in groups:
        groups = dataset.SharedFunctionalGroupsSequence[0]
    return int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _placed(
    frame: Frame, shape: tuple[int, ...], slices: Slices, path: Path
) -> tuple[int, np.ndarray, np.ndarray]:
    """The slice of a frame, its lowest row and column there, and where its rows and columns run.

    Frames may be mirrored or turned by right angles in plane, or show a part of the slice.
    """
    if frame.position is None or frame.orientation is None or frame.spacing is None:
        raise GeometryError(
            f"{path}: has frames without position, orientation or spacing. Export it again."
        )
    along_row, along_column = np.reshape(frame.orientation, (2, 3))
    steps = np.stack([along_column * frame.spacing[0], along_row * frame.spacing[1]])
    far = np.subtract(shape, 1)
    found, above, corners = slices.locate(np.array(frame.position) + (CORNERS * far) @ steps)
    if np.abs(above).max() > BESIDE * slices.usual_mm or (found != found[0]).any():
        raise GeometryError(
            f"{path}: the frame at {_words(frame.position)} mm lies on no slice of the series. "
            "Use the series that was segmented."
        )
    turn = np.rint(steps @ slices.axes[1:].T / np.array(slices.pixel_mm)).astype(int)
    start = np.rint(corners[0]).astype(int)
    expected = start + (CORNERS * far) @ turn
    low, high = expected.min(0), expected.max(0)
    if (
        sorted(np.abs(turn).ravel()) != [0, 0, 1, 1]
        or np.abs(corners - expected).max() > BESIDE
        or (low < 0).any()
        or (high >= slices.size).any()
    ):
        raise GeometryError(
            f"{path}: the pixels of the frame at {_words(frame.position)} mm are not those of the "
            "slice. Resample it onto the series first."
        )
    return int(found[0]), low, turn


def _words(position: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in position)
