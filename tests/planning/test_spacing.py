import pytest

from segttt.config.fingerprint import CaseFacts, Fingerprint
from segttt.config.preset import Preset
from segttt.errors import UsageError
from segttt.planning.spacing import plan_grid


def several(fingerprint, spacings, shape=(20, 100, 100)) -> Fingerprint:
    cases = [fingerprint(shape, spacing, cases=1).cases[0] for spacing in spacings]
    return Fingerprint(cases=tuple(cases), channels=(), class_voxels={})


def preset(**fields) -> Preset:
    return Preset(name="p", title="p", **fields)


def test_median_spacing_and_shape(fingerprint):
    spacings = [(2.0, 1.0, 1.0), (3.0, 1.0, 1.0), (4.0, 0.5, 1.0)]
    grid = plan_grid(several(fingerprint, spacings), None)
    assert grid.spacing_mm == (3.0, 1.0, 1.0)
    assert grid.median_shape == (20.0, 100.0, 100.0)  # medians of 13, 20, 27 and of 100, 100, 50
    assert (grid.axes, grid.rank) == ((0, 1, 2), 3)


def test_the_coarsest_axis_comes_first(fingerprint):
    grid = plan_grid(fingerprint((200, 210, 30), (0.8, 0.9, 5.0)), None)
    assert grid.axes == (2, 0, 1)
    assert grid.spacing_mm == (5.0, 0.8, 0.9)
    assert grid.median_shape == (30.0, 200.0, 210.0)


def test_isotropic_cases_keep_their_axes(fingerprint):
    assert plan_grid(fingerprint((35, 50, 36), (1.0, 1.0, 1.0)), None).axes == (0, 1, 2)


def test_a_very_coarse_axis_takes_its_tenth_percentile(fingerprint):
    spacings = [(3.5, 1.0, 1.0)] * 2 + [(6.0, 1.0, 1.0)] * 9
    assert plan_grid(several(fingerprint, spacings), None).spacing_mm == (3.5, 1.0, 1.0)
    # Not so where the coarse axis has as many voxels as the others.
    cube = several(fingerprint, spacings, shape=(100, 100, 100))
    assert plan_grid(cube, None).spacing_mm == (6.0, 1.0, 1.0)


def test_the_refined_axis_stays_the_coarsest(fingerprint):
    spacings = [(0.5, 1.0, 1.0)] * 2 + [(6.0, 1.0, 1.0)] * 9
    grid = plan_grid(several(fingerprint, spacings), None)
    assert grid.spacing_mm == (1.00001, 1.0, 1.0)
    assert grid.axes == (0, 1, 2)


def test_pictures_are_planned_in_2d(fingerprint):
    grid = plan_grid(fingerprint((1, 300, 400), (1.0, 1.0, 1.0)), None)
    assert (grid.rank, grid.axes, grid.spacing_mm) == (2, (0, 1, 2), (1.0, 1.0, 1.0))


def test_single_sagittal_slices_are_pictures_too(fingerprint):
    grid = plan_grid(fingerprint((300, 400, 1), (1.0, 1.0, 0.5)), None)
    assert (grid.rank, grid.axes) == (2, (2, 0, 1))
    assert grid.median_shape == (1.0, 300.0, 400.0)


def test_one_thick_case_makes_the_data_volumes(fingerprint):
    thin, thick = (fingerprint((z, 9, 9), (1.0,) * 3, cases=1).cases[0] for z in (1, 5))
    mixed = Fingerprint(
        cases=(thin, CaseFacts(**(thick.model_dump() | {"id": "b"}))), channels=(), class_voxels={}
    )
    assert plan_grid(mixed, None).rank == 3


def test_a_preset_fixes_the_spacing_in_canonical_order(fingerprint):
    fixed = preset(rank=3, spacing_mm=(2.5, 0.8, 0.8))
    grid = plan_grid(fingerprint((200, 200, 50), (0.8, 0.8, 5.0)), fixed)
    assert (grid.axes, grid.spacing_mm) == ((0, 1, 2), (2.5, 0.8, 0.8))
    assert grid.median_shape == (64.0, 200.0, 312.0)


def test_slices_keep_their_distance(fingerprint):
    fixed = preset(rank=2, spacing_mm=(1.0, 1.0))
    grid = plan_grid(fingerprint((72, 256, 320), (3.0, 2.0, 1.0)), fixed)
    assert (grid.rank, grid.spacing_mm) == (2, (3.0, 1.0, 1.0))
    assert grid.median_shape == (72.0, 512.0, 320.0)


def test_a_preset_for_volumes_refuses_pictures(fingerprint):
    with pytest.raises(UsageError, match="plan for volumes of preset 'p' was asked for"):
        plan_grid(fingerprint((1, 30, 30), (1.0,) * 3), preset(rank=3))


def test_slices_of_volumes_on_request(fingerprint):
    volumes = fingerprint((40, 200, 200), (3.0, 1.0, 1.0))
    assert plan_grid(volumes, None, 2).rank == 2
    assert plan_grid(volumes, None, None).rank == 3
    with pytest.raises(UsageError, match="The patches of preset 'p' are 3D, not 2D"):
        plan_grid(volumes, preset(rank=3), 2)
    with pytest.raises(UsageError, match="every case is a single slice"):
        plan_grid(fingerprint((1, 30, 30), (1.0,) * 3), None, 3)
