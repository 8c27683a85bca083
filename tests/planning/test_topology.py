import pytest

from segttt.planning.topology import default_max_features, make_topology


def planned(spacing, patch, width=32):
    most = default_max_features(width, len(patch))
    return make_topology(spacing, patch, width=width, max_features=most)


def test_the_pools_of_the_papers_ct_preset_are_3_5_5():
    stages = planned((2.5, 0.8, 0.8), (40, 224, 192))
    assert stages.patch == (40, 224, 192)
    assert stages.strides == (
        (1, 1, 1),
        (1, 2, 2),
        (2, 2, 2),
        (2, 2, 2),
        (2, 2, 2),
        (1, 2, 2),
    )
    assert stages.kernels == ((1, 3, 3), *[(3, 3, 3)] * 5)
    assert stages.features == (32, 64, 128, 256, 320, 320)
    assert stages.stage_shape(5) == (5, 7, 6)


def test_other_spacings_of_the_same_patch_give_other_stages():
    near = planned((2.0, 1.19, 1.19), (48, 160, 224))
    assert set(near.kernels) == {(3, 3, 3)}
    assert near.strides[1:] == ((2, 2, 2),) * 3 + ((1, 2, 2),) * 2
    far = planned((5.0, 0.8, 0.8), (40, 224, 192))
    assert far.strides[1:] == ((1, 2, 2),) * 2 + ((2, 2, 2),) * 3
    assert far.kernels[:2] == ((1, 3, 3), (1, 3, 3))


def test_2d_uses_the_same_rule():
    stages = planned((1.0, 1.0), (384, 640))
    assert stages.strides == ((1, 1), *[(2, 2)] * 6)
    assert stages.features == (32, 64, 128, 256, 512, 512, 512)


def test_edges_are_padded_to_multiples_of_the_stride():
    assert planned((1.0, 1.0, 1.0), (35, 50, 36)).patch == (40, 56, 40)


@pytest.mark.parametrize(("edge", "strides"), [(11, ((1, 1), (2, 2), (1, 2)))])
def test_a_single_axis_needs_twelve_voxels(edge, strides):
    # After one pooling the short axis is at 6 and drops out; the long one then stands alone.
    assert planned((1.0, 1.0), (edge, 24)).strides == strides
    assert planned((1.0, 1.0), (edge, 22)).strides == strides[:2]


@pytest.mark.parametrize(
    ("spacing", "patch"),
    [
        ((1.0, 1.0, 1.0), (1, 1, 1)),
        ((1.0, 1.0, 1.0), (4, 7, 3)),
        ((5.0, 0.8, 0.8), (3, 5, 4)),
        ((9.0, 1.0, 3.0), (2, 2, 2)),
        ((1.0, 1.0), (5, 2)),
    ],
)
def test_windows_too_small_to_pool_are_enlarged_to_two_stages(spacing, patch):
    stages = planned(spacing, patch)
    assert stages.stages >= 2
    assert all(new >= old for new, old in zip(stages.patch, patch, strict=True))
    assert max(stages.stage_shape(stages.stages - 1)) > 1  # a norm over one voxel is undefined


def test_features_scale_with_the_width():
    assert planned((1.0,) * 3, (64, 64, 64), width=12).features == (12, 24, 48, 96, 120)
    assert default_max_features(32, 2) == 512
