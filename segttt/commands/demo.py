"""The whole job on a phantom cohort: plan, preprocess, train, predict, evaluate."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segttt.commands.evaluate import Evaluated, evaluate
from segttt.commands.plan import Request, make
from segttt.commands.predict import Options as PredictOptions
from segttt.commands.predict import predict
from segttt.commands.preprocess import preprocess
from segttt.commands.scores.scoring import Request as Scored
from segttt.commands.train import Options, Trained, train
from segttt.commands.watch import Watch
from segttt.config.plan import Plan
from segttt.data.phantom import write_phantom_cohort
from segttt.io.files import write_bytes
from segttt.io.layouts.inputs import list_inputs
from segttt.io.volumes import read_volume
from segttt.io.workspace import Workspace
from segttt.report.overlay import overlay_png


@dataclass(frozen=True)
class Demonstrated:
    """What the demo made."""

    folder: Path
    plan: Plan
    trained: Trained
    evaluated: Evaluated
    picture: Path
    seconds: float


def demonstrate(
    folder: Path, watch: Watch, *, seed: int, limit_seconds: float, network: str, workers: int
) -> Demonstrated:
    """Run the main job on synthetic CT volumes; the seed fixes data and training."""
    started = time.monotonic()
    data = folder / "phantom"
    watch.note(f"Writing a phantom cohort to {data}")
    write_phantom_cohort(data, seed=seed)
    workspace = Workspace(folder / "run")
    request = Request(workspace, data, "demo", network, workers=workers)
    planned = make(request, watch)
    preprocess(planned.dataset, planned.plan, workspace, watch, workers=workers)
    options = Options("all", seed, limit_seconds=limit_seconds)
    trained = train(planned.dataset, planned.plan, workspace, options, watch)
    out = folder / "segmentations"
    predict(data / "imagesTs", trained.folder, out, PredictOptions(), watch)
    overlap = Scored(surfaces=False)
    scored = evaluate(
        out, data / "labelsTs", folder / "scores", watch, request=overlap, workers=workers
    )
    picture = _picture(folder, data, out, planned.plan)
    return Demonstrated(folder, planned.plan, trained, scored, picture, time.monotonic() - started)


def _picture(folder: Path, data: Path, out: Path, plan: Plan) -> Path:
    """Truth and prediction of the first test case, side by side."""
    case = list_inputs(data / "imagesTs", 1)[0][0]
    truth = list_inputs(data / "labelsTs", 1)[0][0]
    predicted = next(one for one in list_inputs(out, 1)[0] if one.id == case.id)
    volume = read_volume(case, 1, label=False)
    true, found = (
        read_volume(one, 1, label=False).image[0].astype(np.int16) for one in (truth, predicted)
    )
    spacing = volume.grid.spacing_mm
    picture = overlay_png(
        volume.image, true, found, plan.labels, spacing_mm=spacing, title=f"Case {case.id}"
    )
    path = folder / "picture.png"
    write_bytes(path, picture)
    return path
