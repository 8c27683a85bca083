"""A thousand small cases and one of 2 GB: time and memory of preparing and of reading them.

    python -m benchmarks.engine.mixed [--small 1000] [--large 800 1152 1152] [--folder DIR]

Makes the cases (int16 noise, two labels), runs `segttt preprocess` on each of both datasets in a
process of its own, then reads and augments 50 batches. At most 1,024 files may be open, as usual.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.engine.cost import run
from segttt.geometry.grid import Grid
from segttt.io.images import write_image

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
DESCRIPTION = {
    "channel_names": {"0": "CT"}, "labels": {"background": 0, "one": 1, "two": 2},
    "file_ending": ".nii",
}  # fmt: skip


def make(folder: Path, count: int, shape: tuple[int, ...]) -> None:
    """A dataset in nnU-Net's layout; one slab of noise is repeated, so that large ones fit."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    random = np.random.default_rng(0)
    z, y, x = shape
    grid = Grid((z, y, x), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), AXES)
    label = np.zeros(shape, np.uint8)
    label[z // 4 : z // 2, y // 4 : y // 2, x // 4 : x // 2] = 1
    label[z // 2 : 3 * z // 4, y // 3 : y // 2, x // 4 : x // 2] = 2
    for number in range(count):
        image = np.tile(random.integers(-900, 900, (8, y, x), dtype=np.int16), (-(-z // 8), 1, 1))
        write_image(folder / "imagesTr" / f"case_{number:04d}_0000.nii", image[:z], grid)
        write_image(folder / "labelsTr" / f"case_{number:04d}.nii", label, grid)
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION), encoding="utf-8")


def measure(name: str, folder: Path, count: int, shape: tuple[int, ...]) -> str:
    """One row of the table."""
    data, workspace = folder / name, folder / f"{name}-workspace"
    make(data, count, shape)
    size = sum(path.stat().st_size for path in data.rglob("*.nii")) / 2**30
    command = [sys.executable, "-m", "segttt", "preprocess", "--data", data, "-w", workspace]
    cost, _ = run([*command, "--workers", "2" if count > 1 else "1"])
    settings = {"workspace": str(workspace), "batch": 2, "batches": 50}
    reading = [sys.executable, "-m", "benchmarks.engine.ours", "loading", json.dumps(settings)]
    read = json.loads(run(reading)[1])
    return (
        f"| {name}: {count} of {' x '.join(map(str, shape))}, {size:.2f} GiB | {cost.wall:.0f} s "
        f"| {cost.cpu:.0f} s | {cost.peak_mib / 1024:.2f} GiB | {1000 * read['cpu']:.1f} ms "
        f"| {read['files']} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", type=int, default=1000)
    parser.add_argument("--large", type=int, nargs=3, default=(800, 1152, 1152))
    parser.add_argument("--folder", type=Path, help="for the data; default: the temporary folder")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, most))
    print("| data | wall | CPU | peak memory | reading one patch, CPU | open files |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        started = time.perf_counter()
        print(measure("small", Path(name), options.small, (32, 32, 32)), flush=True)
        print(measure("large", Path(name), 2, tuple(options.large)), flush=True)
        print(f"{time.perf_counter() - started:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
