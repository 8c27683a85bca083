"""The files of one series as one volume: where its slices lie, and their voxels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from segttt.cases import Remedies
from segttt.errors import ImageError
from segttt.io.dicom.geometry import stack_of
from segttt.io.dicom.header import Header, read_header
from segttt.io.dicom.pixels import decode
from segttt.io.dicom.regular import Stack, to_grid


@dataclass(frozen=True, eq=False)
class Scan:
    """A series without its voxels."""

    headers: tuple[Header, ...]
    stack: Stack

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.headers[0].path.parent

    @property
    def frames(self) -> list[tuple[Header, int]]:
        """The file of each slice and the number of the frame in it, from 1, lowest first."""
        flat = [(one, index + 1) for one in self.headers for index in range(len(one.frames))]
        return [flat[index] for index in self.stack.order]


def open_scan(files: Sequence[Path], remedies: Remedies) -> Scan:
    """Read the headers of a series; a `DataError` tells what keeps it from being one volume."""
    headers = tuple(read_header(path) for path in files)
    rows, columns = headers[0].rows, headers[0].columns
    for header in headers:
        if (header.rows, header.columns) != (rows, columns):
            raise ImageError(f"{header.path}: has another matrix than {files[0].name}.")
    frames = [frame for header in headers for frame in header.frames]
    return Scan(headers, stack_of(frames, rows, columns, files[0].parent, remedies))


def read_voxels(scan: Scan) -> Float32[np.ndarray, "1 z y x"]:
    """The scaled voxels on the grid of the stack."""
    rank = {index: place for place, index in enumerate(scan.stack.order)}
    planes = np.empty(scan.stack.slices.shape, np.float32)
    done = 0
    for header in scan.headers:
        for plane in decode(header.path, header.frames):
            planes[rank[done]] = plane
            done += 1
    return to_grid(planes, scan.stack)[None]
