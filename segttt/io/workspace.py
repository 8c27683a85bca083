"""The workspace: where plans, prepared data, trainings and results lie on disk."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from segttt.config.dataset import Dataset
from segttt.config.fingerprint import Fingerprint
from segttt.config.plan import Plan
from segttt.errors import UsageError
from segttt.io.files import make_folder, sweep, unwritable, write_text, write_together

LOCK = ".lock"


def safe_name(text: str) -> str:
    """`text` as one harmless path component."""
    return re.sub(r"[^A-Za-z0-9._+=-]+", "-", text).strip(".-") or "unnamed"


@dataclass(frozen=True)
class Workspace:
    """One folder per dataset and plan; every file in it is written atomically."""

    folder: Path

    @property
    def plan_file(self) -> Path:
        return self.folder / "plan.json"

    @property
    def checks_file(self) -> Path:
        return self.folder / "check.json"

    def prepared(self, plan: Plan) -> Path:
        """Folder of the prepared cases; its name changes with whatever changes a voxel."""
        return self.folder / "prepared" / plan.prepared_digest()

    def run(self, network: str, fold: int | str, seed: int) -> Path:
        """Folder of one training."""
        return self.folder / "train" / safe_name(network) / f"fold{fold}" / f"seed{seed}"

    def dataset(self) -> Dataset:
        """The dataset that was planned."""
        return Dataset.load(self._existing("dataset.json"))

    def fingerprint(self) -> Fingerprint:
        """The fingerprint that the plan rests on."""
        return Fingerprint.load(self._existing("fingerprint.json"))

    def plan(self) -> Plan:
        """The plan of this workspace."""
        return Plan.load(self._existing("plan.json"))

    def save(
        self,
        dataset: Dataset,
        fingerprint: Fingerprint,
        plan: Plan,
        failures: Sequence[dict[str, str]],
    ) -> None:
        """Keep a plan, what it rests on and, for check.json, the cases that it does without."""
        write_together(
            {
                self.folder / "fingerprint.json": fingerprint.dump(),
                self.folder / "dataset.json": dataset.dump(),
                self.checks_file: _json(failures),
                self.plan_file: plan.dump(),
            }
        )

    def _existing(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise UsageError(
                f"{path}: does not exist yet. Run `segttt plan DATA -w {self.folder}`."
            )
        return path


@contextmanager
def locked(
    folder: Path,
    doing: str,
    *,
    rooms: Sequence[str] = (),
    wait: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold a folder against other processes, and clear away what a killed one left unfinished.

    `rooms` are patterns of folders below, which belong to it. Without `wait` a second process gets
    a `UsageError`; with it, it is told and waits its turn.
    """
    lock = FileLock(folder / LOCK)
    try:
        _acquire(folder, lock, timeout=0)
    except Timeout:
        if wait is None:
            raise UsageError(
                f"{folder}: another segttt {doing} here. Wait until it ends, or use another folder."
            ) from None
        wait(f"Another segttt {doing} in {folder}; waiting for it to end.")
        _acquire(folder, lock, timeout=-1)
    except OSError as error:
        raise unwritable(folder / LOCK, error) from error
    try:
        for place in (folder, *(one for room in rooms for one in folder.glob(room))):
            sweep(place)
        yield
    finally:
        _remove_if_unused(folder)  # before another process may hold the lock
        lock.release()


def _acquire(folder: Path, lock: FileLock, timeout: int) -> None:
    while True:
        make_folder(folder)
        with suppress(
            FileNotFoundError
        ):  # who had it before came to nothing and removed the folder
            lock.acquire(timeout=timeout)
            return


def _remove_if_unused(folder: Path) -> None:
    """What came to nothing leaves no folder behind."""
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
            folder.rmdir()


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN is refused, since it is not JSON."""
    write_text(path, _json(content))


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, allow_nan=False) + "\n"
