"""A model that stays loaded, for other programs: files, SimpleITK images or arrays in and out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, Shaped

from segttt.cases import Case, Segmentation, Volume
from segttt.commands.predictions.model import load_model
from segttt.commands.predictions.outputs import require_apart
from segttt.config.overrides import override
from segttt.config.plan import Plan
from segttt.engine import compute as computing
from segttt.engine.predict import SlidingWindow
from segttt.errors import ImageError
from segttt.io.arrays import Image, to_image, volume_of_array, volume_of_images
from segttt.io.files import make_folder
from segttt.io.volumes import read_volume, require_label_format, to_segmentation, write_segmentation
from segttt.preprocessing.pipeline import prepare


class Predictor:
    """A trained model, loaded once; each method segments one scan.

    `model` is a training folder, several of them below one folder (their logits are averaged), or
    a model file. `settings` changes fields of the plan, for example {"predict.mirror": False}.
    A `UsageError` tells what is wrong with a model, a `DataError` what is wrong with a scan.
    Not thread-safe; use one per thread. PyTorch computes with no more threads than the cores that
    are allotted to the process.
    """

    def __init__(
        self,
        model: Path | str,
        *,
        device: str = "auto",
        folds: str | Sequence[str | int] | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        each = folds.split(",") if isinstance(folds, str) else folds
        loaded = load_model(Path(model), [str(fold) for fold in each] if each else None)
        computing.use_threads()
        plan = override(loaded.plan, dict(settings or {}))
        compute = computing.choose(device, plan.train.precision, plan.train.scan)
        self._window = SlidingWindow(loaded.networks, plan, compute)

    @property
    def plan(self) -> Plan:
        """What the model was trained for: labels, channels, spacing and the rest."""
        return self._window.plan

    @property
    def labels(self) -> Mapping[int, str]:
        """Value in a segmentation -> name of the structure."""
        return self.plan.labels

    def segment_files(self, images: Path | str | Sequence[Path | str], out: Path | str) -> Path:
        """Segment one scan, one file for each channel or one for all; returns the file written.

        The segmentation lies on the scan's own grid; `out` ends as its format does (.nii.gz).
        """
        files = (images,) if isinstance(images, Path | str) else images
        paths, target = tuple(Path(image) for image in files), Path(out)
        if not paths:
            raise ImageError("There is no file to segment; give one for each channel.")
        require_label_format(target)
        require_apart([target], paths)
        case = Case(target.name.partition(".")[0], paths)
        volume = read_volume(case, len(self.plan.channels), label=False)
        require_label_format(target, volume.source)
        make_folder(target.parent)
        write_segmentation(target, self._segment(volume))
        return target

    def segment_images(self, *images: Image) -> Image:
        """Segment one scan, one image for each channel; the label map lies on its grid."""
        return to_image(self._segment(volume_of_images(images)))

    def segment_array(
        self, image: Shaped[np.ndarray, "..."], spacing_mm: Sequence[float | int]
    ) -> Integer[np.ndarray, "z y x"]:
        """Segment an array (c, z, y, x) of real numbers, whose axes run to superior, posterior and
        left; a picture has one slice.

        `spacing_mm` is of (z, y, x), ones for a picture.
        """
        return self._segment(volume_of_array(image, spacing_mm)).labels

    def _segment(self, volume: Volume) -> Segmentation:
        if len(volume.image) != len(self.plan.channels):
            raise ImageError(
                f"The scan has {len(volume.image)} channels; the model was trained on "
                f"{len(self.plan.channels)}: {', '.join(self.plan.channels)}."
            )
        classes = self._window.segment(prepare(volume, self.plan))
        return to_segmentation(classes, volume, self.labels)
