"""What compiles kernels runs in a process of its own, since those of the tests are interpreted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def compiled(monkeypatch):
    """Rows of a table, made in a process whose kernels are not interpreted."""
    monkeypatch.delenv("TRITON_INTERPRET")

    def run(*options: str, script: str = "table") -> list[dict]:
        command = [sys.executable, "-m", f"tests.kernels.compile.{script}", "--json", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
