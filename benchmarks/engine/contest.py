"""segttt against nnU-Net: time and memory of every part of the engine, with the same results.

    python -m benchmarks.engine.contest --peer-python PATH --data DIR [--only prepare load ...]

PATH is the Python of an environment that holds nnU-Net (see benchmarks/README.md), DIR the folder
with `hippocampus`. Both programs get the same data, the same weights and the same threads; repeats
take turns. Takes about half an hour on two quiet cores.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine.cost import Line, in_turns, run, table
from benchmarks.peers import names
from benchmarks.peers.peer import Arrays, Peer
from segttt.commands.runs.recorder import model_metadata
from segttt.config.plan import Plan
from segttt.io.models import save_tensors
from segttt.io.workspace import Workspace
from segttt.networks.build import build, spec

DATASET = "Dataset004_Hippocampus"
THREADS = 2


@dataclass
class Contest:
    """Where everything lies, and how often it is repeated."""

    peer: Peer
    data: Path
    folder: Path
    repeats: int

    @property
    def workspace(self) -> Path:
        """Of segttt."""
        return self.folder / "workspace"

    def ours(self, part: str, **settings: Any) -> dict[str, float]:
        """Figures of one part of ours."""
        command = [sys.executable, "-m", "benchmarks.engine.ours", part, json.dumps(settings)]
        return json.loads(run(command)[1])

    def theirs(self, part: str, arrays: Arrays | None = None, **settings: Any) -> Any:
        """Figures of one part of nnU-Net's."""
        given = {"part": part, "dataset": DATASET} | settings
        script = part if part == "first_window" else "engine"
        return self.peer.run(script, given, arrays)[0]

    def predict_options(self, scans: Path, out: Path, *, mirror: bool = False) -> list[str]:
        """Of nnU-Net's predict, with one process to read and one to write, its fastest here."""
        return [
            "-i", str(scans), "-o", str(out), "-d", "4", "-c", "3d_fullres", "-f", "all",
            "-device", "cpu", "-npp", "1", "-nps", "1", *([] if mirror else ["--disable_tta"]),
        ]  # fmt: skip

    def program(self, name: str, *arguments: str | Path) -> list[str | Path]:
        """A command of nnU-Net."""
        return [self.peer.python.parent / f"nnUNetv2_{name}", *arguments]


def prepare(contest: Contest) -> list[Line]:
    """Fingerprint, plan and preprocess all training cases, start-up included."""
    raw = contest.peer.raw / DATASET
    _nnunet_raw(contest.data / "hippocampus", raw)
    environment = contest.peer.environment()
    steps = [
        contest.program("extract_fingerprint", "-d", "4", "-np", "2", "--clean"),
        contest.program("plan_experiment", "-d", "4"),
        contest.program("preprocess", "-d", "4", "-c", "3d_fullres", "-np", "2"),
    ]

    def theirs() -> float:
        return sum(run(step, environment)[0].cpu for step in steps)

    def ours() -> float:
        shutil.rmtree(contest.workspace, ignore_errors=True)
        command = ["preprocess", "--data", raw, "-w", contest.workspace, "--workers", "2"]
        return run([sys.executable, "-m", "segttt", *command])[0].cpu

    found = in_turns({"theirs": theirs, "ours": ours}, contest.repeats)
    plan = Workspace(contest.workspace).plan().model_copy(update={"network": spec("nnunet")})
    Workspace(contest.workspace).plan_file.write_text(plan.dump(), encoding="utf-8")
    work = "fingerprint, plan and preprocess 167 hippocampi, CPU"
    return [Line(work, "s", found["theirs"], found["ours"], 5)]


def load(contest: Contest) -> list[Line]:
    """Patches from disk, augmented, in one process and one thread."""
    settings = {"batch": 7, "batches": 150}
    found = in_turns(
        {
            "theirs": lambda: contest.theirs("loading", **settings)["cpu"],
            "ours": lambda: contest.ours("loading", workspace=str(contest.workspace), **settings)[
                "cpu"
            ],
        },
        contest.repeats,
    )
    work = "load and augment one patch of 40 x 56 x 40, CPU"
    return [Line(work, "ms", 1000 * found["theirs"], 1000 * found["ours"], 3)]


def step(contest: Contest) -> list[Line]:
    """A training step of the same plain network on the same patch and batch."""
    settings = {"batch": 7, "steps": 3, "threads": THREADS}

    def ours(precision: str) -> Callable[[], float]:
        place = str(contest.workspace)
        return lambda: contest.ours("stepping", workspace=place, precision=precision, **settings)[
            "wall"
        ]

    found = in_turns(
        {
            "theirs": lambda: contest.theirs("stepping", **settings)["wall"],
            "fp32": ours("fp32"),
            "bf16": ours("bf16"),
        },
        contest.repeats,
    )
    work = "training step, 7 x 40 x 56 x 40, plain network, "
    return [
        Line(work + "fp32", "s", found["theirs"], found["fp32"], 1.6),
        Line(work + "bf16", "s", found["theirs"], found["bf16"], 3),
    ]


def predict(contest: Contest) -> list[Line]:
    """The 41 test cases with the same weights, files to files, start-up included."""
    scans = contest.folder / "scans"
    _channel_files(contest.data / "hippocampus" / "imagesTs", scans)
    model = _same_weights(contest)
    environment = contest.peer.environment() | {"OMP_NUM_THREADS": str(THREADS)}
    lines = []
    for mirror in (False, True):
        out = contest.folder / "predicted"
        options = contest.predict_options(scans, out / "theirs", mirror=mirror)
        theirs = contest.program("predict", *options)
        ours = [
            sys.executable, "-m", "segttt", "predict", scans, "-m", model, "-o", out / "ours",
            "--mirror" if mirror else "--no-mirror",
        ]  # fmt: skip
        costs: dict[str, list[Any]] = {"theirs": [], "ours": []}
        for _ in range(contest.repeats):
            costs["theirs"].append(run(theirs, environment)[0])
            costs["ours"].append(run(ours)[0])
        how = "with mirroring" if mirror else "without mirroring"
        for unit in ("wall", "cpu"):
            a, b = (sorted(getattr(c, unit) for c in costs[k])[len(costs[k]) // 2] for k in costs)
            lines.append(Line(f"predict 41 hippocampi {how}, {unit}", "s", a, b, 2))
    return lines


def restore(contest: Contest) -> list[Line]:
    """Logits of 25 classes to a quarter of a long CT, and their argmax."""
    settings = {
        "logits": [25, 75, 256, 256], "shape": [150, 512, 512],
        "spacing": [2.0, 1.6, 1.6], "new_spacing": [1.0, 0.8, 0.8], "threads": THREADS,
    }  # fmt: skip
    pairs = [
        (contest.theirs("restoring", **settings), contest.ours("restoring", **settings))
        for _ in range(contest.repeats)
    ]
    return _medians("25 logits to 150 x 512 x 512 and argmax", pairs, 10)


def start(contest: Contest) -> list[Line]:
    """The help text, and a prediction until its first window is through."""
    environment = contest.peer.environment()
    help_text = in_turns(
        {
            "theirs": lambda: run(contest.program("predict", "-h"), environment)[0].cpu,
            "ours": lambda: run([sys.executable, "-m", "segttt", "predict", "--help"])[0].cpu,
        },
        contest.repeats,
    )
    model = _same_weights(contest)
    scans, out = contest.folder / "one", contest.folder / "first"
    scans.mkdir(exist_ok=True)
    scan = sorted((contest.data / "hippocampus" / "imagesTs").glob("*.nii.gz"))[0]
    shutil.copyfile(scan, scans / "scan_0000.nii.gz")
    theirs = contest.predict_options(scans, out / "theirs")
    ours = [str(scans), "-m", str(model), "-o", str(out / "ours"), "--no-mirror"]
    lines = [Line("predict --help, CPU", "s", help_text["theirs"], help_text["ours"], 10)]
    pairs = [
        (
            contest.theirs("first_window", arguments=theirs),
            contest.ours("first_window", arguments=ours),
        )
        for _ in range(contest.repeats)
    ]
    return lines + _medians("the predict command until its first window", pairs, 4)


def _medians(work: str, pairs: list[tuple[Any, Any]], bar: float) -> list[Line]:
    """CPU and wall seconds of both sides, which took turns."""
    lines = []
    for unit in ("cpu", "wall"):
        a, b = (statistics.median(one[unit] for one in side) for side in zip(*pairs, strict=True))
        lines.append(Line(f"{work}, {unit}", "s", a, b, bar))
    return lines


def _same_weights(contest: Contest) -> Path:
    """A model of ours, and a finished training of nnU-Net's, with equal weights."""
    plan: Plan = Workspace(contest.workspace).plan()
    torch.manual_seed(0)
    network = build(plan.network, plan.topology, 1, plan.classes)
    known = contest.theirs("checkpoint", batch=2)
    if tuple(known["patch"]) != plan.topology.patch:
        raise RuntimeError(f"the plans differ: {known['patch']} and {plan.topology.patch}")
    contest.theirs("checkpoint", names.theirs(network, known["names"]), batch=2)
    model = contest.folder / "model" / "model.safetensors"
    model.parent.mkdir(exist_ok=True)
    save_tensors(model, dict(network.state_dict()), model_metadata(plan, fold="all", seed=0))
    return model


def _nnunet_raw(source: Path, raw: Path) -> None:
    if raw.exists():
        return
    _channel_files(source / "imagesTr", raw / "imagesTr")
    shutil.copytree(source / "labelsTr", raw / "labelsTr")
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "Anterior": 1, "Posterior": 2},
        "numTraining": len(list((raw / "labelsTr").iterdir())),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(content), encoding="utf-8")


def _channel_files(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*.nii.gz"):
        shutil.copyfile(path, target / path.name.replace(".nii.gz", "_0000.nii.gz"))


PARTS = {
    "prepare": prepare, "load": load, "step": step, "predict": predict, "restore": restore,
    "start": start,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, required=True, help="of nnU-Net's environment")
    parser.add_argument("--data", type=Path, required=True, help="with hippocampus")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contest = Contest(
            Peer(options.peer_python, folder / "peer"), options.data, folder, options.repeats
        )
        lines = []
        for part in ["prepare", *(part for part in options.only if part != "prepare")]:
            found = PARTS[part](contest)
            print(table(found), file=sys.stderr, flush=True)
            lines += found
        print(table(lines))


if __name__ == "__main__":
    main()
