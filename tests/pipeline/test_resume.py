"""A training that is killed anywhere ends with the same bytes as one that is not."""

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.pipeline.conftest import SMALL

EPOCHS, KILLS = 12, 3
MODEL = "train/ttt-unet-bot+heads=4/fold0/seed0/model.safetensors"


def command(data: Path, workspace: Path) -> list[str]:
    return [
        sys.executable, "-m", "segttt", "train", "--preset", "laptop",
        "--data", str(data), "-w", str(workspace), "--epochs", str(EPOCHS), "--iters", "4",
        "--set", "network.heads=4", "--threads", "1", "--no-validate", "--deterministic", *SMALL,
    ]  # fmt: skip


def newest(state: Path) -> str:
    return max((path.name for path in state.glob("*.safetensors")), default="")


def digest(workspace: Path) -> str:
    return hashlib.sha256((workspace / MODEL).read_bytes()).hexdigest()


def test_killed_and_resumed_equals_uninterrupted(tiny_cohort, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(tiny_cohort, whole), check=True, capture_output=True)
    chance = random.Random()
    state = broken / Path(MODEL).parent / "state"
    kills = 0
    for _ in range(KILLS):
        seen = newest(state)
        process = subprocess.Popen(
            command(tiny_cohort, broken), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and newest(state) == seen:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.3))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 1, "the training ended before it could be killed"
    subprocess.run(command(tiny_cohort, broken), check=True, capture_output=True)
    assert digest(broken) == digest(whole)
