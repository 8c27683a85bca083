"""Probabilities and uncertainty beside a segmentation: room for them, and their files."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from segttt.cases import SoftMaps, Volume
from segttt.io.files import digest, make_folder, require_space, unwritable
from segttt.io.volumes import map_name, write_map
from segttt.io.workspace import safe_name

SHARE = np.float16  # three digits; on disk, since all classes at once may exceed the memory


@dataclass(frozen=True)
class Soft:
    """Which maps are wanted."""

    entropy: bool = False
    probabilities: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """Folders that they lie in."""
        return tuple(kind for kind in ("entropy", "probabilities") if getattr(self, kind))


@contextmanager
def room(out: Path, volume: Volume, classes: int, soft: Soft) -> Iterator[SoftMaps | None]:
    """Empty maps for one case; those of the classes lie in a file without a name in `out`."""
    if not soft.kinds:
        yield None
        return
    shape = volume.grid.shape
    entropy = np.empty(shape, np.float32)
    if not soft.probabilities:
        yield SoftMaps(entropy)
        return
    needed = classes * prod(shape) * np.dtype(SHARE).itemsize
    require_space(out, needed, f"the probabilities of {volume.case.id}")
    with tempfile.TemporaryFile(dir=out) as stream:
        try:
            _take(stream.fileno(), needed)
        except OSError as error:
            raise unwritable(out / map_name(volume.case), error, needed) from error
        yield SoftMaps(entropy, np.memmap(stream, SHARE, "r+", shape=(classes, *shape)))


def _take(descriptor: int, needed: int) -> None:
    """Take room on the disk: a mapped file that met a full disk later would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, needed)
    else:
        os.truncate(descriptor, needed)


def write_soft_maps(
    out: Path, volume: Volume, maps: SoftMaps, labels: Mapping[int, str], soft: Soft
) -> list[dict[str, Any]]:
    """Write the wanted maps on the scan's own grid; returns names and checksums.

    `entropy/CASE` and, of each label, `probabilities/VALUE_NAME/CASE`.
    """
    name = map_name(volume.case)
    wanted: list[tuple[Path, np.ndarray]] = []
    if soft.entropy:
        wanted.append((Path("entropy") / name, maps.entropy))
    if maps.probabilities is not None:
        for share, (value, label) in zip(maps.probabilities[1:], labels.items(), strict=True):
            folder = Path("probabilities") / safe_name(f"{value}_{label}")
            wanted.append((folder / name, share))
    entries = []
    for place, values in wanted:
        make_folder((out / place).parent)
        write_map(out / place, values.astype(np.float32), volume)
        entries.append({"file": place.as_posix(), "sha256": digest(out / place)})
    return entries
