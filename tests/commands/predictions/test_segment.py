"""A case is refused by a limit of memory before it is read, and before it is resampled."""

import numpy as np
import pytest

from segttt.cases import Case
from segttt.commands.predictions import segment
from segttt.engine import compute as computing
from segttt.engine.predict import SlidingWindow
from segttt.errors import CaseMemoryError
from segttt.geometry.grid import Grid
from segttt.io.images import write_image
from tests.engine.conftest import small_plan

UPRIGHT = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
VOXELS = 8 * 16 * 16
HELD = 1000


@pytest.fixture
def case(tmp_path):
    """A scan of twice the plan's spacing, eight times as large when it is prepared."""
    grid = Grid((8, 16, 16), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), UPRIGHT)
    write_image(tmp_path / "a.nii.gz", np.ones((8, 16, 16), np.int16), grid)
    return Case("a", (tmp_path / "a.nii.gz",))


@pytest.fixture
def asked(monkeypatch):
    """What has been asked for, of a process that holds HELD bytes."""
    monkeypatch.setattr("segttt.engine.memory.resident_bytes", lambda: HELD)
    calls = []
    for name in ("read_volume", "prepare"):
        real = getattr(segment, name)
        monkeypatch.setattr(
            segment, name, lambda *a, real=real, name=name, **k: calls.append(name) or real(*a, **k)
        )
    return calls


def predictor(limit):
    return SlidingWindow([], small_plan(), computing.choose("cpu", "fp32"), max_ram=limit)


@pytest.mark.parametrize(
    ("limit", "done"),
    [
        (HELD + 4 * VOXELS - 1, []),
        (HELD + 4 * VOXELS, ["read_volume"]),
        (HELD + 4 * (4 + 8) * VOXELS - 1, ["read_volume"]),
    ],
)
def test_a_limit_refuses_before_it_is_exceeded(case, asked, limit, done):
    with pytest.raises(CaseMemoryError, match=r"--max-ram"):
        segment.read_prepared(predictor(limit), case)
    assert asked == done


@pytest.mark.parametrize("limit", [HELD + 4 * (4 + 8) * VOXELS, None])
def test_what_fits_is_prepared(case, asked, limit):
    volume, prepared = segment.read_prepared(predictor(limit), case)
    assert asked == ["read_volume", "prepare"]
    assert prepared.image.shape == (1, 16, 32, 32)
    assert volume.image.size == 0
