"""Whether results may be compared: one protocol, the same labels, the same truth."""

from collections.abc import Sequence

from segttt.commands.scores.results import Results
from segttt.config.report import CaseScore, Summary
from segttt.errors import DataError, UsageError


def refuse_mixed(results: Sequence[Results]) -> None:
    """Raise where results were scored by other rules or against another truth.

    The rules are a `UsageError`, another truth is a `DataError`; both name the two folders.
    """
    first = results[0]
    for other in results[1:]:
        mine, theirs = first.summary, other.summary
        if theirs.protocol != mine.protocol:
            raise UsageError(
                f"{other.folder} was scored by the protocol {theirs.protocol}, {first.folder} by "
                f"{mine.protocol}. Score both by one: `segttt evaluate {other.folder} TRUTH "
                f"--protocol {mine.protocol}`."
            )
        if not _same_labels(mine, theirs):
            told = ",".join(f"{label.label}={label.name}" for label in mine.per_label)
            raise UsageError(
                f"{other.folder} was scored for other labels than {first.folder}. Score both for "
                f'the same: `segttt evaluate {other.folder} TRUTH --labels "{told}"`.'
            )
        if (mine.cells is None) != (theirs.cells is None):
            raise UsageError(
                f"Only one of {first.folder} and {other.folder} was scored for numbered objects. "
                "Score both with --instances, or both without."
            )
        if rule := _other_rule(mine, theirs):
            raise UsageError(
                f"{other.folder} was scored with another {rule} than {first.folder}. Score both "
                "with the same options of `segttt evaluate`."
            )
        if case := _other_truth(first, other):
            raise DataError(
                f"{other.folder} and {first.folder} were scored against different truths: {case} "
                "has another number of true voxels or objects. Score both against one folder."
            )


def label_names(results: Sequence[Results]) -> dict[int, str]:
    """Value -> name; a name that data gave wins over one that was made up for the number."""
    names: dict[int, str] = {}
    for one in results:
        for label in one.summary.per_label:
            if _made_up(names.get(label.label, f"label {label.label}"), label.label):
                names[label.label] = label.name
    return names


def _same_labels(mine: Summary, theirs: Summary) -> bool:
    ours = {label.label: label.name for label in mine.per_label}
    others = {label.label: label.name for label in theirs.per_label}
    return ours.keys() == others.keys() and all(
        name == others[value] or _made_up(name, value) or _made_up(others[value], value)
        for value, name in ours.items()
    )


def _made_up(name: str, value: int) -> bool:
    """Whether evaluate named the label, since nothing else did."""
    return name == f"label {value}"


def _other_rule(mine: Summary, theirs: Summary) -> str:
    """A rule that the two do not share; an empty text where they share all that both tell."""
    tolerances = {label.label: label.tolerance_mm for label in theirs.per_label}
    for label in mine.per_label:
        pair = (label.tolerance_mm, tolerances[label.label])
        if None not in pair and pair[0] != pair[1]:
            return f"tolerance of {label.name}"
    if mine.cells and theirs.cells and mine.cells.threshold != theirs.cells.threshold:
        return "IoU of a found object"
    crops = [one.scoring.z_crop_labels for one in (mine, theirs) if one.scoring]
    if len(set(crops)) > 1:
        return "choice of labels to score within true slices only"
    definitions = [one.provenance.definitions for one in (mine, theirs) if one.provenance]
    return "version of the scores' definitions" if len(set(definitions)) > 1 else ""


def _other_truth(first: Results, other: Results) -> str | None:
    """A case that the two were given different truths for."""
    shared = sorted(first.cases.keys() & other.cases.keys())
    return next((id_ for id_ in shared if _true(first.cases[id_]) != _true(other.cases[id_])), None)


def _true(case: CaseScore) -> tuple[int, ...]:
    objects = (case.cells.n_truth,) if case.cells else ()
    return (*(score.n_truth for score in case.labels), *objects)
