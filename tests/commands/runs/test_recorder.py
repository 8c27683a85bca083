"""The memory of a training is measured and never falls from epoch to epoch."""

import numpy as np
import torch

from segttt.commands.runs.recorder import Recorder, peak_bytes
from segttt.config.plan import Plan


def test_the_peak_of_this_process_is_in_bytes():
    before = peak_bytes(torch.device("cpu"))
    block = np.ones(1 << 25, np.uint8)
    assert before > 50 << 20  # Python, NumPy and PyTorch
    assert peak_bytes(torch.device("cpu")) >= max(before, block.nbytes)


def test_a_resumed_training_keeps_the_higher_peak(tmp_path):
    recorder = Recorder(tmp_path, Plan.model_construct(), {})
    assert recorder.peak_bytes == 0
    recorder.history.append({"epoch": 0})  # of a version that did not measure it
    assert recorder.peak_bytes == 0
    recorder.history.append({"epoch": 1, "peak_bytes": 7})
    assert recorder.peak_bytes == 7
