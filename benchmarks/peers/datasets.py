"""Raw datasets that both programs read: hippocampus, two CT, and synthetic volumes."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from segttt.geometry.grid import Grid
from segttt.io.images import write_image
from segttt.shapes import Shape3, Triple

ORGANS = (
    "liver", "right kidney", "spleen", "pancreas", "aorta", "inferior vena cava",
    "right adrenal gland", "left adrenal gland", "gallbladder", "esophagus", "stomach",
    "duodenum", "left kidney",
)  # fmt: skip
UPRIGHT = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
HIPPOCAMPI = 20


@dataclass(frozen=True)
class Raw:
    """A dataset in nnU-Net's raw layout."""

    title: str
    folder: Path
    cases: tuple[str, ...]

    @property
    def name(self) -> str:
        """As nnU-Net calls it."""
        return self.folder.name

    def description(self) -> dict:
        """Its dataset.json."""
        return json.loads((self.folder / "dataset.json").read_text(encoding="utf-8"))


def hippocampus(raw: Path, data: Path) -> Raw:
    """Twenty cases spread over the training cases."""
    folder = _folder(raw / "Dataset001_Hippocampus")
    every = sorted((data / "hippocampus" / "imagesTr").glob("*.nii.gz"))
    chosen = every[:: len(every) // HIPPOCAMPI][:HIPPOCAMPI]
    for image in chosen:
        case = image.name.removesuffix(".nii.gz")
        shutil.copyfile(image, folder / "imagesTr" / f"{case}_0000.nii.gz")
        label = data / "hippocampus" / "labelsTr" / image.name
        shutil.copyfile(label, folder / "labelsTr" / image.name)
    return _described(folder, "hippocampus", ["MRI"], ["anterior", "posterior"])


def abdomen(raw: Path, data: Path) -> Raw:
    """A CT of 13 organs and a part of it, 3 mm."""
    folder = _folder(raw / "Dataset002_Abdomen")
    for case in ("ct", "ct_small"):
        source = data / "abdomen_ct"
        shutil.copyfile(source / f"{case}.nii.gz", folder / "imagesTr" / f"{case}_0000.nii.gz")
        shutil.copyfile(source / f"{case}_flare13.nii.gz", folder / "labelsTr" / f"{case}.nii.gz")
    return _described(folder, "abdomen CT", ["CT"], ORGANS)


def anisotropic(raw: Path) -> Raw:
    """Five volumes about 5 x 0.8 x 0.8 mm, a CT and an MR channel, much of them empty."""
    folder = _folder(raw / "Dataset003_Anisotropic")
    spacings = (
        (5.0, 0.8, 0.8),
        (5.0, 0.75, 0.8),
        (6.0, 0.9, 0.85),
        (4.0, 0.8, 0.7),
        (5.0, 0.8, 0.8),
    )
    for number, spacing in enumerate(spacings):
        shape = (18 + number, 96 - 4 * number, 88 + 2 * number)
        _write(folder, number, shape, spacing, channels=2, labels=4)
    return _described(folder, "5 x 0.8 x 0.8 mm", ["CT", "T2"], ["a", "b", "c", "d"])


def long(raw: Path) -> Raw:
    """Three volumes of about 300 slices of a small matrix."""
    folder = _folder(raw / "Dataset004_Long")
    for number, spacing in enumerate(((1.25, 2.0, 2.0), (1.0, 2.5, 2.5), (1.5, 2.0, 2.2))):
        shape = (300 + 7 * number, 48 - number, 44 + number)
        _write(folder, number, shape, spacing, channels=1, labels=3)
    return _described(folder, "300 slices", ["MR"], ["a", "b", "c"])


def planned_only(raw: Path, prepared: Path, number: int, facts: Mapping) -> Raw:
    """A dataset of nothing but a fingerprint, for planning; `facts` is that fingerprint."""
    folder = _folder(raw / f"Dataset{number:03d}_Planned")
    for case in range(len(facts["spacings"])):
        (folder / "imagesTr" / f"case_{case:03d}_0000.nii.gz").touch()
        (folder / "labelsTr" / f"case_{case:03d}.nii.gz").touch()
    known = _folder(prepared / folder.name)
    (known / "dataset_fingerprint.json").write_text(json.dumps(facts), encoding="utf-8")
    return _described(folder, f"made up {number}", ["CT"], ["organ"])


def _blobs(shape: Shape3, seed: int, labels: int) -> np.ndarray:
    """Smooth regions 0..labels, background about half of the volume."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.normal(size=shape), (1, 4, 4))
    cuts = np.quantile(smooth, np.linspace(0.5, 1, labels + 1)[:-1])
    return np.digitize(smooth, cuts).astype(np.int16)


def _write(
    folder: Path, number: int, shape: Shape3, spacing_mm: Triple, *, channels: int, labels: int
) -> None:
    """A noisy volume inside an ellipsoid; outside it is exactly 0."""
    random = np.random.default_rng(number)
    classes = _blobs(shape, number, labels)
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    inside = sum((axis / 0.8) ** 2 for axis in axes) < 1
    classes[~inside] = 0
    grid = Grid(shape, spacing_mm, (0.0, 0.0, 0.0), UPRIGHT)
    for channel in range(channels):
        values = 60.0 * classes * (1 + channel) + random.normal(100, 15, shape)
        image = np.where(inside, np.rint(values), 0).astype(np.int16)
        write_image(folder / "imagesTr" / f"case_{number}_{channel:04d}.nii.gz", image, grid)
    write_image(folder / "labelsTr" / f"case_{number}.nii.gz", classes.astype(np.uint8), grid)


def _folder(path: Path) -> Path:
    for name in ("imagesTr", "labelsTr"):
        (path / name).mkdir(parents=True, exist_ok=True)
    return path


def _described(folder: Path, title: str, channels: Sequence[str], labels: Sequence[str]) -> Raw:
    images = sorted((folder / "imagesTr").glob("*_0000.nii.gz"))
    description = {
        "name": folder.name,
        "channel_names": {str(index): name for index, name in enumerate(channels)},
        "labels": {"background": 0} | {name: index for index, name in enumerate(labels, 1)},
        "numTraining": len(images),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return Raw(title, folder, tuple(one.name.removesuffix("_0000.nii.gz") for one in images))
