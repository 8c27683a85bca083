"""Which files a report is made from: scores, predictions, truth, images and trainings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segttt.cases import Case
from segttt.commands.scores.pairing import pairs
from segttt.commands.scores.scoring import told_by
from segttt.config.dataset import Dataset
from segttt.config.plan import Plan
from segttt.config.text import read_json
from segttt.errors import LayoutError, UsageError
from segttt.io.check import case_of
from segttt.io.files import digest
from segttt.io.layouts.inputs import list_inputs, list_scans
from segttt.io.workspace import Workspace, safe_name

WEIGHTS = ("model.safetensors", "best.safetensors")


@dataclass(frozen=True)
class Request:
    """What the user named; None: found by the report itself."""

    predictions: Path | None = None
    truth: Path | None = None
    images: Path | None = None
    scores: Path | None = None
    run: Path | None = None
    network: str | None = None
    fold: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Sources:
    """What a report is made from."""

    scores: Path
    """Folder with summary.json and the tables of the cases."""
    predictions: dict[str, Path]
    truth: dict[str, Path]
    images: dict[str, Case]
    run: Path | None
    plan: Plan | None
    dataset: Dataset | None
    trainings: tuple[Path, ...]
    validation: bool
    """The scores are those that the training ended with."""
    classes: bool
    """Predictions hold interior and boundary of objects that the truth numbers."""
    labels: dict[int, str] = field(default_factory=dict)
    """Value in the files -> name, where the predictions or the plan tell."""


def find_sources(request: Request) -> Sources:
    """Resolve a request; a `UsageError` says what is missing and how to name it."""
    run = request.run or _run_around(request.predictions)
    plan = Workspace(run).plan() if run else None
    dataset = Workspace(run).dataset() if run else None
    trainings = _trainings(run, request) if run else ()
    folder = request.predictions or _only_scored(run, trainings)
    validation = folder.parent in trainings
    scores = request.scores or (folder if validation else folder / "evaluate")
    if not (scores / "summary.json").is_file():
        truth = request.truth or "TRUTH"
        raise UsageError(
            f"{scores}: holds no summary.json. Run `segttt evaluate {folder} {truth}` first, or "
            "name the folder of the scores with --scores."
        )
    trainings = (folder.parent,) if validation else _that_made(folder, trainings)
    told = told_by(folder)
    truth, predictions = _labels(dataset), {}
    if request.truth:
        truth, predictions = pairs(folder, request.truth)
    else:
        predictions = _files(folder)
    return Sources(
        scores,
        predictions,
        truth,
        _images(request, plan, dataset),
        run,
        plan,
        dataset,
        trainings,
        validation,
        told.classes or (validation and plan is not None and plan.instances),
        told.labels or (plan.labels if plan else {}),
    )


def _run_around(predictions: Path | None) -> Path | None:
    """The run that a folder of predictions lies in."""
    above = predictions.resolve().parents if predictions else ()
    return next((one for one in above if (one / "plan.json").is_file() and _is_run(one)), None)


def _is_run(folder: Path) -> bool:
    return (folder / "dataset.json").is_file() and (folder / "fingerprint.json").is_file()


def _trainings(run: Path, request: Request) -> tuple[Path, ...]:
    """Folders of the trainings that the request allows."""
    network = safe_name(request.network) if request.network else "*"
    fold = "*" if request.fold is None else request.fold
    seed = "*" if request.seed is None else request.seed
    found = sorted((run / "train").glob(f"{network}/fold{fold}/seed{seed}/plan.json"))
    if not found and (request.network or request.fold is not None or request.seed is not None):
        known = ", ".join(_named(run, (run / "train").glob("*/fold*/seed*"))) or "none"
        raise UsageError(f"{run}: holds no such training. It holds: {known}.")
    return tuple(path.parent for path in found)


def _named(run: Path, folders: Iterable[Path]) -> list[str]:
    return sorted(str(folder.relative_to(run)) for folder in folders)


def _only_scored(run: Path | None, trainings: Sequence[Path]) -> Path:
    """The one folder of scored predictions: a validation before anything else in the run."""
    if run is None:
        raise UsageError("Name a run with -w, or PREDICTIONS and TRUTH.")
    found = [one / "val" for one in trainings if (one / "val" / "summary.json").is_file()]
    how = "--network, --fold and --seed"
    if not found:
        found = sorted(path.parent.parent for path in run.glob("**/evaluate/summary.json"))
        how = f"`segttt report PREDICTIONS TRUTH -w {run}`"
    if len(found) > 1:
        options = "\n  ".join(_named(run, found))
        raise UsageError(f"{run}: holds several scored results. Name one by {how}:\n  {options}")
    if not found:
        raise UsageError(
            f"{run}: holds no scores yet. Train a fold with validation, or run `segttt predict` "
            "and `segttt evaluate`."
        )
    return found[0]


def _that_made(folder: Path, trainings: tuple[Path, ...]) -> tuple[Path, ...]:
    """The trainings whose weights the manifest of the predictions names; a single one anyway."""
    try:
        manifest = read_json(folder / "manifest.json")
        models = set(manifest["models"])
    except (UsageError, LookupError, TypeError):
        models = set()
    made = tuple(
        one
        for one in trainings
        if any((one / name).is_file() and digest(one / name) in models for name in WEIGHTS)
    )
    return made or (trainings if len(trainings) == 1 else ())


def _files(folder: Path) -> dict[str, Path]:
    """Label maps by id; none where the folder holds no image, as validations of old runs."""
    try:
        return {case.id: case.images[0] for case in list_inputs(folder, 1)[0]}
    except LayoutError:
        return {}


def _labels(dataset: Dataset | None) -> dict[str, Path]:
    cases = dataset.cases if dataset else ()
    return {case.id: Path(case.label) for case in cases if case.label}


def _images(request: Request, plan: Plan | None, dataset: Dataset | None) -> dict[str, Case]:
    """Images by id: of the named folder, of the one beside the truth, or of the dataset."""
    folder = request.images or _beside(request.truth)
    if folder:
        scans = list_scans(folder, len(plan.channels) if plan else 1)
        return {case.id: case for case in scans.cases}
    return {case.id: case_of(case) for case in dataset.cases} if dataset else {}


def _beside(truth: Path | None) -> Path | None:
    """labelsTs -> imagesTs, labels -> images, masks -> images, where that is there."""
    if truth is None:
        return None
    name = truth.resolve().name
    for word in ("labels", "masks"):
        folder = truth.resolve().parent / name.replace(word, "images")
        if name.startswith(word) and folder.is_dir():
            return folder
    return None
