"""One case through a network: files in, classes out."""

import numpy as np

from segttt.cases import Case, Volume
from segttt.config.plan import Plan
from segttt.engine.predict import Predictor
from segttt.errors import LabelError
from segttt.io.volumes import read_volume
from segttt.preprocessing.pipeline import prepare, to_classes


def segment_case(
    predictor: Predictor, case: Case, *, label: bool = False
) -> tuple[Volume, np.ndarray]:
    """Read, prepare and segment; classes [z, y, x] on the canonical grid of the volume."""
    volume = read_volume(case, len(predictor.plan.channels), label=label)
    return volume, predictor.segment(prepare(volume, predictor.plan))


def truth_classes(volume: Volume, plan: Plan) -> np.ndarray:
    """The label map of a volume as classes [z, y, x], instances as interior and boundary."""
    if volume.label is None:
        raise LabelError(f"{volume.case.id}: has no label map to compare with.")
    return to_classes(volume.label, plan, volume.case.id)
