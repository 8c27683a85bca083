"""Full-volume validation of a trained network on its held-out cases."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from segttt.cases import Failure
from segttt.cluster.memory import memory_of
from segttt.commands.predictions.segment import segment_case, truth_classes
from segttt.commands.watch import Watch
from segttt.config.dataset import CaseFiles
from segttt.config.report import CaseScore, Summary
from segttt.engine.predict import SlidingWindow
from segttt.errors import CASE_ERRORS
from segttt.io.check import case_of
from segttt.io.files import make_folder, write_text
from segttt.io.volumes import segmentation_name, to_segmentation, write_segmentation
from segttt.io.workspace import write_json
from segttt.metrics.overlap import score_case
from segttt.metrics.summary import summarise
from segttt.report.tables import cases_csv


def validate(
    predictor: SlidingWindow, cases: Sequence[CaseFiles], folder: Path, watch: Watch
) -> tuple[Summary, list[Failure]]:
    """Segment the held-out cases at their own resolution, keep the label maps and score them.

    Cases that cannot be segmented come back beside the scores, and lie in failures.json.
    """
    plan = predictor.plan
    scores: list[CaseScore] = []
    failures: list[Failure] = []
    names = dict(enumerate(plan.labels.values(), start=1))
    make_folder(folder)
    for files in watch.track(cases, "validate", len(cases)):
        case = case_of(files)
        target = folder / segmentation_name(case)
        target.unlink(missing_ok=True)  # which an earlier validation may have left
        try:
            with memory_of(files.id):
                volume, classes = segment_case(predictor, case, label=True)
        except CASE_ERRORS as error:
            failures.append(Failure(files.id, "validate", str(error)))
            continue
        segmentation = to_segmentation(classes, volume, plan.labels)
        write_segmentation(target, segmentation)
        scores.append(score_case(files.id, truth_classes(volume, plan), classes, list(names)))
    summary = summarise(scores, names, n_failed=len(failures))
    write_text(folder / "cases.csv", cases_csv(scores, names))
    write_text(folder / "summary.json", summary.dump())
    write_json(folder / "failures.json", [asdict(failure) for failure in failures])
    return summary, failures
