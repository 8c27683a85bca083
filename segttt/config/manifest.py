"""Manifests: a table of cases, as CSV or JSON, that says which files belong together."""

import csv
import io
import re
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationError, field_validator, model_validator

from segttt.config.dataset import Fold, LabelValue, fault_in_name
from segttt.config.strict import Strict, first_fault
from segttt.config.text import MAX_BYTES, parse_json, read_bounded
from segttt.errors import UsageError

CHANNEL = re.compile(r"image_(\d+)")
COLUMNS = ("id", "image", "label", "patient", "fold")
WANTED = "Columns are id, image (or image_0, image_1 ... for channels), label, patient and fold."


class ManifestCase(Strict):
    """One case; paths are absolute, or relative to the manifest."""

    id: str
    """The name of the case in all results."""
    image: tuple[str, ...] = Field(min_length=1)
    """One file with all channels, or one file per channel; image_0, image_1 ... say the same."""
    label: str | None = None
    masks: dict[LabelValue, tuple[str, ...]] = {}
    """Value -> files whose non-zero voxels have it, instead of a label."""
    patient: str | None = None
    fold: int | None = Field(default=None, ge=0, le=999)
    """The fold that validates on the case; without one it trains in every fold."""

    @field_validator("id")
    @classmethod
    def _harmless(cls, name: str) -> str:
        if fault := fault_in_name(name):
            raise ValueError(f"files are named after an id, and this one {fault}")
        return name

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, fields: Any) -> Any:
        """One path, or image_0, image_1 ..., as the list that `image` is."""
        if not isinstance(fields, dict):
            return fields
        parts = {int(m[1]): key for key in fields if (m := CHANNEL.fullmatch(str(key)))}
        rest = {key: value for key, value in fields.items() if key not in parts.values()}
        if isinstance(rest.get("image"), str):
            rest["image"] = [rest["image"]]
        if not parts:
            return rest
        if "image" in rest or sorted(parts) != list(range(len(parts))):
            raise ValueError("give image, or all of image_0, image_1 and so on")
        return {**rest, "image": [fields[parts[index]] for index in sorted(parts)]}


class Manifest(Strict):
    """A dataset by its files."""

    largest_bytes: ClassVar[int] = MAX_BYTES

    name: str = ""
    channels: tuple[str, ...] = ()
    """Their names choose the normalisation ("CT", "MR" ...); empty: told by the first image."""
    labels: dict[LabelValue, str] = {}
    """Value -> name; empty: not declared."""
    instances: bool = False
    """Labels number objects; the classes are interior and boundary."""
    cases: tuple[ManifestCase, ...] = Field(min_length=1)

    def folds(self) -> tuple[Fold, ...]:
        """The folds that the cases name, both sides; none where no case names one."""
        count = 1 + max((case.fold for case in self.cases if case.fold is not None), default=-1)
        return tuple(
            Fold(
                train=tuple(case.id for case in self.cases if case.fold != number),
                val=tuple(case.id for case in self.cases if case.fold == number),
            )
            for number in range(count)
        )


def load_manifest(path: Path) -> tuple[Manifest, tuple[str, ...]]:
    """A CSV or JSON manifest, and in which line or entry each case stands.

    A `UsageError` names line or entry of an unknown column, a missing field and a repeated id.
    """
    content = read_bounded(path, MAX_BYTES)
    try:
        text = content.decode("utf-8-sig")
        if path.suffix.lower() == ".csv":
            manifest, places = _from_csv(text, path)
        else:
            found = parse_json(text)
            fields = {"cases": found} if isinstance(found, list) else found
            manifest = Manifest.model_validate(fields)
            places = tuple(f"entry {number}" for number in range(len(manifest.cases)))
    except ValidationError as error:
        raise UsageError(f"{path}: {first_fault(error)}. Correct it.") from error
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read ({error}). Correct it.") from error
    _refuse_twins(manifest, places, path)
    _refuse_gaps(manifest, path)
    return manifest, places


def _from_csv(text: str, path: Path) -> tuple[Manifest, tuple[str, ...]]:
    head = text.partition("\n")[0]
    delimiter = next((one for one in ",;\t" if one in head), ",")
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = [name.strip() for name in table.fieldnames or ()]
    table.fieldnames = columns
    strange = [one for one in columns if one not in COLUMNS and not CHANNEL.fullmatch(one)]
    if strange or "id" not in columns or len(set(columns)) < len(columns):
        wrong = (
            f"{strange[0][:80]!r} is no column" if strange else "id is missing or a name is twice"
        )
        raise UsageError(f"{path}: line 1: {wrong}. {WANTED}")
    cases, places = [], []
    for row in table:
        place = f"line {table.line_num}"
        if None in row or None in row.values():
            raise UsageError(f"{path}: {place}: has not as many cells as line 1. Correct it.")
        filled = {key: value.strip() for key, value in row.items() if value.strip()}
        try:
            cases.append(ManifestCase.model_validate(filled))
        except ValidationError as error:
            raise UsageError(f"{path}: {place}: {first_fault(error)}. {WANTED}") from error
        places.append(place)
    if not cases:
        raise UsageError(f"{path}: lists no case. {WANTED}")
    return Manifest(cases=tuple(cases)), tuple(places)


def _refuse_twins(manifest: Manifest, places: tuple[str, ...], path: Path) -> None:
    seen: dict[str, str] = {}
    for case, place in zip(manifest.cases, places, strict=True):
        if case.id in seen:
            raise UsageError(
                f"{path}: {place}: the id {case.id!r} stands in {seen[case.id]} already. "
                "Give every case an id of its own."
            )
        seen[case.id] = place


def _refuse_gaps(manifest: Manifest, path: Path) -> None:
    for number, fold in enumerate(manifest.folds()):
        if not fold.val or not fold.train:
            side = "validates on" if not fold.val else "trains in"
            raise UsageError(f"{path}: no case {side} fold {number}. Number the folds from 0.")
