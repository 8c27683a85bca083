"""Peak resident memory of `segttt predict` on one long CT, from reading to the written file.

    python benchmarks/predict_memory.py [--shape 300 512 512] [--classes 14] [--max-ram 3G]

Makes a synthetic volume and an untrained small network, predicts in a process of its own and prints
its peak memory (VmHWM) and the time. Needs about 3 GiB of disk in the temporary folder.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from segttt.commands.runs.recorder import model_metadata
from segttt.config.network import Topology, UNetSpec
from segttt.config.plan import Inference, Normalisation, Plan
from segttt.geometry.grid import Grid
from segttt.io.images import write_image
from segttt.io.models import save_tensors
from segttt.networks.build import build

SPACING = (2.5, 0.8, 0.8)
AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def write_scan(folder: Path, shape: tuple[int, int, int]) -> None:
    """A noisy cylinder in air, int16."""
    random = np.random.default_rng(0)
    y, x = np.ogrid[: shape[1], : shape[2]]
    body = (y - shape[1] / 2) ** 2 + (x - shape[2] / 2) ** 2 < (0.4 * shape[1]) ** 2
    scan = np.where(body, 40, -1000).astype(np.int16)[None] + random.integers(
        -20, 20, shape, dtype=np.int16
    )
    folder.mkdir()
    write_image(folder / "long.nii.gz", scan, Grid(shape, SPACING, (0.0, 0.0, 0.0), AXES))


def write_model(folder: Path, classes: int) -> None:
    """An untrained four-stage TTT-UNet of width 8 on a 32 x 128 x 128 patch."""
    topology = Topology(
        patch=(32, 128, 128),
        strides=((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2)),
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
        features=(8, 16, 32, 64),
    )
    plan = Plan(
        name="long",
        channels=("CT",),
        labels={i: f"organ {i}" for i in range(1, classes)},
        spacing_mm=SPACING,
        normalisation=(Normalisation(scheme="ct", clip=(-200.0, 300.0), mean=40.0, std=50.0),),
        topology=topology,
        network=UNetSpec(heads=4, encoder_blocks="one", decoder_blocks="one"),
        batch=2,
        batch_dice=False,
        predict=Inference(mirror=False),
    )
    network = build(plan.network, topology, 1, classes)
    folder.mkdir()
    weights = dict(network.state_dict())
    save_tensors(folder / "model.safetensors", weights, model_metadata(plan, fold=0, seed=0))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", type=int, nargs=3, default=(300, 512, 512))
    parser.add_argument("--classes", type=int, default=14)
    parser.add_argument("--max-ram", help="handed on to segttt predict, e.g. 3G")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scan(folder / "scans", tuple(options.shape))
        write_model(folder / "model", options.classes)
        started = time.perf_counter()
        command = [sys.executable, "-m", "segttt", "predict", str(folder / "scans")]
        command += ["--max-ram", options.max_ram] if options.max_ram else []
        subprocess.run(
            [*command, "-m", str(folder / "model"), "-o", str(folder / "out")], check=True
        )
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(
            json.dumps(
                {
                    "shape": list(options.shape),
                    "classes": options.classes,
                    "max_ram": options.max_ram,
                    "peak_gib": round(peak, 2),
                    "seconds": round(seconds, 1),
                }
            )
        )


if __name__ == "__main__":
    main()
