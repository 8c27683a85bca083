"""Names, specs and the published parameter counts, to the last one."""

import pytest

from segttt.config.network import Topology, UNetSpec
from segttt.config.recipe import OPTIMISATION, Recipe
from segttt.errors import UsageError
from segttt.networks.build import entry, names, parameter_count, spec

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

AMOS_CT, BTCV = (
    (
        Topology(
            patch=patch,
            strides=(KEEP, FLAT, DOWN, DOWN, DOWN, last),
            kernels=KERNELS_3D,
            features=FEATURES_3D,
        ),
        1,
        classes,
    )
    for patch, last, classes in (((64, 160, 160), DOWN, 16), ((48, 192, 192), FLAT, 14))
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
    (CT, "umamba-bot", 41_945_158),
    (MR, "umamba-bot", 41_945_158),
    (MR2D, "umamba-bot", 47_533_012),
    (ENDO, "umamba-bot", 47_524_592),
    (MICRO, "umamba-bot", 64_797_301),
    # printed as 57.83 M, 63.34 M and 86.15 M
    (CT, "umamba-bot:v1", 57_832_166),
    (MR2D, "umamba-bot:v1", 63_344_180),
    (MICRO, "umamba-bot:v1", 86_150_037),
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
    (CT, "umamba-enc", 42_842_798),
    (MR, "umamba-enc", 42_842_798),
    (MR2D, "umamba-enc", 47_015_538),
    (ENDO, "umamba-enc", 47_680_592),
    (MICRO, "umamba-enc", 64_014_261),
    # printed as 59.11 M, 67.33 M and 91.84 M
    (CT, "umamba-enc:v1", 59_105_766),
    (MR2D, "umamba-enc:v1", 67_333_428),
    (MICRO, "umamba-enc:v1", 91_835_029),
    (AMOS_CT, "mm-unet", 33_499_568),
    (BTCV, "mm-unet", 33_088_358),
]


def changed(name: str, **fields) -> UNetSpec:
    return UNetSpec.model_validate({**spec(name).model_dump(), **fields})


@pytest.mark.parametrize(("preset", "name", "count"), COUNTS)
def test_published_parameter_counts(preset, name: str, count: int):
    assert parameter_count(spec(name), *preset) == count


@pytest.mark.parametrize(("preset", "name", "count"), COUNTS_WITHOUT_LIMIT)
def test_published_parameter_counts_with_mixers_at_every_second_stage(preset, name, count: int):
    assert parameter_count(changed(name, faithful=True), *preset) == count


def test_the_token_limit_keeps_the_two_deeper_mixers_of_abdomen_ct():
    assert parameter_count(spec("ttt-unet-enc"), *CT) == 41_741_290


def test_one_scan_order_less():
    assert parameter_count(changed("mm-unet", orders="B1", faithful=True), *AMOS_CT) == 33_303_408


@pytest.mark.parametrize(
    ("name", "layer", "count"),
    [
        ("ttt-unet-bot", {}, 422_800),
        ("ttt-unet-bot", {"mixer": "ttt_mlp"}, 468_880),
        ("umamba-bot", {}, 675_200),
    ],
)
def test_the_ablation_is_the_same_network_without_the_mixer(name: str, layer, count: int):
    full = parameter_count(changed(name, **layer), *CT)
    bare = parameter_count(changed(name, mixer="none"), *CT)
    assert full - bare == count + 640


def test_names_and_specs_agree():
    assert {"ttt-unet-bot", "mm-unet", "mm-unet-ttt", "umamba-enc:v1", "vm-unet"} < set(names())
    assert [spec(name).name for name in names()] == names()
    assert spec("ttt-unet-bot:official") == spec("ttt-unet-bot") == UNetSpec()


def test_every_spec_and_recipe_of_the_table_is_valid():
    for name in names():
        known = entry(name)
        assert type(known.spec).model_validate(known.spec.model_dump()) == known.spec
        assert set(known.recipe) <= {*OPTIMISATION, "precision"}
        Recipe.model_validate(known.recipe)


@pytest.mark.parametrize("name", ["unet", "nnunet:paper", "ttt-unet-bot:v2", ":official", ""])
def test_unknown_names_are_refused_with_the_known_ones(name: str):
    with pytest.raises(UsageError, match=r"no network '.*ttt-unet-bot.*nnunet-resenc.*swin-umamba"):
        spec(name)
