"""A dataset read in place: which files form which case, and what the values mean."""

import unicodedata
from collections import Counter
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from segttt.config.strict import Strict
from segttt.config.text import MAX_BYTES

INTERIOR, BOUNDARY = "interior", "boundary"
INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of what a name must not hold: control, direction, halves of letters."""
LabelValue = Annotated[int, Field(ge=0, le=2**24 - 1)]
"""Of a label file; larger numbers are not whole in float32."""
LayoutName = Literal[
    "amos22", "cellseg", "endovis17", "flare22", "manifest", "msd", "nnunet", "plain", "synapse"
]


def fault_in_name(name: str) -> str:
    """Why a case cannot be called so, since files and folders are named after it; else empty."""
    if not name or name[0] == ".":
        return "begins with a dot" if name else "is empty"
    if strange := [one for one in name if unicodedata.category(one) in INVISIBLE or one in "/\\"]:
        return f"holds the character {strange[0].encode('unicode_escape').decode()}"
    return ""


class CaseFiles(Strict):
    """The files of one case; paths are absolute."""

    id: str
    images: tuple[str, ...] = Field(min_length=1)
    """One file with all channels, or one file per channel."""
    label: str | None = None
    masks: dict[LabelValue, tuple[str, ...]] = {}
    """Value -> files whose non-zero voxels have it, instead of one label file."""
    patient: str | None = None
    """Cases that share it belong on one side of a split; None: a case of its own."""


class Fold(Strict):
    """Ids of one fold, as in nnU-Net's splits_final.json; other cases are left out of it."""

    train: tuple[str, ...]
    val: tuple[str, ...]


class Dataset(Strict):
    """A dataset as segttt sees it; background is not among its labels."""

    largest_bytes: ClassVar[int] = MAX_BYTES

    name: str
    layout: LayoutName
    channels: tuple[str, ...] = Field(min_length=1)
    """Names of the channels; they choose the normalisation ("CT", "MR", "R" ...)."""
    labels: dict[LabelValue, str]
    """Value in the label files -> name of the class; empty: not declared."""
    instances: bool = False
    """Label files number objects 1..N; classes are then interior and boundary."""
    cases: tuple[CaseFiles, ...]
    """Training cases, sorted by id."""
    folds: tuple[Fold, ...] = ()
    """Where the user supplies them; else they are drawn."""

    @model_validator(mode="after")
    def _unique(self) -> "Dataset":
        ids = Counter(case.id for case in self.cases)
        if twice := [name for name, count in ids.items() if count > 1]:
            raise ValueError(f"these ids occur twice: {', '.join(sorted(twice))}")
        for name in ids:
            if fault := fault_in_name(name):
                raise ValueError(f"the name of a case {fault}")
        if 0 in self.labels:
            raise ValueError("0 is the background and cannot be a label")
        return self

    def without(self, ids: set[str]) -> "Dataset":
        """The dataset without some cases."""
        return self.model_copy(
            update={"cases": tuple(case for case in self.cases if case.id not in ids)}
        )
