"""Another program in an environment of its own: hand it a script's input, take back its results."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SCRIPTS = Path(__file__).resolve().parent / "nnunet"
Arrays = dict[str, np.ndarray]


@dataclass
class Peer:
    """nnU-Net behind the Python of its environment; `folder` holds its data and all exchanges."""

    python: Path
    folder: Path
    calls: int = field(default=0, init=False)

    @property
    def raw(self) -> Path:
        """Raw datasets, one folder each."""
        return self.folder / "raw"

    @property
    def prepared(self) -> Path:
        """Fingerprints and plans."""
        return self.folder / "prepared"

    def run(
        self, script: str, settings: dict[str, Any], arrays: Arrays | None = None
    ) -> tuple[Any, Arrays]:
        """The values and arrays that a script of `nnunet/` writes for these settings and arrays."""
        self.calls += 1
        exchange = self.folder / f"{self.calls:03d}-{script}"
        exchange.mkdir(parents=True)
        (exchange / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        if arrays:
            np.savez(exchange / "arrays.npz", **arrays)
        command = [str(self.python), str(SCRIPTS / f"{script}.py"), str(exchange)]
        # Its planner takes the number of processes for a number of threads, of which 0 is an error.
        environment = self.environment() | ({"nnUNet_n_proc_DA": "1"} if script == "plan" else {})
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
        values = json.loads((exchange / "result.json").read_text(encoding="utf-8"))
        with np.load(exchange / "result.npz") as found:
            return values, dict(found)

    def versions(self, packages: tuple[str, ...]) -> str:
        """Installed versions of packages, in one line."""
        code = (
            "import platform, sys\nfrom importlib.metadata import version\n"
            "print('Python', platform.python_version() + ',', "
            "', '.join(f'{name} {version(name)}' for name in sys.argv[1:]))"
        )
        done = subprocess.run(
            [str(self.python), "-c", code, *packages], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def environment(self) -> dict[str, str]:
        """All that the peer sees of the shell: its three folders, and one thread."""
        results = self.folder / "results"
        for folder in (self.raw, self.prepared, results):
            folder.mkdir(parents=True, exist_ok=True)
        return {
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.prepared),
            "nnUNet_results": str(results),
            "HOME": str(self.folder),
            "PATH": "/usr/bin:/bin",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
