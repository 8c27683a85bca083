"""The planned rows of the papers, from spacing, median shape, classes and number of cases."""

from math import prod

import pytest

from segttt.planning.budget import BUDGETS
from segttt.planning.patch import Limits, fit

CT = ((2.5, 0.8, 0.8), (97, 512, 512), 14, 50)
MR_3D = ((3.0, 1.1875, 1.1875), (72, 256, 320), 14, 60)
MR_2D = ((1.1875, 1.1875), (264, 320), 14, 60 * 72)  # at 256 the window would be 256 x 320
ENDOSCOPY = ((1.0, 1.0), (1080, 1920), 8, 1800)
CELLS = ((1.0, 1.0), (512, 512), 3, 1000)
AMOS = ((2.0, 0.7129, 0.7129), (240, 512, 512), 16, 300)
BTCV = ((3.0, 0.7578, 0.7578), (148, 512, 512), 14, 30)


def floats(shape):
    return tuple(float(edge) for edge in shape)


def planned(data, **limits):
    spacing, shape, classes, cases = data
    return fit(spacing, floats(shape), classes, float(cases * prod(shape)), Limits(**limits))


@pytest.mark.parametrize(
    ("data", "patch", "batch", "pools"),
    [
        (CT, (40, 224, 192), 2, (3, 5, 5)),
        (MR_3D, (48, 160, 224), 2, (3, 5, 5)),
        (MR_2D, (320, 320), 30, (6, 6)),
        (ENDOSCOPY, (384, 640), 13, (6, 6)),
        (CELLS, (512, 512), 12, (7, 7)),
        (AMOS, (64, 160, 160), 2, (4, 5, 5)),
        (BTCV, (48, 192, 192), 2, (3, 5, 5)),
    ],
)
def test_plans_of_version_2_1(data, patch, batch, pools):
    topology, samples = planned(data)
    assert (topology.patch, samples) == (patch, batch)
    assert topology.total_stride == tuple(2**pool for pool in pools)
    assert topology.stages == max(pools) + 1


def test_version_2_8_takes_a_larger_endoscopy_window():
    topology, batch = planned(ENDOSCOPY, planner="v2.8")
    assert (topology.patch, batch, topology.stages) == ((896, 1536), 2, 9)


@pytest.mark.parametrize("data", [CT, MR_3D, MR_2D, CELLS, AMOS, BTCV])
def test_version_2_8_agrees_elsewhere(data):
    assert planned(data, planner="v2.8") == planned(data)


@pytest.mark.parametrize(
    ("budget", "data", "patch", "batch"),
    [
        ("resenc-m", CT, (40, 224, 192), 2),
        ("resenc-m", MR_3D, (48, 160, 224), 2),
        ("resenc-m", AMOS, (64, 160, 160), 2),
        ("resenc-m", BTCV, (48, 192, 192), 2),
        ("resenc-m", ENDOSCOPY, (384, 704), 12),
        ("resenc-m", MR_2D, (320, 320), 31),
        ("resenc-m", CELLS, (512, 512), 12),
        ("resenc-l", CT, (56, 320, 256), 2),
        ("resenc-l", MR_3D, (64, 256, 320), 2),
        ("resenc-l", AMOS, (96, 224, 224), 2),
        ("resenc-l", BTCV, (80, 256, 256), 2),
        ("resenc-l", ENDOSCOPY, (640, 1152), 12),
        ("resenc-l", MR_2D, (320, 320), 88),
        ("resenc-l", CELLS, (512, 512), 35),
        ("resenc-xl", CT, (64, 384, 384), 2),
        ("resenc-xl", MR_3D, (80, 256, 320), 3),
        ("resenc-xl", AMOS, (128, 256, 256), 2),
        ("resenc-xl", BTCV, (80, 320, 320), 2),
        ("resenc-xl", ENDOSCOPY, (768, 1408), 12),
        ("resenc-xl", MR_2D, (320, 320), 130),
        ("resenc-xl", CELLS, (512, 512), 52),
    ],
)
def test_residual_encoder_plans(budget, data, patch, batch):
    topology, samples = planned(data, budget=BUDGETS[budget])
    assert (topology.patch, samples) == (patch, batch)


def test_a_batch_shows_at_most_a_twentieth_of_the_dataset():
    spacing, shape, classes, _ = CELLS
    _, batch = fit(spacing, floats(shape), classes, 100.0 * prod(shape))
    assert batch == 5
    _, batch = fit(spacing, floats(shape), classes, 1.0 * prod(shape))
    assert batch == 2


@pytest.mark.parametrize("voxels", [4_000, 20_000, 100_000, 1_000_000])
@pytest.mark.parametrize("data", [CT, MR_3D, MR_2D, ENDOSCOPY])
def test_a_bound_on_voxels_holds(data, voxels):
    topology, _ = planned(data, voxels=voxels, width=12)
    assert prod(topology.patch) <= voxels
    assert prod(topology.patch) > min(voxels, prod(data[1])) / 6


def test_one_median_case_explains_both_mr_plans():
    spacing, shape = (3.0, 1.1875, 1.1875), (72, 264, 320)
    assert planned((spacing, shape, 14, 60))[0].patch == (48, 160, 224)
    assert planned((spacing[1:], shape[1:], 14, 60 * 72))[0].patch == (320, 320)


def test_a_fixed_batch_is_kept_and_shrinks_the_window():
    small, batch = planned(CT, batch=8)
    assert batch == 8
    assert prod(small.patch) < 40 * 224 * 192
    assert planned(CT, batch=2)[0].patch == (40, 224, 192)


@pytest.mark.parametrize("voxels", [None, 1, 500, 100_000])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 4), (8, 8, 200), (2, 3000, 9000)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.8, 0.8), (50.0, 0.1, 7.0)])
def test_odd_volumes_get_a_valid_plan(shape, spacing, voxels):
    topology, batch = fit(spacing, floats(shape), 2, 5.0 * prod(shape), Limits(voxels=voxels))
    assert batch >= 2
    assert topology.stages >= 2
    assert max(topology.stage_shape(topology.stages - 1)) > 1
