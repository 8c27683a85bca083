"""Which files, programs and models the scores of a folder rest on."""

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import scipy

import segttt
from segttt.config.report import Provenance, Scoring
from segttt.errors import ImageError
from segttt.io.files import digest


@dataclass(frozen=True)
class ScoredFile:
    """A file that was scored, by its name and content."""

    file: str
    sha256: str


@dataclass(frozen=True)
class ScoredFiles:
    """The files of one case."""

    prediction: ScoredFile
    truth: ScoredFile

    @classmethod
    def of(cls, prediction: Path, truth: Path) -> "ScoredFiles":
        """Read both files for their digests; an `ImageError` where one cannot be read."""
        return cls(_scored(prediction), _scored(truth))


def files_json(files: Mapping[str, ScoredFiles]) -> dict[str, object]:
    """The content of files.json."""
    return {"sha256": _digest(files), "cases": {case: asdict(one) for case, one in files.items()}}


def provenance(
    scoring: Scoring, labels: Iterable[int], files: Mapping[str, ScoredFiles], *, picture: bool
) -> Provenance:
    """What made the scores of these files."""
    return Provenance(
        segttt=segttt.__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        scipy=scipy.__version__,
        spacing="pixels" if picture else "true label maps",
        tolerances_mm={label: scoring.tolerance_mm(label) for label in labels},
        files_sha256=_digest(files),
    )


def rules_digest(ways: Sequence[Scoring], names: Mapping[int, str], kind: object) -> str:
    """Names all that the scores of a case depend on, but its files."""
    versions = provenance(ways[0], names, {}, picture=False).model_dump(mode="json")
    content = [versions, [way.model_dump(mode="json") for way in ways], list(names), repr(kind)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seconds_per_case(seconds: Mapping[str, float], cases: Iterable[str]) -> float | None:
    """Median time of the predictions of `cases`; None where none was timed."""
    known = [seconds[case] for case in cases if case in seconds]
    return median(known) if known else None


def _scored(path: Path) -> ScoredFile:
    try:
        return ScoredFile(path.name, digest(path))
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _digest(files: Mapping[str, ScoredFiles]) -> str:
    lines = (
        f"{case}, {one.prediction.sha256}, {one.truth.sha256}\n"
        for case, one in sorted(files.items())
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
