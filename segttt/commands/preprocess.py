"""Bring every case onto the plan's grid, once; what is done stays done."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from segttt.cases import Failure
from segttt.cluster.local import map_cases
from segttt.cluster.memory import memory_of
from segttt.commands.watch import Watch
from segttt.config.dataset import CaseFiles, Dataset
from segttt.config.fingerprint import CaseFacts
from segttt.config.plan import Plan
from segttt.errors import CASE_ERRORS, SegtttError
from segttt.io.check import case_of, working_bytes
from segttt.io.files import require_space
from segttt.io.sources import source_files
from segttt.io.store import finished, outdated, write_case
from segttt.io.volumes import read_volume
from segttt.io.workspace import Workspace, locked, write_json
from segttt.planning.budget import prepared_bytes, resampling_bytes
from segttt.preprocessing.pipeline import prepare

SHOWN = 8


@dataclass(frozen=True)
class Preprocessed:
    """Where the prepared cases lie and which could not be made."""

    folder: Path
    made: int
    kept: int
    failures: Sequence[Failure]


def preprocess(
    dataset: Dataset, plan: Plan, workspace: Workspace, watch: Watch, *, workers: int
) -> Preprocessed:
    """Prepare the cases that are not prepared yet, or whose files have changed since."""
    folder = workspace.prepared(plan)
    with locked(folder, "preprocesses", wait=watch.note):
        if old := outdated(folder, dataset.cases):
            watch.note(
                f"Changed on disk since they were prepared, and prepared again: {_listed(old)}. "
                "The plan stays; `segttt plan DATA` makes it anew."
            )
        done = finished(folder) - old
        missing = [files for files in dataset.cases if files.id not in done]
        failures: list[Failure] = []
        if missing:
            ids = {files.id for files in missing}
            facts = {one.id: one for one in workspace.fingerprint().cases if one.id in ids}
            # Half the uncompressed size, for real scans compress to more.
            least = sum(prepared_bytes(case, plan) for case in facts.values()) // 2
            require_space(folder, least, "preparing the cases")
            failures = _prepare(missing, plan, facts, folder, watch, workers=workers)
        write_json(folder / "failures.json", [asdict(failure) for failure in failures])
    kept = len(dataset.cases) - len(missing)
    return Preprocessed(folder, len(missing) - len(failures), kept, failures)


def _listed(ids: Collection[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(sorted(ids)[:SHOWN]) + more


def _prepare(
    missing: Sequence[CaseFiles],
    plan: Plan,
    facts: Mapping[str, CaseFacts],
    folder: Path,
    watch: Watch,
    *,
    workers: int,
) -> list[Failure]:
    """Write the missing cases; those that cannot be made come back."""

    def one(files: CaseFiles) -> None:
        sources = source_files(files)  # before they are read: what changes meanwhile has changed
        with memory_of(files.id):
            # No name keeps the volume, so that its arrays go as soon as they have been used.
            prepared = prepare(
                read_volume(case_of(files), len(plan.channels), names=plan.labels),
                plan,
                overwrite=True,
            )
            write_case(folder, prepared, plan.topology.patch, plan.classes, sources)

    def memory(files: CaseFiles) -> int:
        case = facts.get(files.id)
        return working_bytes(files) + (resampling_bytes(case, plan) if case else 0)

    failures: list[Failure] = []
    results = map_cases(one, missing, workers=workers, bytes_of=memory)
    for files, result in watch.track(results, "preprocess", len(missing)):
        if isinstance(result, CASE_ERRORS):
            failures.append(Failure(files.id, "preprocess", str(result)))
        elif isinstance(result, SegtttError):
            raise result
    return failures
