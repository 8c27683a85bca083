import pytest

from segttt.planning.lowres import lowres_exists
from segttt.planning.patch import Limits


@pytest.mark.parametrize(
    ("spacing", "shape", "patch", "classes", "exists"),
    [  # the papers' plans: batch Dice is on where a low-resolution plan exists
        ((2.5, 0.8, 0.8), (97.0, 512.0, 512.0), (40, 224, 192), 14, True),
        ((3.0, 1.1875, 1.1875), (72.0, 264.0, 320.0), (48, 160, 224), 14, False),
        ((2.0, 0.7129, 0.7129), (240.0, 512.0, 512.0), (64, 160, 160), 16, True),
        ((3.0, 0.7578, 0.7578), (148.0, 512.0, 512.0), (48, 192, 192), 14, True),
        ((1.0, 1.0, 1.0), (64.0, 64.0, 64.0), (64, 64, 64), 3, False),
    ],
)
def test_low_resolution_plans(spacing, shape, patch, classes, exists):
    assert lowres_exists(spacing, shape, patch, classes, Limits()) is exists


def test_a_slightly_coarser_grid_is_not_worth_it():
    # The window sees 24 %; a quarter is reached long before the voxels are halved.
    assert not lowres_exists((1.0,) * 3, (200.0,) * 3, (124, 124, 124), 3, Limits())
