"""From any folder to a manifest: which files belong together, and what their labels hold."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segttt.cases import Failure
from segttt.commands.datasets.patients import with_patients
from segttt.config.dataset import Dataset
from segttt.config.manifest import Manifest, ManifestCase
from segttt.errors import LayoutError, UsageError
from segttt.io.files import write_text
from segttt.io.layouts.description import INSTANCE_LABELS
from segttt.io.layouts.guess import guess
from segttt.io.layouts.plain import discover_channels
from segttt.io.layouts.read import discover_labels, known_layout, read_dataset


@dataclass(frozen=True)
class Listed:
    """A folder as a manifest tells it."""

    dataset: Dataset
    layout: str | None
    """The known layout that the folder has; None: told by the names of its files."""
    manifest: Manifest
    left_out: Sequence[Failure]


def init(data: Path, out: Path, *, patient: str | None = None, instances: bool = False) -> Listed:
    """What the manifest `out` of a folder would say; nothing is written.

    Cases, channels and names are those of the layout, where the folder has a known one. Label
    values without a name are read from the files and called label_1, label_2 ...
    """
    if not data.is_dir():
        raise UsageError(f"{data}: is no folder. A manifest lists the files of a folder.")
    layout = known_layout(data)
    if layout:
        dataset, left_out = read_dataset(data, instances=instances)
    else:
        dataset, left_out = _guessed(data, instances=instances)
    dataset = with_patients(dataset, patient)
    if not dataset.labels:
        dataset = dataset.model_copy(update={"labels": discover_labels(dataset)})
    return Listed(dataset, layout, _manifest(dataset, out.absolute().parent), left_out)


def write(listed: Listed, out: Path, *, force: bool = False) -> None:
    """Write the manifest atomically; a `UsageError` where the file exists, unless `force`."""
    if out.suffix.lower() != ".json":
        raise UsageError(f"-o {out}: a manifest is written as JSON; name it {out.stem}.json.")
    if out.exists() and not force:
        raise UsageError(f"{out}: exists already. Choose another name, or add --force.")
    fields = listed.manifest.model_dump(mode="json", exclude_defaults=True)
    fields["cases"] = [_flat(case) for case in fields["cases"]]
    write_text(out, json.dumps(fields, indent=1, allow_nan=False) + "\n")


def _guessed(data: Path, *, instances: bool) -> tuple[Dataset, Sequence[Failure]]:
    found = guess(data)
    if not found.cases:
        named = "".join(f"\n  {one.reason}" for one in found.failures[:20])
        raise LayoutError(
            f"{data}: holds no image with a label of its name. Labels are told by words such as "
            f"labels, masks or _seg in the names of folders or files.{named}"
        )
    return Dataset(
        name=data.absolute().name,
        layout="manifest",
        channels=found.channels or discover_channels(list(found.cases), data),
        labels=INSTANCE_LABELS if instances else {},
        instances=instances,
        cases=tuple(found.cases),
    ), found.failures


def _manifest(dataset: Dataset, home: Path) -> Manifest:
    """The dataset with paths relative to `home` where they lie below it; without its folds."""

    def path(name: str) -> str:
        return str(Path(name).relative_to(home)) if Path(name).is_relative_to(home) else name

    return Manifest(
        name=dataset.name,
        channels=dataset.channels,
        labels={} if dataset.instances else dataset.labels,
        instances=dataset.instances,
        cases=tuple(
            ManifestCase(
                id=case.id,
                image=tuple(path(one) for one in case.images),
                label=None if case.label is None else path(case.label),
                masks={v: tuple(path(one) for one in names) for v, names in case.masks.items()},
                patient=case.patient,
            )
            for case in dataset.cases
        ),
    )


def _flat(case: dict[str, Any]) -> dict[str, Any]:
    """One image as a text instead of a list of one."""
    image = case["image"]
    return case | {"image": image[0] if len(image) == 1 else image}
