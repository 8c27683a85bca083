"""The cases that a report shows: read, brought to eight bits, and kept within a budget."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segttt.commands.reports.scores import Scores, value
from segttt.commands.reports.sources import Sources
from segttt.commands.watch import Watch
from segttt.errors import DataError, GeometryError, ImageError
from segttt.io.orient import turn
from segttt.io.volumes import Onto, read_labels, read_volume
from segttt.preprocessing.cells import decode
from segttt.report.page import View
from segttt.report.page_plan import size_words
from segttt.report.page_views import Display, display_of, fit, fit_picture, sections

WORST, BEST = {True: 8, False: 4}, {True: 4, False: 2}
"""Cases that are shown apart, of pictures and of volumes."""
LEADING = re.compile(r"^(?:[A-Za-z]:)?[\\/][^:]*[\\/](?=[^\\/:]+: )")
"""The folder of the file that a message begins with; it may hold blanks."""
ABSOLUTE = re.compile(r"(?<![\w.~-])(?:[A-Za-z]:)?[\\/](?:[^\\/\s:]+[\\/])+")


@dataclass(frozen=True)
class Views:
    """The cases of a page; `worst` and `best` are places in `shown`."""

    shown: Sequence[View]
    worst: Sequence[int]
    best: Sequence[int]
    broken: Sequence[tuple[str, str]]
    """Cases that cannot be shown, each with the reason."""


def choose(ranked: Sequence[str], n: int) -> list[str]:
    """At most `n` of the ids, in their order: half from the start, a quarter from the end, and the
    rest evenly from between."""
    if len(ranked) <= n:
        return list(ranked)
    first, last = (n + 1) // 2, n // 4
    between = len(ranked) - first - last
    rest = n - first - last
    places = [first + (2 * i + 1) * between // (2 * rest) for i in range(rest)]
    ends = len(ranked) - last
    return [*ranked[:first], *(ranked[i] for i in places), *ranked[ends:]]


def is_flat(sources: Sources, chosen: Sequence[str]) -> bool:
    """Whether the cases are pictures: one slice, by the first truth that can be read."""
    for case in chosen:
        try:
            return read_labels(_file(sources.truth, case, "label map"))[0].shape[0] == 1
        except DataError:
            continue
    return False


def views_of(
    sources: Sources,
    scores: Scores,
    chosen: Sequence[str],
    limit_bytes: float,
    watch: Watch,
    *,
    flat: bool,
) -> Views:
    """Read the chosen cases (lowest first) into at most about `limit_bytes` of a page.

    What a small case leaves of its share goes to those after it.
    """
    names = dict(enumerate(_labels(sources, scores).values(), start=1))
    values = {case.id: value(case) for case in scores.cases}
    ends = {*chosen[: WORST[flat]], *chosen[len(chosen) - BEST[flat] :]}
    shown: list[View] = []
    broken: list[tuple[str, str]] = []
    for i, case in enumerate(watch.track(chosen, "report", len(chosen))):
        try:
            display = _read(sources, scores, case)
        except DataError as error:
            broken.append((case, f"cannot be shown: {without_folders(str(error), sources)}"))
            continue
        share = limit_bytes / (len(chosen) - i)
        view = _view(case, values[case], display, names, share, apart=case in ends)
        limit_bytes -= view.size
        shown.append(view)
    places = [i for i, view in enumerate(shown) if view.id in ends]
    worst = [i for i in places if shown[i].id in chosen[: WORST[flat]]]
    return Views(shown, worst, [i for i in reversed(places) if i not in worst], broken)


def _view(
    case: str,
    score: float | None,
    display: Display,
    names: Mapping[int, str],
    share: float,
    *,
    apart: bool,
) -> View:
    if display.flat:
        return View(case, score, (fit_picture(display, names, share),))
    slices = sections(display, names) if apart else ()
    small, packed = fit(display, share - sum(one.size for one in slices))
    note = ""
    if small.truth.shape != display.truth.shape:
        note = f"{size_words(small.spacing_mm)} mm instead of {size_words(display.spacing_mm)} mm"
    return View(case, score, slices, packed, note)


def _read(sources: Sources, scores: Scores, case: str) -> Display:
    """The image, the truth and the prediction of a case in the canonical orientation."""
    if case not in sources.images:
        raise ImageError("its image is not known. Name the folder of the images with --images.")
    channels = len(sources.plan.channels) if sources.plan else None
    volume = read_volume(sources.images[case], channels, label=False)
    onto = Onto(volume.source, _labels(sources, scores))
    maps = []
    for files, what in ((sources.truth, "label map"), (sources.predictions, "prediction")):
        path = _file(files, case, what)
        values, grid = read_labels(path, onto)
        if difference := grid.difference(volume.source):
            raise GeometryError(f"{path}: does not lie on the grid of the image ({difference}).")
        maps.append(np.ascontiguousarray(turn(values, volume.orientation)))
    true, found = maps
    objects = sources.classes or not scores.summary.per_label
    if sources.classes:
        found = decode(found)
    if not objects:
        true, found = (_indices(one, list(scores.names)) for one in maps)
    return display_of(volume.image, true, found, volume.grid.spacing_mm, objects=objects)


def _file(files: Mapping[str, Path], case: str, what: str) -> Path:
    if case not in files:
        raise ImageError(f"its {what} is not known. Name the folder of it.")
    return files[case]


def _labels(sources: Sources, scores: Scores) -> Mapping[int, str]:
    return scores.names or sources.labels or {1: "object"}


def _indices(values: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Place of each value among the labels, from 1; 0 for all other values."""
    known = np.sort(labels)
    place = np.searchsorted(known, values).clip(max=len(known) - 1)
    order = np.argsort(labels).astype(np.int16) + 1
    return np.where(known[place] == values, order[place], np.int16(0))


def without_folders(text: str, sources: Sources) -> str:
    """`text` with file names in place of paths, since a report is given to others."""
    folders = {
        str(path.parent)
        for files in (sources.predictions, sources.truth)
        for path in files.values()
    }
    folders |= {str(image.parent) for case in sources.images.values() for image in case.images}
    for folder in sorted(folders, key=len, reverse=True):
        text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
        text = text.replace(folder, Path(folder).name)
    return ABSOLUTE.sub("", LEADING.sub("", text))
