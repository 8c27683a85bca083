"""Restricting a dataset to the cases that the user names."""

from pathlib import Path

from segttt.config.dataset import Dataset
from segttt.config.text import MAX_BYTES, parse_json, read_bounded
from segttt.errors import UsageError


def select_cases(dataset: Dataset, source: str) -> Dataset:
    """The dataset with only the ids that `source` lists: FILE, or FILE:KEY for a JSON object."""
    wanted = case_ids(source)
    known = {case.id for case in dataset.cases}
    unknown = [one for one in wanted if one not in known]
    if unknown:
        raise UsageError(
            f"--cases {source}: {len(unknown)} of {len(wanted)} ids are not in the dataset, "
            f"the first is '{unknown[0]}'. Ids are file names without ending."
        )
    chosen = set(wanted)
    return dataset.model_copy(
        update={"cases": tuple(case for case in dataset.cases if case.id in chosen)}
    )


def case_ids(source: str) -> list[str]:
    """The ids that FILE (text or JSON list) or FILE:KEY (a JSON object's list) holds."""
    name, _, key = source.partition(":") if not Path(source).exists() else (source, "", "")
    path = Path(name)
    try:
        text = read_bounded(path, MAX_BYTES).decode()
    except ValueError as error:
        raise UsageError(f"--cases {path}: is no text in UTF-8. Is it the right file?") from error
    if path.suffix != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = parse_json(text)
    except ValueError as error:
        raise UsageError(f"--cases {path}: is not JSON ({error}).") from error
    if isinstance(content, dict):
        if key not in content:
            known = ", ".join(content)
            raise UsageError(f"--cases {source}: name one of its keys as FILE:KEY ({known}).")
        content = content[key]
    if not isinstance(content, list) or not all(isinstance(one, str) for one in content):
        raise UsageError(f"--cases {source}: expected a list of case ids.")
    return content
