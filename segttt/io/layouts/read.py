"""Training data: a folder in whichever of the known layouts it has, or a manifest."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from segttt.cases import Failure
from segttt.config.dataset import Dataset, LayoutName
from segttt.config.splits import SPLITS_NAME, load_splits
from segttt.errors import DataError, LayoutError
from segttt.io.check import case_of
from segttt.io.dicom.find import holds_dicom, is_dicom
from segttt.io.dicom.library import require
from segttt.io.layouts.amos import AMOS22
from segttt.io.layouts.cellseg import CELLSEG
from segttt.io.layouts.description import INSTANCE_LABELS
from segttt.io.layouts.endovis import ENDOVIS17
from segttt.io.layouts.flare import FLARE22
from segttt.io.layouts.layout import Found, Layout
from segttt.io.layouts.manifest import ENDINGS, read_manifest
from segttt.io.layouts.msd import MSD
from segttt.io.layouts.nnunet import NNUNET, is_nnunet
from segttt.io.layouts.plain import PLAIN, discover_channels
from segttt.io.layouts.synapse import SYNAPSE
from segttt.io.volumes import is_dicom_label, read_truth

LAYOUTS: tuple[Layout, ...] = (
    AMOS22, MSD, NNUNET, FLARE22, CELLSEG, SYNAPSE, ENDOVIS17, PLAIN,
)  # fmt: skip
"""In the order in which they are tried: the particular before the general."""
INIT = "`segttt data init {folder} -o cases.json` lists what it finds in any folder."
NAMED = 20  # problems listed where no case is left; more would hide the first


def read_dataset(
    data: Path,
    *,
    instances: bool = False,
    channels: Sequence[str] = (),
    only: Collection[str] | None = None,
    splits: Path | None = None,
) -> tuple[Dataset, list[Failure]]:
    """The dataset in place and the files that cannot be used; nothing is renamed or written.

    `instances`: the labels number objects. Where a folder mixes modalities, `channels` (a preset's)
    or `only` (ids) says which is meant. Folds are those of `splits`, else of the manifest or of the
    folder's splits_final.json. A `LayoutError` where nothing is usable.
    """
    layout, found = _find(data)
    known = {one.id for one in (*found.cases, *found.failures)}
    if found.modalities:
        found = _of_one_modality(data, found, channels, only)
    if not found.cases:
        raise LayoutError(_nothing(data, found.failures))
    beside = data / SPLITS_NAME
    source = splits or (beside if beside.is_file() else None)
    numbered = instances or found.instances
    dataset = Dataset(
        name=found.name or data.absolute().name,
        layout=layout,
        channels=found.channels or discover_channels(list(found.cases), data),
        labels=INSTANCE_LABELS if numbered else dict(found.labels),
        instances=numbered,
        cases=tuple(found.cases),
        folds=load_splits(source, known) if source else found.folds,
    )
    return dataset, list(found.failures)


def known_layout(folder: Path) -> LayoutName | None:
    """The layout that a folder has; None where it has none of the known ones."""
    return next((layout.name for layout in LAYOUTS if layout.find(folder)), None)


def is_study(folder: Path) -> bool:
    """Whether a folder, or a file, is DICOM from a scanner rather than training data."""
    described = (folder / "dataset.json").is_file() or is_nnunet(folder)
    return not described and not known_layout(folder) and (is_dicom(folder) or holds_dicom(folder))


def discover_labels(dataset: Dataset) -> dict[int, str]:
    """Read every label file and name the values found; unreadable ones are left to the checks."""
    if segments := discover_segments(dataset):
        return segments
    found: set[int] = set()
    for files in dataset.cases:
        try:
            truth = read_truth(case_of(files))
        except DataError:
            continue
        if truth:
            found.update(np.unique(truth[0]).tolist())
    return {value: f"label_{value}" for value in sorted(found - {0})}


def discover_segments(dataset: Dataset) -> dict[int, str]:
    """Numbers for the names in all DICOM labels, sorted; empty where no label is DICOM.

    Unreadable files are left to the checks. A `LayoutError` where other labels lie among them,
    whose values nothing names.
    """
    cases = [case_of(files) for files in dataset.cases]
    labels = [case.label for case in cases if case.label and is_dicom_label(case.label)]
    if not labels:
        return {}
    if others := [case.id for case in cases if case.label not in labels]:
        raise LayoutError(
            f"{labels[0]}: names its segments, and the label of {others[0]} has only numbers for "
            "them. Say in dataset.json which is which."
        )
    require()
    from segttt.io.dicom.annotation import names_in, number_names

    names: set[str] = set()
    for path in labels:
        with suppress(DataError):
            names.update(names_in(path))
    return number_names(names)


def _find(data: Path) -> tuple[LayoutName, Found]:
    if data.is_file() and data.suffix.lower() in ENDINGS:
        return "manifest", read_manifest(data)
    if not data.is_dir():
        raise LayoutError(f"{data}: is neither a folder nor a manifest (.csv, .json).")
    for layout in LAYOUTS:
        home = layout.find(data)
        if home:
            return layout.name, layout.read(home)
    if is_nnunet(data) and not (data / "dataset.json").is_file():
        raise LayoutError(
            f"{data}: lacks dataset.json with channel_names and labels. Add it; or "
            f"{INIT.format(folder=data)}"
        )
    problem = "is laid out in no way that is read"
    if (data / "dataset.json").is_file():
        problem = "holds dataset.json, but not its files"
    listed = "".join(f"\n  {layout.looks}" for layout in LAYOUTS)
    raise LayoutError(f"{data}: {problem}. Looked for:{listed}\n{INIT.format(folder=data)}")


def _of_one_modality(
    data: Path, found: Found, channels: Sequence[str], only: Collection[str] | None
) -> Found:
    """The cases of the modality that is asked for, or that all of them have."""
    kept = [case for case in found.cases if only is None or case.id in only]
    present = sorted({found.modalities[case.id] for case in kept})
    wanted = [one for one in present if one in channels] or present
    if len(wanted) > 1:
        raise LayoutError(
            f"{data}: mixes {' and '.join(present)}. Say which is meant: by a --preset for one of "
            "them (amos22-ct, amos22-mr), or by --cases FILE with the ids."
        )
    chosen = tuple(case for case in kept if found.modalities[case.id] in wanted)
    return replace(found, cases=chosen, channels=tuple(wanted))


def _nothing(data: Path, failures: Sequence[Failure]) -> str:
    named = "".join(f"\n  {failure.reason}" for failure in failures[:NAMED])
    more = f"\n  ... and {len(failures) - NAMED} more" if len(failures) > NAMED else ""
    return f"{data}: holds no image with its label. {INIT.format(folder=data)}{named}{more}"
