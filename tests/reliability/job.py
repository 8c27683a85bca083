"""The five commands on a cohort so small that each runs in a fraction of a second."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from segttt.errors import SegtttError
from segttt.io.files import TEMPORARY
from segttt.io.images import read_image
from segttt.io.models import load_tensors
from segttt.io.store import damaged, finished
from segttt.io.workspace import LOCK
from segttt.report.tables import read_cases_csv
from tests.pipeline.conftest import tiny_case, write_volume
from tests.reliability.processes import Ended, Job, Server

TRAINING, TEST = range(4), range(4, 7)
EPOCHS, STEPS = 3, 2
JOURNAL = "journal.jsonl"
SETTINGS = [
    "--set", "topology.patch=[8,16,16]", "--set", "topology.features=[4,8,16]",
    "--set", "train.val_iterations=1", "--set", "train.precision=fp32", "--set", "batch=1",
    "--set", f"train.epochs={EPOCHS}", "--set", f"train.iterations={STEPS}",
    "--set", "predict.mirror=false", "--set", "predict.overlap=0",
]  # fmt: skip
COMMANDS = ("plan", "preprocess", "train", "predict", "evaluate")
NEEDED = {"preprocess": ("run/*.json",), "train": ("run/*.json", "run/prepared")}
"""What a command finds at its place; prediction and evaluation read the undisturbed run."""


def write_cohort(folder: Path) -> None:
    """Four training and three test cases in nnU-Net's layout."""
    for part, ids in (("Tr", TRAINING), ("Ts", TEST)):
        for number in ids:
            image, label = tiny_case(number, (8, 16, 16 - number % 2))
            write_volume(folder / f"images{part}" / f"case_{number}_0000.nii.gz", image)
            write_volume(folder / f"labels{part}" / f"case_{number}.nii.gz", label)
    content = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "front": 1, "back": 2},
        "numTraining": len(TRAINING),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content))


@dataclass(frozen=True)
class Work:
    """The cohort, and one run of all commands that nothing happened to."""

    folder: Path
    server: Server
    operations: dict[str, int]
    """How often each command changes the disk."""

    @classmethod
    def begun(cls, folder: Path, server: Server) -> "Work":
        """Write the cohort and run all commands."""
        write_cohort(folder / "data")
        work = cls(folder, server, {})
        for command in COMMANDS:
            ended = work.run(command, work.reference, ("counted", {}))
            assert ended.status == 0, ended.said
            work.operations[command] = len(ended.told[-1])
        return work

    @property
    def reference(self) -> Path:
        """Where the undisturbed run lies."""
        return self.folder / "reference"

    def arguments(self, command: str, place: Path) -> list[str]:
        """The command line of a command whose results go below `place`."""
        data, run = self.folder / "data", str(place / "run")
        model = self.reference / "run" / "train" / "net"
        return {
            "plan": ["plan", str(data), "-w", run, "--preset", "laptop", "--no-measure", *SETTINGS],
            "preprocess": ["preprocess", "-w", run],
            "train": ["train", "-w", run, "--name", "net", "--threads", "1"],
            "predict": [
                "predict", str(data / "imagesTs"), "-m", str(model), "-o", str(place / "out"),
                "--skip-done",
            ],
            "evaluate": [
                "evaluate", str(self.reference / "out"), str(data / "labelsTs"),
                "-o", str(place / "scores"),
            ],
        }[command]  # fmt: skip

    def run(self, command: str, place: Path, *faults: tuple[str, dict]) -> Ended:
        """Run a command."""
        (ended,) = self.server.run(Job(self.arguments(command, place), faults))
        return ended

    def fresh(self, command: str, name: str = "trial") -> Path:
        """A place where everything before `command` has been done."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        (place / "run").mkdir(parents=True)
        for pattern in NEEDED.get(command, ()):
            for path in self.reference.glob(pattern):
                _copy(path, place / path.relative_to(self.reference))
        return place

    def expected(self, command: str, place: Path) -> dict[str, str]:
        """What the files below `place` must be once `command` has ended."""
        kept = {"predict": "out/", "evaluate": "scores/"}.get(command, "run/")
        wanted = {name: one for name, one in files(self.reference).items() if name.startswith(kept)}
        later = {"plan": ("run/prepared/", "run/train/"), "preprocess": ("run/train/",)}
        return {n: one for n, one in wanted.items() if not n.startswith(later.get(command, "-"))}


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copy2(path, target)


def files(place: Path) -> dict[str, str]:
    """Checksums of all files but locks."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name != LOCK
    }


def unreadable(place: Path) -> list[str]:
    """Files under their final names that the program could not read."""
    bad = []
    for path in place.rglob("*"):
        parts = path.relative_to(place).parts
        if path.is_dir() or any(part.startswith(TEMPORARY) for part in parts):
            continue
        try:
            _read(path)
        except (SegtttError, ValueError, OSError) as error:
            bad.append(f"{path}: {error}")
    for folder in place.glob("run/prepared/*"):
        cases = {path.name for path in folder.iterdir() if path.is_dir()}
        whole = finished(folder) - damaged(folder)
        bad += [
            f"{folder / case}: not whole"
            for case in cases - whole
            if not case.startswith(TEMPORARY)
        ]
    return bad


def _read(path: Path) -> None:
    if path.name.endswith(".nii.gz"):
        read_image(path)
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".safetensors":
        load_tensors(path)
    elif path.name == "cases.csv":
        read_cases_csv(path.read_text(encoding="utf-8"))
    elif path.suffix == ".jsonl" and path.name != JOURNAL:
        for line in path.read_text(encoding="utf-8").splitlines():
            json.loads(line)


def done(command: str, place: Path) -> set[str]:
    """What a command has finished so far and must not do again."""
    if command == "preprocess":
        folders = place.glob("run/prepared/*")
        return {f"prepare {case}" for folder in folders for case in finished(folder)}
    if command == "predict" and (place / "out/manifest.json").is_file():
        cases = json.loads((place / "out/manifest.json").read_text())["cases"]
        return {f"segment {case}" for case in cases}
    if command == "evaluate" and (place / "scores" / JOURNAL).is_file():
        lines = (place / "scores" / JOURNAL).read_text().splitlines(keepends=True)[1:]
        return {f"score_files {json.loads(line)[0]}" for line in lines if line.endswith("\n")}
    if command == "train":
        states = place.glob("run/train/*/*/*/state/[0-9]*.safetensors")
        epochs = 1 + max((int(path.stem) for path in states), default=-1)
        return {f"step {step}" for step in range(epochs * STEPS)}
    return set()


def differences(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Names of files that are there and should not be, that are missing, or that differ."""
    return sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))
