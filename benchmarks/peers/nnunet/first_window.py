"""Seconds from the start of nnU-Net's predict command until its first window is through.

The command runs as a user gives it; only the function that predicts a window is watched.
"""

import os
import signal
import sys
import time
from pathlib import Path

STARTED = time.time()


def children() -> list[int]:
    """Running processes that this one started, by their parent's number in /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.append(int(stat.parent.name))
    return found


def cpu_seconds() -> float:
    """User and system seconds of this process, of its children and of those that ended."""
    tick, used = os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])
    for child in children():
        fields = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        used += sum(map(int, fields[11:15])) / tick
    return used


def main() -> None:
    from exchange import read, write
    from nnunetv2.inference import predict_from_raw_data as prediction

    original = prediction.nnUNetPredictor._internal_maybe_mirror_and_predict

    def watched(self, window):
        original(self, window)
        wall, cpu = time.time() - STARTED, cpu_seconds()
        write({"wall": wall, "cpu": cpu})
        for child in children():
            os.kill(child, signal.SIGKILL)
        os._exit(0)

    prediction.nnUNetPredictor._internal_maybe_mirror_and_predict = watched
    sys.argv = ["nnUNetv2_predict", *read()[0]["arguments"]]
    prediction.predict_entry_point()


if __name__ == "__main__":
    main()
