"""A dataset read in place: which files form which case, and what the values mean."""

from typing import Literal

from pydantic import Field, model_validator

from segttt.config.strict import Strict

INTERIOR, BOUNDARY = "interior", "boundary"


class CaseFiles(Strict):
    """The files of one case; paths are absolute."""

    id: str
    images: tuple[str, ...] = Field(min_length=1)
    """One file with all channels, or one file per channel."""
    label: str | None = None


class Dataset(Strict):
    """A dataset as segttt sees it; background is not among its labels."""

    name: str
    layout: Literal["msd", "nnunet", "plain"]
    channels: tuple[str, ...] = Field(min_length=1)
    """Names of the channels; they choose the normalisation ("CT", "MR", "R" ...)."""
    labels: dict[int, str]
    """Value in the label files -> name of the class; empty: not declared."""
    instances: bool = False
    """Label files number objects 1..N; classes are then interior and boundary."""
    cases: tuple[CaseFiles, ...]
    """Training cases, sorted by id."""
    folds: tuple[tuple[str, ...], ...] = ()
    """Ids of the validation cases of each fold, where the user supplies them."""

    @model_validator(mode="after")
    def _unique(self) -> "Dataset":
        ids = [case.id for case in self.cases]
        twice = {one for one in ids if ids.count(one) > 1} if len(set(ids)) < len(ids) else set()
        if twice:
            raise ValueError(f"these ids occur twice: {', '.join(sorted(twice))}")
        if 0 in self.labels:
            raise ValueError("0 is the background and cannot be a label")
        return self

    def without(self, ids: set[str]) -> "Dataset":
        """The dataset without some cases."""
        return self.model_copy(
            update={"cases": tuple(case for case in self.cases if case.id not in ids)}
        )
