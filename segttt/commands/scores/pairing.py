"""Which prediction belongs to which true label map."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from segttt.cluster.memory import memory_of
from segttt.errors import CASE_ERRORS, LayoutError
from segttt.io.layouts.folders import image_files, label_files, object_places
from segttt.io.layouts.inputs import list_inputs
from segttt.io.volumes import read_labels

FIRST_CHANNEL = "_0000"
Files = dict[str, Path]


def pairs(predictions: Path, truth: Path) -> tuple[Files, Files]:
    """True and predicted label maps by id; a `LayoutError` where they share no case."""
    expected, given, _ = paired(predictions, truth)
    return expected, given


def paired(predictions: Path, truth: Path) -> tuple[Files, Files, dict[str, str]]:
    """True and predicted label maps by id, and why cases of the truth have no such pair.

    A `LayoutError` where they share no case.
    """
    expected, unclear = _truth(truth)
    found, doubtful = _files(predictions)
    given = _renamed(found, expected)
    if not set(expected) & set(given):
        raise LayoutError(
            f"{predictions}: has no case in common with {truth}. "
            "File names without ending must agree."
        )
    doubtful = {case: reason for case, reason in doubtful.items() if case in expected}
    return expected, given, {**doubtful, **unclear}


def names_in(files: Iterable[Path]) -> dict[int, str]:
    """Names for the label values that occur in the truth."""
    values: set[int] = set()
    for path in files:
        try:
            with memory_of(path.name):
                values.update(int(v) for v in np.unique(read_labels(path)[0]))
        except CASE_ERRORS:
            continue  # the case itself is reported when it is scored
    return {value: f"label {value}" for value in sorted(values - {0})}


def _truth(folder: Path) -> tuple[Files, dict[str, str]]:
    """As `_files`; a folder without images may hold DICOM SEG and RTSTRUCT."""
    if image_files(folder) or not object_places(folder):
        return _files(folder)
    files, failures = label_files(folder)
    return files, {failure.id: failure.reason for failure in failures}


def _files(folder: Path) -> tuple[Files, dict[str, str]]:
    """Files by case, and the cases that several files claim."""
    cases, failures = list_inputs(folder, 1)
    unclear = {failure.id: failure.reason for failure in failures}
    return {case.id: case.images[0] for case in cases}, unclear


def _renamed(found: Files, expected: Files) -> Files:
    """The predictions by the ids of the truth, where one side alone names the channel."""
    ids = {case.removesuffix(FIRST_CHANNEL): case for case in expected}
    renamed = {}
    for name, path in found.items():
        case = ids.get(name.removesuffix(FIRST_CHANNEL), name)
        renamed[name if name in expected or case in found else case] = path
    return renamed
