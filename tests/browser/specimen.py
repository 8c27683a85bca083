"""Small finished runs, written file by file, for reports to be made of."""

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from segttt.config.dataset import CaseFiles, Dataset
from segttt.config.fingerprint import CaseFacts, ChannelFacts, Fingerprint
from segttt.config.network import Topology
from segttt.config.plan import Normalisation, Plan
from segttt.io.workspace import Workspace
from segttt.metrics.overlap import score_case
from segttt.metrics.summary import summarise
from segttt.report.tables import cases_csv
from tests.pipeline.conftest import write_volume

NAMES = {1: "front <b>lobe</b>", 4: 'back "lobe"'}
HOSTILE = "<img src=x onerror=alert(1)>'\"&"
SHAPE = (14, 24, 30)


def anatomy(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, truth and a prediction that is worse for higher numbers, [z, y, x]."""
    random = np.random.default_rng(number)
    truth = np.zeros(SHAPE, np.uint8)
    truth[3:8, 5:14, 6:20] = 1
    truth[8:11, 12:20, 5:15] = 4
    image = 100.0 + 60 * (truth == 1) + 120 * (truth == 4) + random.normal(0, 8, SHAPE)
    return image.astype(np.float32), truth, np.roll(truth, number, axis=2)


def plan(rank: int, **changes) -> Plan:
    fields = {
        "name": "toy",
        "channels": ("MR",) if rank == 3 else ("R", "G", "B"),
        "labels": NAMES,
        "spacing_mm": (2.0, 1.0, 1.0) if rank == 3 else (1.0, 1.0, 1.0),
        "resample_z": rank == 3,
        "normalisation": (Normalisation(scheme="zscore"),) * (1 if rank == 3 else 3),
        "topology": Topology(
            patch=(8,) * rank, strides=((1,) * rank, (2,) * rank), kernels=((3,) * rank,) * 2,
            features=(4, 8),
        ),
        "batch": 2,
        "batch_dice": True,
    }  # fmt: skip
    return Plan(**(fields | changes))


def case_names(n: int) -> list[str]:
    """Names as they come, and one that a page must not take at its word."""
    return [f"case_{i}" for i in range(n - 1)] + [HOSTILE]


def write_run(folder: Path, n: int = 8, *, rank: int = 3) -> Path:
    """A run with one training of fold 0, validated on all cases."""
    ending = ".nii.gz" if rank == 3 else ".png"
    files, scores = [], []
    training = folder / "train" / "ttt-unet-bot" / "fold0" / "seed0"
    (training / "val").mkdir(parents=True)
    for number, case in enumerate(case_names(n)):
        image, truth, found = anatomy(number)
        if rank == 2:
            image = np.stack([image[5], image[9], image[12]], axis=-1).clip(0, 255)
            truth, found = truth[7:9].max(0, keepdims=True), found[7:9].max(0, keepdims=True)
        paths = [folder / part / f"{case}{ending}" for part in ("images", "labels")]
        paths.append(training / "val" / f"{case}{ending}")
        for path, content in zip(paths, (image, truth, found), strict=True):
            write(path, content)
        files.append(CaseFiles(id=case, images=(str(paths[0]),), label=str(paths[1])))
        scores.append(score_case(case, truth, found, list(NAMES)))
    the_plan = plan(rank)
    dataset = Dataset(
        name=HOSTILE, layout="plain", channels=the_plan.channels, labels=NAMES, cases=tuple(files)
    )
    Workspace(folder).save(dataset, fingerprint(dataset, rank), the_plan, [])
    (training / "plan.json").write_text(the_plan.dump())
    (training / "val" / "summary.json").write_text(summarise(scores, NAMES).dump())
    (training / "val" / "cases.csv").write_text(cases_csv(scores, NAMES))
    write_training(training)
    return folder


def write(path: Path, content: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        imageio.imwrite(path, (content[0] if len(content) == 1 else content).astype(np.uint8))
    else:
        write_volume(path, content, (1.0, 1.0, 2.0))


def write_training(folder: Path) -> None:
    about = {
        "segttt": "0.1.0", "torch": "2.13.0", "device": "cpu", "dtype": "torch.bfloat16",
        "training": ["secret_patient"] * 5, "validation": ["other_patient"] * 3,
    }  # fmt: skip
    (folder / "env.json").write_text(json.dumps(about))
    lines = [
        {"epoch": i, "train_loss": 1 - i / 4, "val_loss": 1.1 - i / 4, "dice": [i / 8, None],
         "mean_dice": i / 8, "lr": 0.01, "spent_seconds": 90.0 * (i + 1)}
        for i in range(6)
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (folder / "model.safetensors").write_bytes(b"weights")


def fingerprint(dataset: Dataset, rank: int) -> Fingerprint:
    shape = SHAPE if rank == 3 else (1, *SHAPE[1:])
    spacing = (2.0, 1.0, 1.0) if rank == 3 else (1.0, 1.0, 1.0)
    cases = tuple(
        CaseFacts(id=case.id, shape=shape, full_shape=shape, spacing_mm=spacing, relative_size=1.0)
        for case in dataset.cases
    )
    channel = ChannelFacts(
        mean=1, median=1, std=1, min=0, max=2, percentile_00_5=0, percentile_99_5=2
    )
    return Fingerprint(
        cases=cases,
        channels=(channel,) * len(dataset.channels),
        class_voxels={NAMES[1]: 300, NAMES[4]: 100},
    )
