"""Tests of the memory that a prediction may take."""

import numpy as np
import pytest
import torch

from segttt.engine import compute as computing
from segttt.engine.memory import Size, blend_dtype, prediction_bytes
from segttt.engine.predict import SlidingWindow
from segttt.errors import ResourceError
from tests.engine.conftest import small_plan

LARGE = Size(1, (600, 512, 512), (600, 512, 512))
CPU = torch.device("cpu")
HELD = 10**9


def bytes_of(dtype: torch.dtype) -> int:
    return prediction_bytes(LARGE, small_plan(), dtype, on_cpu=True)


def test_half_precision_takes_less_for_the_sums_only() -> None:
    plan = small_plan()
    saved = bytes_of(torch.float32) - bytes_of(torch.float16)
    assert saved == 2 * plan.classes * plan.topology.patch[0] * 512 * 512


def test_a_limit_chooses_half_precision_then_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segttt.engine.memory.resident_bytes", lambda: HELD)
    single, half = (HELD + bytes_of(kind) for kind in (torch.float32, torch.float16))
    assert blend_dtype(LARGE, small_plan(), CPU, single) == torch.float32
    assert blend_dtype(LARGE, small_plan(), CPU, single - 1) == torch.float16
    assert blend_dtype(LARGE, small_plan(), CPU, half) == torch.float16
    with pytest.raises(ResourceError, match=r"--max-ram"):
        blend_dtype(LARGE, small_plan(), CPU, half - 1)


def test_without_a_limit_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segttt.engine.memory.available_bytes", lambda: 0)
    assert blend_dtype(LARGE, small_plan(), CPU, None) == torch.float16


def test_sums_in_half_precision_give_the_same_classes() -> None:
    class Smooth(torch.nn.Module):
        def forward(self, x):
            return [torch.cat([-x, x, 2 * x - 1], 1)]

    window = SlidingWindow([Smooth()], small_plan(), computing.choose("cpu", "fp32"))
    image = np.random.default_rng(0).normal(size=(1, 21, 30, 17)).astype(np.float32)
    exact = torch.cat(list(window.slabs(image)), 1)
    rough = torch.cat(list(window.slabs(image, torch.float16)), 1)
    assert (exact - rough).abs().max() < 0.01
    assert (exact.argmax(0) == rough.argmax(0)).float().mean() > 0.995
