"""splits_final.json of nnU-Net: a list of folds, each with the ids that train and that validate."""

from collections.abc import Collection
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from segttt.config.dataset import Fold
from segttt.config.strict import first_fault
from segttt.config.text import MAX_BYTES, parse_json, read_bounded
from segttt.errors import UsageError

SPLITS_NAME = "splits_final.json"
FOLDS = TypeAdapter(tuple[Fold, ...])


def load_splits(path: Path, known: Collection[str] | None = None) -> tuple[Fold, ...]:
    """The folds of a file; cases in neither list of a fold are left out of it.

    A `UsageError` names an id that is not among the `known` (None: not asked), a case on both sides
    of a fold, and a fold without a case on one side.
    """
    content = read_bounded(path, MAX_BYTES)
    try:
        folds = FOLDS.validate_python(parse_json(content))
    except ValidationError as error:
        raise UsageError(
            f"{path}: {first_fault(error)}. Expected is a list of folds "
            '{"train": [ids], "val": [ids]}.'
        ) from error
    except ValueError as error:
        raise UsageError(f"{path}: is no JSON ({error}). Correct it.") from error
    if not folds:
        raise UsageError(f"{path}: lists no fold. Correct it, or leave it out.")
    for number, fold in enumerate(folds):
        _check(fold, known, f"{path}: fold {number}")
    return folds


def dump_splits(folds: Collection[Fold]) -> str:
    """The JSON text that `load_splits`, and nnU-Net, read."""
    return FOLDS.dump_json(tuple(folds), indent=4).decode() + "\n"


def _check(fold: Fold, known: Collection[str] | None, where: str) -> None:
    if not fold.train or not fold.val:
        side = "train" if not fold.train else "validate"
        raise UsageError(f"{where} has no case to {side} on. Add some, or leave the fold out.")
    strange = [] if known is None else sorted({*fold.train, *fold.val} - set(known))
    if strange:
        raise UsageError(
            f"{where} names {len(strange)} ids that are not in the data, the first is "
            f"{strange[0][:80]!r}. Ids are file names without ending and channel number."
        )
    both = sorted(set(fold.train) & set(fold.val))
    if both:
        raise UsageError(f"{where} trains and validates on {both[0][:80]!r}. Choose one side.")
