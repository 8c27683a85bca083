"""A manifest read in place: the cases whose files are there, and those whose files are not."""

from pathlib import Path

from segttt.cases import Failure
from segttt.config.dataset import CaseFiles
from segttt.config.manifest import ManifestCase, load_manifest
from segttt.io.layouts.folders import STAGE, refuse_lookalikes
from segttt.io.layouts.layout import Found

ENDINGS = (".csv", ".json")


def read_manifest(path: Path) -> Found:
    """What the manifest lists; relative paths start at its folder."""
    manifest, places = load_manifest(path)
    home = path.absolute().parent
    cases: list[CaseFiles] = []
    failures: list[Failure] = []
    for listed, place in zip(manifest.cases, places, strict=True):
        case = _resolved(listed, home)
        if problem := _problem(case):
            failures.append(Failure(case.id, STAGE, f"{path}: {place}: {problem}"))
        else:
            cases.append(case)
    kept, failures = refuse_lookalikes(sorted(cases, key=lambda one: one.id), failures)
    return Found(
        kept, failures, manifest.channels, {v: n for v, n in manifest.labels.items() if v},
        manifest.instances, manifest.name or path.stem, manifest.folds(),
    )  # fmt: skip


def _resolved(listed: ManifestCase, home: Path) -> CaseFiles:
    return CaseFiles(
        id=listed.id,
        images=tuple(str(home / one) for one in listed.image),
        label=None if listed.label is None else str(home / listed.label),
        masks={
            value: tuple(str(home / one) for one in names) for value, names in listed.masks.items()
        },
        patient=listed.patient,
    )


def _problem(case: CaseFiles) -> str:
    truth = [one for names in case.masks.values() for one in names]
    truth += [case.label] if case.label is not None else []
    if not truth:
        return "has no label. Add one, or take the case away."
    missing = [one for one in (*case.images, *truth) if not Path(one).exists()]
    return f"{missing[0]!r} does not exist. Correct the path." if missing else ""
