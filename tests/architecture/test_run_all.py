"""The runner of the kernels' benchmarks: what it tells of scripts that fail."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

RUNNER = Path(__file__).parents[2] / "benchmarks" / "kernels" / "run_all.py"


@pytest.mark.parametrize(
    ("stderr", "told"), [("", "exit status -9"), ("Traceback\nValueError: no", "ValueError: no")]
)
def test_a_script_that_fails_or_is_killed_is_told_and_counted(tmp_path, monkeypatch, stderr, told):
    spec = importlib.util.spec_from_file_location("run_all", RUNNER)
    assert spec is not None
    assert spec.loader is not None
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(runner, "HERE", tmp_path / "kernels")
    monkeypatch.setattr("sys.argv", ["run_all.py", "--device", "cpu"])

    def run(command, **_):
        fails = command[1].endswith("scan.py")
        return subprocess.CompletedProcess(command, -9 if fails else 0, "a table", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SystemExit) as left:
        runner.main()
    assert left.value.code == 1
    (written,) = (tmp_path / "results").iterdir()
    text = written.read_text(encoding="utf-8")
    assert text.count("a table") == len(runner.SCRIPTS)
    assert text.count(f"It failed: {told}") == 1
