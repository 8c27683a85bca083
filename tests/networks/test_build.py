"""Names, specs and the published parameter counts, to the last one."""

import pytest

from segttt.config.network import NetworkSpec, Topology
from segttt.errors import UsageError
from segttt.networks.build import names, parameter_count, spec

KERNELS_3D = ((1, 3, 3), *[(3, 3, 3)] * 5)
FEATURES_3D = (32, 64, 128, 256, 320, 320)
DOWN, FLAT, KEEP = (2, 2, 2), (1, 2, 2), (1, 1, 1)


def flat_topology(patch: tuple[int, int], stages: int) -> Topology:
    return Topology(
        patch=patch,
        strides=((1, 1), *[(2, 2)] * (stages - 1)),
        kernels=((3, 3),) * stages,
        features=tuple(min(32 * 2**stage, 512) for stage in range(stages)),
    )


CT, MR, AMOS, MR2D, ENDO, MICRO = (
    (
        Topology(
            patch=(40, 224, 192),
            strides=(KEEP, FLAT, DOWN, DOWN, DOWN, FLAT),
            kernels=KERNELS_3D,
            features=FEATURES_3D,
        ),
        1,
        14,
    ),
    (
        Topology(
            patch=(48, 160, 224),
            strides=(KEEP, FLAT, DOWN, DOWN, DOWN, FLAT),
            kernels=KERNELS_3D,
            features=FEATURES_3D,
        ),
        1,
        14,
    ),
    (
        Topology(
            patch=(64, 160, 160),
            strides=(KEEP, *[DOWN] * 5),
            kernels=((3, 3, 3),) * 6,
            features=FEATURES_3D,
        ),
        1,
        16,
    ),
    (flat_topology((320, 320), 7), 1, 14),
    (flat_topology((384, 640), 7), 3, 8),
    (flat_topology((512, 512), 8), 3, 3),
)

COUNTS = [
    (CT, "nnunet", 30_713_158),
    (MR, "nnunet", 30_713_158),
    (AMOS, "nnunet", 31_206_864),
    (MR2D, "nnunet", 33_489_940),
    (ENDO, "nnunet", 33_481_456),
    (MICRO, "nnunet", 46_327_157),
    (CT, "nnunet-resenc", 101_867_334),
    (MR, "nnunet-resenc", 101_867_334),
    (AMOS, "nnunet-resenc", 102_361_040),
    (MR2D, "nnunet-resenc", 105_934_932),
    (ENDO, "nnunet-resenc", 105_926_448),
    (MICRO, "nnunet-resenc", 140_019_637),
    (CT, "ttt-unet-bot", 41_692_758),
    (MR, "ttt-unet-bot", 41_692_758),
    (MR2D, "ttt-unet-bot", 46_914_084),
    (ENDO, "ttt-unet-bot", 46_905_664),
    (MICRO, "ttt-unet-bot", 64_178_373),
    (CT, "ttt-unet-bot:paper", 42_971_862),
    (MR2D, "ttt-unet-bot:paper", 49_286_692),
    (ENDO, "ttt-unet-bot:paper", 49_278_272),
    (MICRO, "ttt-unet-bot:paper", 67_337_413),
]
COUNTS_WITHOUT_LIMIT = [
    (CT, "ttt-unet-enc", 41_759_218),
    (MR, "ttt-unet-enc", 41_759_218),
    (MR2D, "ttt-unet-enc", 46_581_502),
    (ENDO, "ttt-unet-enc", 47_009_160),
    (MICRO, "ttt-unet-enc", 63_669_349),
    (CT, "ttt-unet-enc:paper", 43_054_834),
    (MR2D, "ttt-unet-enc:paper", 48_870_974),
    (ENDO, "ttt-unet-enc:paper", 49_405_256),
    (MICRO, "ttt-unet-enc:paper", 66_702_469),
]


def changed(name: str, **fields) -> NetworkSpec:
    return NetworkSpec.model_validate({**spec(name).model_dump(), **fields})


@pytest.mark.parametrize(("preset", "name", "count"), COUNTS)
def test_published_parameter_counts(preset, name: str, count: int):
    assert parameter_count(spec(name), *preset) == count


@pytest.mark.parametrize(("preset", "name", "count"), COUNTS_WITHOUT_LIMIT)
def test_published_parameter_counts_with_mixers_at_every_second_stage(preset, name, count: int):
    assert parameter_count(changed(name, max_tokens=None), *preset) == count


def test_the_token_limit_keeps_the_two_deeper_mixers_of_abdomen_ct():
    assert parameter_count(spec("ttt-unet-enc"), *CT) == 41_741_290


def test_the_ablation_is_the_same_network_without_the_mixer():
    mixer = 422_800 + 640
    bare = parameter_count(changed("ttt-unet-bot", mixer="none"), *CT)
    assert bare == 41_692_758 - mixer


def test_names_and_specs_agree():
    assert {"ttt-unet-bot", "ttt-unet-enc", "nnunet", "nnunet-resenc"} < set(names())
    assert [spec(name).name for name in names()] == names()
    assert spec("ttt-unet-bot:official") == spec("ttt-unet-bot") == NetworkSpec()


def test_every_spec_of_the_table_is_valid():
    for name in names():
        assert NetworkSpec.model_validate(spec(name).model_dump()) == spec(name)


@pytest.mark.parametrize("name", ["unet", "nnunet:paper", "ttt-unet-bot:v2", ":official", ""])
def test_unknown_names_are_refused_with_the_known_ones(name: str):
    with pytest.raises(UsageError, match=r"no network '.*ttt-unet-bot.*nnunet-resenc"):
        spec(name)
