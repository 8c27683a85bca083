"""Prepared cases on disk, chunked and compressed, from which windows are read.

One folder per case: image.b2nd and label.b2nd (blosc2), locations.npy (voxels of each class) and
case.json, which is written last; without a valid one the case does not count as done.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import get_ident
from typing import Any

import blosc2
import numpy as np
from jaxtyping import Float32, Int16

from segttt.cases import Preparation, PreparedCase
from segttt.config.dataset import CaseFiles
from segttt.config.strict import Strict
from segttt.errors import ImageError, UsageError
from segttt.geometry.slabs import slab_slices, value_counts
from segttt.io.files import files_kept_open, make_folder, replace_folder
from segttt.io.sources import SourceFile, changed
from segttt.shapes import Shape3

blosc2.set_nthreads(1)  # the callers' threads share the cores already
IMAGE, LABEL, LOCATIONS, RECORD = "image.b2nd", "label.b2nd", "locations.npy", "case.json"
LOCATIONS_AT_LEAST, LOCATIONS_SHARE, LOCATIONS_SEED = 10_000, 0.01, 1234  # nnU-Net's numbers
CHUNK, BLOCK = 64, 32  # voxels per edge at most; a block of 32^3 float32 fits a second-level cache
COMPRESSION: dict[str, Any] = {
    # A 40^3 window is read in 0.4 ms; ZSTD takes 0.5 ms for files that are a tenth smaller.
    "codec": blosc2.Codec.LZ4,
    "clevel": 1,
    "filters": [blosc2.Filter.SHUFFLE],
    "nthreads": 1,
}
MAPPED: dict[str, Any] = {"mmap_mode": "r"}


class StoredFile(Strict):
    """One file of a prepared case."""

    bytes: int
    sha256: str


class CaseRecord(Strict):
    """The file case.json."""

    version: int = 1
    id: str
    channels: int
    classes: int
    shape: tuple[int, int, int]
    preparation: Preparation
    locations: dict[int, int]
    """Class -> number of stored voxels, in the order of the file."""
    files: dict[str, StoredFile]
    sources: tuple[SourceFile, ...] = ()
    """Of what it was prepared; empty: not known."""


@dataclass(frozen=True)
class StoredCase:
    """One prepared case; each thread reads through files of its own, so threads may share it."""

    folder: Path
    record: CaseRecord

    @classmethod
    def open(cls, folder: Path, case_id: str) -> "StoredCase":
        """The case of that id in the folder of prepared cases; a `UsageError` where it is not."""
        return cls(folder / case_id, CaseRecord.load(folder / case_id / RECORD))

    @property
    def id(self) -> str:
        """Of the case."""
        return self.record.id

    @property
    def shape(self) -> Shape3:
        """Voxels (z, y, x)."""
        return self.record.shape

    @property
    def preparation(self) -> Preparation:
        """The way back to the file."""
        return self.record.preparation

    @property
    def locations(self) -> dict[int, np.ndarray]:
        """Class -> int32 [n, 3] voxels of it, for the classes that are present; cached."""
        path, counts = self.folder / LOCATIONS, tuple(self.record.locations.items())
        try:
            return _locations(path, self._digest(LOCATIONS), counts, self.shape)
        except (OSError, EOFError, ValueError) as error:
            raise self._unreadable(LOCATIONS, error) from error

    def image(self, start: Shape3, stop: Shape3) -> Float32[np.ndarray, "c z y x"]:
        """The window between two corners; 0 where it overhangs the volume."""
        return self._window(IMAGE, start, stop, 0)

    def label(self, start: Shape3, stop: Shape3) -> Int16[np.ndarray, "z y x"]:
        """Classes in the window; -1 outside the non-zero region and outside the volume."""
        return self._window(LABEL, start, stop, -1)

    def _digest(self, name: str) -> str:
        facts = self.record.files.get(name)
        return facts.sha256 if facts else ""

    def _unreadable(self, name: str, error: Exception) -> ImageError:
        return ImageError(
            f"{self.folder / name}: cannot be read ({error}). Delete {self.folder} and "
            "preprocess again."
        )

    def _window(self, name: str, start: Shape3, stop: Shape3, fill: int) -> np.ndarray:
        size = tuple(b - a for a, b in zip(start, stop, strict=True))
        inside = [
            (min(max(a, 0), n), max(min(b, n), 0))
            for a, b, n in zip(start, stop, self.shape, strict=True)
        ]
        try:
            array = _opened(self.folder / name, self._digest(name), get_ident())
            lead = (slice(None),) * (array.ndim - 3)
            found: np.ndarray = array[lead + tuple(slice(a, b) for a, b in inside)]
        except (OSError, RuntimeError, ValueError) as error:
            raise self._unreadable(name, error) from error
        if found.shape[-3:] == size:
            return found
        whole = np.full((*found.shape[:-3], *size), fill, dtype=found.dtype)
        there = (slice(a - s, b - s) for (a, b), s in zip(inside, start, strict=True))
        if found.size:
            whole[(..., *there)] = found
        return whole


def write_case(
    folder: Path,
    prepared: PreparedCase,
    patch: tuple[int, ...],
    classes: int,
    sources: tuple[SourceFile, ...] = (),
) -> None:
    """Write folder/<id> whole or not at all; `patch` suits the chunks to the windows to come."""
    make_folder(folder)
    size = prepared.image.nbytes + (0 if prepared.label is None else prepared.label.nbytes)
    with replace_folder(folder / prepared.id, size) as place:
        _write(place / IMAGE, prepared.image, patch)
        counts: dict[int, int] = {}
        voxels = np.zeros((0, 3), dtype=np.int32)
        if prepared.label is not None:
            _write(place / LABEL, prepared.label, patch)
            voxels, counts = class_locations(prepared.label)
        np.save(place / LOCATIONS, voxels)
        z, y, x = prepared.image.shape[1:]
        record = CaseRecord(
            id=prepared.id,
            channels=len(prepared.image),
            classes=classes,
            shape=(z, y, x),
            preparation=prepared.preparation,
            locations=counts,
            files={file.name: _facts(file) for file in sorted(place.iterdir())},
            sources=sources,
        )
        (place / RECORD).write_text(record.dump(), encoding="utf-8")


def class_locations(label: Int16[np.ndarray, "z y x"]) -> tuple[np.ndarray, dict[int, int]]:
    """Voxels [n, 3] of each foreground class, up to max(10,000, 1 %) drawn, and their numbers."""
    random = np.random.default_rng(LOCATIONS_SEED)
    voxels = label.reshape(-1)
    slabs = [(part, voxels[part]) for part in slab_slices(voxels.shape)]
    held = [value_counts(slab[slab > 0]) for _, slab in slabs]
    chosen = [np.zeros(0, dtype=np.int64)]
    counts: dict[int, int] = {}
    for value in sorted(set().union(*held)):
        ranks = _drawn(sum(here.get(value, 0) for here in held), random)
        counts[value], seen = len(ranks), 0
        for (part, slab), here in zip(slabs, held, strict=True):
            first, last = np.searchsorted(ranks, (seen, seen + here.get(value, 0)))
            if first < last:
                chosen.append(np.flatnonzero(slab == value)[ranks[first:last] - seen] + part.start)
            seen += here.get(value, 0)
    flat = np.concatenate(chosen)
    return np.stack(np.unravel_index(flat, label.shape), axis=1).astype(np.int32), counts


def _drawn(total: int, random: np.random.Generator) -> np.ndarray:
    """Which voxels of a class are kept, counted in the order of the volume, ascending."""
    most = max(LOCATIONS_AT_LEAST, int(np.ceil(total * LOCATIONS_SHARE)))
    return np.sort(random.choice(total, most, replace=False)) if total > most else np.arange(total)


def finished(folder: Path) -> set[str]:
    """Ids of the cases that are wholly there: a valid record, and files of the recorded size."""
    if not folder.is_dir():
        return set()
    return {path.parent.name for path in folder.glob(f"*/{RECORD}") if _complete(path)}


def outdated(folder: Path, cases: Iterable[CaseFiles]) -> set[str]:
    """Ids of finished cases among these whose files have changed since they were prepared."""
    done = finished(folder)
    return {
        files.id
        for files in cases
        if files.id in done and changed(StoredCase.open(folder, files.id).record.sources, files)
    }


def damaged(folder: Path) -> set[str]:
    """Ids of finished cases with a file whose content no longer has its checksum; reads all."""
    return {
        case_id
        for case_id in finished(folder)
        for name, facts in StoredCase.open(folder, case_id).record.files.items()
        if _facts(folder / case_id / name) != facts
    }


def _complete(path: Path) -> bool:
    try:
        record = CaseRecord.load(path)
        sizes = {name: (path.parent / name).stat().st_size for name in record.files}
    except (UsageError, OSError):
        return False
    return record.id == path.parent.name and all(
        sizes[name] == facts.bytes for name, facts in record.files.items()
    )


def _facts(path: Path) -> StoredFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return StoredFile(bytes=path.stat().st_size, sha256=digest)


def _write(path: Path, array: np.ndarray, patch: tuple[int, ...]) -> None:
    lead, shape = array.shape[:-3], array.shape[-3:]
    patch = (1,) * (3 - len(patch)) + patch
    chunk = tuple(min(size, edge, CHUNK) for size, edge in zip(shape, patch, strict=True))
    block = tuple(-(-edge // -(-edge // BLOCK)) for edge in chunk)  # even parts of at most BLOCK
    voxels: Any = np.ascontiguousarray(array)
    try:
        blosc2.asarray(
            voxels,
            urlpath=str(path),
            mode="w",
            chunks=lead + chunk,
            blocks=lead + block,
            cparams={**COMPRESSION, "typesize": array.itemsize},
        )
        same = _reads_back(path, voxels, chunk[0])
    except RuntimeError as error:  # which is all that it says of a full disk
        raise OSError(f"{path.name}: {error}") from error
    if not same:
        raise OSError(f"{path.name}: it differs after writing")


def _reads_back(path: Path, voxels: np.ndarray, step: int) -> bool:
    """Whether a file holds these voxels bit by bit; a layer of chunks at a time."""
    written: Any = blosc2.open(str(path), mode="r")
    lead = (slice(None),) * (voxels.ndim - 3)
    layers = [(*lead, slice(z, z + step)) for z in range(0, voxels.shape[-3], step)]
    return written.shape == voxels.shape and all(
        written[layer].tobytes() == voxels[layer].tobytes() for layer in layers
    )


@lru_cache(maxsize=files_kept_open())
def _opened(path: Path, digest: str, thread: int) -> Any:
    """A mapped array, whose file stays open; opening it costs as much as a small read.

    `digest` keeps a case that was written anew apart from the old one; no two threads share one.
    """
    return blosc2.open(str(path), mode="r", **MAPPED)


@lru_cache(maxsize=512)
def _locations(
    path: Path, digest: str, counts: tuple[tuple[int, int], ...], shape: Shape3
) -> dict[int, np.ndarray]:
    """`digest` keeps a case that was written anew apart from the old one."""
    voxels = np.load(path)
    total = sum(number for _, number in counts)
    if voxels.shape != (total, 3) or (voxels < 0).any() or (voxels >= shape).any():
        raise ValueError("it holds no voxels of this case")
    ends = np.cumsum([0, *(number for _, number in counts)])
    return {
        value: voxels[a:b] for (value, _), a, b in zip(counts, ends[:-1], ends[1:], strict=True)
    }
