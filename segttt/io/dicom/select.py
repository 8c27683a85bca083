"""Series chosen by id, number, modality or description."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from segttt.errors import UsageError
from segttt.io.dicom.series import Series

FIELDS = ("id", "number", "modality", "description", "uid")


def select(series: Sequence[Series], conditions: Sequence[str]) -> list[Series]:
    """The series that meet all conditions; a `UsageError` where none does.

    A condition is an id, a series number, or FIELD=PATTERN with * and ? as in file names. Upper and
    lower case are the same.
    """
    chosen = [one for one in series if all(_meets(one, text) for text in conditions)]
    if series and not chosen:
        known = "; ".join(
            f"{one.id} ({one.modality or 'no modality'}, number {one.number})"
            for one in series[:20]
        )
        raise UsageError(f"--series {' --series '.join(conditions)}: matches none of {known}.")
    return chosen


def _meets(series: Series, condition: str) -> bool:
    field, equals, pattern = condition.partition("=")
    if not equals:
        return condition in (series.id, str(series.number))
    if field not in FIELDS:
        raise UsageError(
            f"--series {condition}: use an id, a number, or one of {', '.join(FIELDS)} followed by "
            "= and a pattern."
        )
    value = getattr(series, field)
    return fnmatchcase("" if value is None else str(value).lower(), pattern.lower())
