"""A cohort so small that the whole job runs in seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

SMALL = [
    "--set", "topology.patch=[8,16,16]", "--set", "train.val_iterations=1",
    "--set", "train.precision=fp32",
]  # fmt: skip


def write_volume(
    path: Path, array: np.ndarray, spacing: tuple[float, ...] = (1.5, 1.5, 3.0)
) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-20.0, 11.0, 5.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def tiny_case(
    seed: int, shape: tuple[int, int, int] = (10, 20, 22)
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    label = np.zeros(shape, dtype=np.uint8)
    label[2:6, 4:12, 5:15] = 1
    label[6:9, 10:18, 3:12] = 2
    image = 100 * label.astype(np.float32) + random.normal(40, 10, shape).astype(np.float32)
    return image, label


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory) -> Path:
    """Six training and two test cases in nnU-Net's layout."""
    folder = tmp_path_factory.mktemp("tiny")
    for part, ids in (("Tr", range(6)), ("Ts", range(6, 8))):
        for number in ids:
            image, label = tiny_case(number, (10, 20, 22) if number % 2 else (11, 18, 20))
            write_volume(folder / f"images{part}" / f"case_{number}_0000.nii.gz", image)
            write_volume(folder / f"labels{part}" / f"case_{number}.nii.gz", label)
    content = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "front": 1, "back": 2},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder
