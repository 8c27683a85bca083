"""One case through a network: files in, classes out."""

from dataclasses import replace

import numpy as np

from segttt.cases import Case, PreparedCase, Volume
from segttt.config.plan import Plan
from segttt.engine.memory import require_room
from segttt.engine.predict import SlidingWindow
from segttt.errors import LabelError
from segttt.io.check import least_bytes
from segttt.io.volumes import read_volume
from segttt.preprocessing.pipeline import prepare, preparing_bytes, to_classes


def segment_case(
    predictor: SlidingWindow, case: Case, *, label: bool = False
) -> tuple[Volume, np.ndarray]:
    """Read, prepare and segment; classes [z, y, x] on the canonical grid of the volume.

    The volume comes back without its image, whose memory is needed before the classes are known.
    """
    volume, prepared = read_prepared(predictor, case, label=label)
    return volume, predictor.segment(prepared)


def read_prepared(
    predictor: SlidingWindow, case: Case, *, label: bool = False
) -> tuple[Volume, PreparedCase]:
    """A case ready for the network, and its volume without the image."""
    plan, limit = predictor.plan, predictor.max_ram
    require_room(least_bytes(case), limit)
    volume = read_volume(case, len(plan.channels), label=label, names=plan.labels)
    require_room(preparing_bytes(volume, plan), limit)
    prepared = prepare(replace(volume, label=None), plan, overwrite=True)
    return replace(volume, image=np.empty((len(volume.image), 0, 0, 0), np.float32)), prepared


def truth_classes(volume: Volume, plan: Plan) -> np.ndarray:
    """The label map of a volume as classes [z, y, x], instances as interior and boundary."""
    if volume.label is None:
        raise LabelError(f"{volume.case.id}: has no label map to compare with.")
    return to_classes(volume.label, plan, volume.case.id)
