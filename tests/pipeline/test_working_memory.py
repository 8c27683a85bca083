"""What a case takes at the peak, which `BYTES_PER_VOXEL` promises and a workstation has to have."""

import tracemalloc

import numpy as np
import pytest

from segttt.config.dataset import CaseFiles, Dataset
from segttt.config.network import Topology
from segttt.config.plan import Normalisation, Plan
from segttt.geometry.grid import Grid
from segttt.io.check import BYTES_PER_VOXEL, case_of, check_case
from segttt.io.images import write_image
from segttt.io.store import class_locations
from segttt.io.volumes import read_volume
from segttt.planning.fingerprint import case_sample
from segttt.preprocessing.pipeline import prepare

SHAPE = (64, 208, 224)
VOXELS = 64 * 208 * 224
UPRIGHT = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
NAMES = {1: "liver", 2: "tumour"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """One CT with labels, as scanners make it: whole numbers, some of them 0."""
    folder = tmp_path_factory.mktemp("ct")
    grid = Grid(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), UPRIGHT)
    image = np.random.default_rng(0).integers(-900, 900, SHAPE).astype(np.int16)
    label = np.zeros(SHAPE, np.uint8)
    label[10:40, 50:150, 60:160] = 1
    label[20:30, 80:120, 90:130] = 2
    write_image(folder / "ct.nii", image, grid)
    write_image(folder / "label.nii", label, grid)
    files = CaseFiles(id="a", images=(str(folder / "ct.nii"),), label=str(folder / "label.nii"))
    return Dataset(name="d", layout="plain", channels=("CT",), labels=NAMES, cases=(files,))


def plan_of(**normalisation):
    return Plan(
        name="test",
        channels=("CT",),
        labels=NAMES,
        spacing_mm=(1.0, 1.0, 1.0),
        normalisation=(Normalisation(**normalisation),),
        topology=Topology(
            patch=(8, 8, 8),
            strides=((1, 1, 1), (2, 2, 2)),
            kernels=((3, 3, 3), (3, 3, 3)),
            features=(4, 8),
        ),
        batch=2,
        batch_dice=False,
    )


def peak(work):
    """Bytes per voxel of the scan, of everything that NumPy allocates meanwhile."""
    work()  # what is imported late is imported now
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / VOXELS
    finally:
        tracemalloc.stop()


def read(dataset):
    return read_volume(case_of(dataset.cases[0]), 1, names=dataset.labels)


def test_checking_and_the_fingerprint(dataset):
    """4 of the image, 2 of the label, 1 of a mask; slabs take a part of these small scans."""
    assert peak(lambda: check_case(dataset.cases[0], dataset)) < 8
    found = peak(lambda: case_sample(read(dataset), dataset, total_cases=1))
    assert found < 8 < BYTES_PER_VOXEL


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({"scheme": "ct", "mean": 50.0, "std": 100.0, "clip": (-800.0, 800.0)}, 9.5),
        ({"scheme": "zscore"}, 9.5),
        ({"scheme": "zscore", "masked": True}, 12.5),  # and the voxels inside the mask
    ],
    ids=["ct", "z-score", "masked z-score"],
)
def test_preparing(dataset, settings, most):
    """The image and the label where they lie; a mask, and what is outside of it."""

    def work():
        prepared = prepare(read(dataset), plan_of(**settings), overwrite=True)
        class_locations(prepared.label)

    assert peak(work) < most < BYTES_PER_VOXEL
