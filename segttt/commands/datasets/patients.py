"""Which cases are of one patient, told by a regular expression."""

import os
import re
from pathlib import Path

from segttt.config.dataset import Dataset
from segttt.errors import UsageError


def with_patients(dataset: Dataset, pattern: str | None) -> Dataset:
    """The dataset whose patients are what the group of `pattern` finds; None changes nothing.

    The pattern is searched in the path of the first image below the folder that all images share.
    A `UsageError` where it is no expression of one group, or where a case does not match.
    """
    if pattern is None:
        return dataset
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--patient {pattern}: is no regular expression ({error}).") from error
    if expression.groups != 1:
        raise UsageError(f"--patient {pattern}: needs one group, as in '(P\\d+)_.*'.")
    home = os.path.commonpath([Path(case.images[0]).parent for case in dataset.cases])
    cases = []
    for case in dataset.cases:
        place = Path(case.images[0]).relative_to(home).as_posix()
        match = expression.search(place)
        if not match or not match[1]:
            raise UsageError(f"--patient {pattern}: finds no patient in {place!r}.")
        cases.append(case.model_copy(update={"patient": match[1]}))
    return dataset.model_copy(update={"cases": tuple(cases)})


def groups_of(dataset: Dataset) -> dict[str, list[str]]:
    """Patient -> ids of the cases; a case without a patient is one of its own."""
    named = {case.patient for case in dataset.cases}
    groups: dict[str, list[str]] = {}
    for case in dataset.cases:
        own = case.id if case.id not in named else f"{case.id} (a case)"
        groups.setdefault(case.patient or own, []).append(case.id)
    return groups
