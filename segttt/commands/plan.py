"""From a folder of data to a plan, naming every case that cannot be used."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from segttt.cases import Failure
from segttt.cluster.local import map_cases
from segttt.cluster.memory import memory_of
from segttt.commands.plans.adapt import (
    RecipeName,
    check_settings,
    network_spec,
    settled,
    switched,
)
from segttt.commands.plans.selection import case_ids, select_cases
from segttt.commands.watch import Watch
from segttt.config import preset as presets
from segttt.config.dataset import CaseFiles, Dataset
from segttt.config.fingerprint import Fingerprint
from segttt.config.plan import Plan
from segttt.config.preset import Preset
from segttt.config.splits import load_splits
from segttt.errors import CASE_ERRORS, DataError, LayoutError, SegtttError, UsageError
from segttt.io.check import case_of, undeclared_labels, working_bytes
from segttt.io.layouts.manifest import read_manifest
from segttt.io.layouts.read import discover_labels, read_dataset
from segttt.io.volumes import read_volume
from segttt.io.workspace import Workspace, locked
from segttt.planning.fingerprint import CaseSample, case_sample, merge
from segttt.planning.planner import label_notice, make_plan


@dataclass(frozen=True)
class Request:
    """What the user asked of plan, preprocess and train."""

    workspace: Workspace
    data: Path | None = None
    preset: str | None = None
    network: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """Dotted plan fields to change."""
    cases: str | None = None
    """FILE or FILE:KEY with the ids to use; None: all."""
    instances: bool = False
    planner: Literal["v2.1", "v2.8"] = "v2.1"
    workers: int = 1
    recipe: RecipeName | None = None
    """Optimiser and schedule: published for the network (None), of the preset, or nnU-Net's."""
    dims: Literal[2, 3] | None = None
    """2: slices or pictures, 3: volumes; None: as preset, network and data."""
    splits: Path | None = None
    """A splits_final.json; None: the one beside the data, if any."""


@dataclass(frozen=True)
class Planned:
    """A plan and what it rests on."""

    dataset: Dataset
    fingerprint: Fingerprint
    plan: Plan
    failures: Sequence[Failure]


def make(request: Request, watch: Watch, *, write: bool = True) -> Planned:
    """Read and check every case, take the fingerprint and plan; `write` keeps the result."""
    data = _named(request)
    if not write:
        return _make(data, request, watch, write=False)
    with locked(request.workspace.folder, "plans", wait=watch.note):
        return _make(data, request, watch, write=True)


def _named(request: Request) -> Path:
    if request.data is None:
        raise UsageError("Name the folder of the data: segttt plan DATA, or --data DATA.")
    return request.data


def _make(data: Path, request: Request, watch: Watch, *, write: bool) -> Planned:
    chosen = presets.load(request.preset) if request.preset else None
    check_settings(request.settings, network_spec(request.network, chosen))
    dataset, failures = _declared(request, chosen, watch)
    dataset, fingerprint, broken = _fingerprint(dataset, request, watch)
    failures = [*failures, *broken]
    if not dataset.cases:
        raise LayoutError(_nothing_usable(data, failures))
    plan = plan_for(request, dataset, fingerprint, chosen, watch)
    if write:
        checks = [asdict(failure) for failure in failures]
        request.workspace.save(dataset, fingerprint, plan, checks)
    return Planned(dataset, fingerprint, plan, failures)


def plan_for(
    request: Request,
    dataset: Dataset,
    fingerprint: Fingerprint,
    chosen: Preset | None,
    watch: Watch,
) -> Plan:
    """The plan of a known fingerprint under the request's preset, network and settings."""
    network = network_spec(request.network, chosen)
    plan = make_plan(
        dataset,
        fingerprint,
        preset=chosen,
        network=network,
        planner=request.planner,
        dims=request.dims,
    )
    plan = switched(plan, network, request.recipe, chosen)
    return settled(plan, request.settings, watch)


def existing_or_new(request: Request, watch: Watch, *, write: bool = True) -> Planned:
    """The plan of the workspace, adapted to the request, or a new one."""
    there = request.workspace.plan_file.is_file
    if not there() and not write:
        return make(request, watch, write=False)
    if not there():
        data = _named(request)
        with locked(request.workspace.folder, "plans", wait=watch.note):
            if not there():  # else another process has made it meanwhile
                return _make(data, request, watch, write=True)
    plan, dataset = request.workspace.plan(), request.workspace.dataset()
    if difference := _contradiction(request, plan, dataset):
        raise UsageError(
            f"{request.workspace.folder}: was planned with {difference}. "
            "Choose another workspace with -w, or plan it anew with `segttt plan`."
        )
    if request.network or request.recipe:
        chosen = _preset_of(plan, request)
        network = network_spec(request.network, chosen) if request.network else plan.network
        plan = switched(plan, network, request.recipe, chosen)
    plan = settled(plan, request.settings, watch)
    return Planned(dataset, request.workspace.fingerprint(), plan, [])


def _preset_of(plan: Plan, request: Request) -> Preset | None:
    """The preset that the plan was made with."""
    if plan.preset is None:
        return None
    if request.preset is None and plan.preset not in presets.names():
        raise UsageError(
            f"The workspace was planned with preset '{plan.preset}', which is a file of yours. "
            "Name that file with --preset, too."
        )
    return presets.load(request.preset or plan.preset)


def _contradiction(request: Request, plan: Plan, dataset: Dataset) -> str | None:
    """What the request asks for and the workspace's plan is not, in words."""
    if request.preset and (wanted := presets.load(request.preset).name) != plan.preset:
        was = f"preset {plan.preset}" if plan.preset else "no preset"
        return f"{was}, not {wanted}"
    if request.dims and request.dims != plan.topology.rank:
        return f"{plan.topology.rank}D patches, not {request.dims}D"
    if request.instances and not plan.instances:
        return "labels, not instances"
    if request.data and not _lies_in(request.data, dataset):
        return f"other data than {request.data}"
    if request.splits and load_splits(request.splits) != dataset.folds:
        return f"other folds than those of {request.splits}"
    if request.cases and not {case.id for case in dataset.cases} <= set(case_ids(request.cases)):
        return f"other cases than {request.cases}"
    return None


def _lies_in(data: Path, dataset: Dataset) -> bool:
    """Whether the folder holds, or the manifest lists, an image of the dataset."""
    images = [image for case in dataset.cases for image in case.images]
    if data.is_file():
        listed = {image for case in read_manifest(data).cases for image in case.images}
        return not listed.isdisjoint(images)
    home = str(data.absolute())
    return any(image.startswith(home) for image in images)


def _declared(
    request: Request, chosen: Preset | None, watch: Watch
) -> tuple[Dataset, list[Failure]]:
    """The dataset with its labels, restricted to the chosen cases."""
    data = request.data or Path()
    known = chosen.dataset if chosen else None
    dataset, failures = read_dataset(
        data,
        instances=request.instances or bool(known and known.instances),
        channels=known.channels if known else (),
        only=case_ids(request.cases) if request.cases else None,
        splits=request.splits,
    )
    if request.cases:
        dataset = select_cases(dataset, request.cases)
    if chosen and (notice := label_notice(dataset, chosen)):
        watch.note(notice)
    if not dataset.labels and not dataset.instances:
        labels = known.labels if known else discover_labels(dataset)
        dataset = dataset.model_copy(update={"labels": labels})
    return dataset, failures


def _fingerprint(
    dataset: Dataset, request: Request, watch: Watch
) -> tuple[Dataset, Fingerprint, list[Failure]]:
    def sample(files: CaseFiles) -> CaseSample:
        with memory_of(files.id):
            volume = read_volume(case_of(files), len(dataset.channels), names=dataset.labels)
            problems = undeclared_labels(volume, dataset)
            if problems:
                raise DataError(" ".join(problems))
            return case_sample(volume, dataset, total_cases=len(dataset.cases))

    usable: list[tuple[CaseFiles, CaseSample]] = []
    failures: list[Failure] = []
    results = map_cases(sample, dataset.cases, workers=request.workers, bytes_of=working_bytes)
    for files, result in watch.track(results, "check and fingerprint", len(dataset.cases)):
        if isinstance(result, CASE_ERRORS):
            failures.append(Failure(files.id, "check", str(result)))
        elif isinstance(result, SegtttError):
            raise result
        else:
            usable.append((files, result))
    kept = dataset.model_copy(update={"cases": tuple(files for files, _ in usable)})
    if not usable:
        return kept, Fingerprint(cases=(), channels=(), class_voxels={}), failures
    return kept, merge([one for _, one in usable]), failures


def _nothing_usable(data: Path, failures: Sequence[Failure]) -> str:
    first = (
        f" The first of {len(failures)}: {failures[0].id}: {failures[0].reason}" if failures else ""
    )
    return f"{data}: holds no case that can be used.{first}"
