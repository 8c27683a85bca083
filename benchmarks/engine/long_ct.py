"""Synthetic CT with 25 classes against nnU-Net: preparing, and the memory of a long prediction.

    python -m benchmarks.engine.long_ct --peer-python PATH [--slices 150] [--alone 600]

PATH is the Python of an environment that holds nnU-Net (see benchmarks/README.md). Six scans of 5 x
0.8 x 0.8 mm are prepared by both; then both predict one scan of `--slices` x 512 x 512 at 2 mm by a
small network of the same size, from file to file. segttt alone predicts one of `--alone` slices, of
which nnU-Net's logits would take 16 GB at once. Memory is that of all processes together (PSS).
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.engine.cost import Line, run, run_watched, table
from benchmarks.peers.peer import Peer
from segttt.commands.runs.recorder import model_metadata
from segttt.config.network import Topology
from segttt.geometry.grid import Grid
from segttt.io.images import write_image
from segttt.io.models import save_tensors
from segttt.io.workspace import Workspace
from segttt.networks.build import build, spec

DATASET, CLASSES = "Dataset005_LongCT", 25
PATCH, FEATURES = (32, 128, 128), (8, 16, 32, 64)
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2))
KERNELS = ((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


@dataclass
class Scene:
    """Where everything lies."""

    peer: Peer
    folder: Path
    repeats: int

    @property
    def raw(self) -> Path:
        """The dataset, read by both."""
        return self.peer.raw / DATASET

    def program(self, name: str, *arguments: str | Path) -> list[str | Path]:
        """A command of nnU-Net."""
        return [self.peer.python.parent / f"nnUNetv2_{name}", *arguments]


def scan(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy cylinder in air with 24 boxes of other density, and their labels."""
    random = np.random.default_rng(seed)
    z, height, width = shape
    y, x = np.ogrid[:height, :width]
    body = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (0.45 * height) ** 2
    image = np.repeat(np.where(body, 40, -1000).astype(np.int16)[None], z, 0)
    label = np.zeros(shape, np.uint8)
    for value in range(1, CLASSES):
        low = [int(n * random.uniform(0.2, 0.65)) for n in shape]
        box = tuple(slice(a, a + max(2, n // 10)) for a, n in zip(low, shape, strict=True))
        image[box] += value * 8
        label[box] = value
    image += np.resize(random.integers(-20, 20, (7, height, width), dtype=np.int16), shape)
    return image, label


def make(scene: Scene) -> None:
    """Six training scans in nnU-Net's layout."""
    for part in ("imagesTr", "labelsTr"):
        (scene.raw / part).mkdir(parents=True)
    for number in range(6):
        shape = (50 + 8 * number, 320, 320)
        grid = Grid(shape, (5.0, 0.8, 0.8), (0.0, 0.0, 0.0), AXES)
        image, label = scan(shape, number)
        write_image(scene.raw / "imagesTr" / f"ct_{number}_0000.nii.gz", image, grid)
        write_image(scene.raw / "labelsTr" / f"ct_{number}.nii.gz", label, grid)
    names = {"background": 0} | {f"organ {value}": value for value in range(1, CLASSES)}
    content = {"channel_names": {"0": "CT"}, "labels": names, "numTraining": 6}
    text = json.dumps(content | {"file_ending": ".nii.gz"})
    (scene.raw / "dataset.json").write_text(text, encoding="utf-8")


def prepare(scene: Scene) -> list[Line]:
    """Fingerprint, plan and preprocess, start-up included; the two take turns."""
    steps = [
        scene.program("extract_fingerprint", "-d", "5", "-np", "2", "--clean"),
        scene.program("plan_experiment", "-d", "5"),
        scene.program("preprocess", "-d", "5", "-c", "3d_fullres", "-np", "2"),
    ]
    workspace = scene.folder / "workspace"
    ours = [sys.executable, "-m", "segttt", "preprocess", "--data", scene.raw, "-w", workspace]
    pairs = []
    for _ in range(scene.repeats):
        theirs = sum(run(step, scene.peer.environment())[0].cpu for step in steps)
        shutil.rmtree(workspace, ignore_errors=True)
        pairs.append((theirs, run([*ours, "--workers", "2"])[0].cpu))
    a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
    return [Line("fingerprint, plan and preprocess 6 synthetic CT, CPU", "s", a, b, 5)]


def small_models(scene: Scene) -> Path:
    """Untrained networks of the same size for both; ours is returned."""
    plans = scene.peer.prepared / DATASET / "nnUNetPlans.json"
    content = json.loads(plans.read_text(encoding="utf-8"))
    chosen = content["configurations"]["3d_fullres"]
    chosen["patch_size"], chosen["batch_size"] = list(PATCH), 2
    chosen["architecture"]["arch_kwargs"] |= {
        "n_stages": 4, "features_per_stage": list(FEATURES), "kernel_sizes": KERNELS,
        "strides": STRIDES, "n_conv_per_stage": [2] * 4, "n_conv_per_stage_decoder": [2] * 3,
    }  # fmt: skip
    plans.write_text(json.dumps(content), encoding="utf-8")
    scene.peer.run("engine", {"part": "checkpoint", "dataset": DATASET, "batch": 2, "save": True})
    topology = Topology(patch=PATCH, strides=STRIDES, kernels=KERNELS, features=FEATURES)
    plan = Workspace(scene.folder / "workspace").plan()
    plan = plan.model_copy(update={"network": spec("nnunet"), "topology": topology})
    network = build(plan.network, topology, 1, CLASSES)
    model = scene.folder / "model" / "model.safetensors"
    model.parent.mkdir()
    facts = model_metadata(plan, fold="all", seed=0)
    save_tensors(model, dict(network.state_dict()), facts)
    torch.set_num_threads(1)
    return model


def predict(scene: Scene, model: Path, slices: int, *, alone: bool) -> list[Line]:
    """Peak memory and seconds of one long scan, without mirroring."""
    scans, out = scene.folder / f"scans{slices}", scene.folder / f"out{slices}"
    scans.mkdir()
    grid = Grid((slices, 512, 512), (2.0, 0.8, 0.8), (0.0, 0.0, 0.0), AXES)
    write_image(scans / "long_0000.nii.gz", scan((slices, 512, 512), 99)[0], grid)
    ours = [
        sys.executable, "-m", "segttt", "predict", scans, "-m", model, "-o", out / "ours",
        "--no-mirror", *(["--max-ram", "3G"] if alone else []),
    ]  # fmt: skip
    mine = run_watched(ours)
    if alone:
        print(f"{slices} slices, --max-ram 3G: {mine}", file=sys.stderr, flush=True)
        return []
    theirs = scene.program(
        "predict", "-i", scans, "-o", out / "theirs", "-d", "5", "-c", "3d_fullres", "-f", "all",
        "-device", "cpu", "-npp", "1", "-nps", "1", "--disable_tta",
    )  # fmt: skip
    other = run_watched(theirs, scene.peer.environment() | {"OMP_NUM_THREADS": "2"})
    work = f"predict {slices} x 512 x 512, {CLASSES} classes"
    return [
        Line(f"{work}, peak memory", "MiB", other.peak_mib, mine.peak_mib, 4),
        Line(f"{work}, wall", "s", other.wall, mine.wall, 1),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="synthetic CT against nnU-Net")
    parser.add_argument("--peer-python", type=Path, required=True, help="of nnU-Net's environment")
    parser.add_argument("--slices", type=int, default=150, help="of the scan that both predict")
    parser.add_argument("--alone", type=int, default=600, help="of segttt's own; 0: none")
    parser.add_argument("--repeats", type=int, default=3, help="of preparing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scene = Scene(Peer(options.peer_python, Path(name) / "peer"), Path(name), options.repeats)
        make(scene)
        lines = prepare(scene)
        print(table(lines), file=sys.stderr, flush=True)
        model = small_models(scene)
        lines += predict(scene, model, options.slices, alone=False)
        print(table(lines), flush=True)
        if options.alone:
            predict(scene, model, options.alone, alone=True)


if __name__ == "__main__":
    main()
