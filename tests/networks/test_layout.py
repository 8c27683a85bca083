"""Block rules and mixer placement against the published tables."""

import pytest

from segttt.config.network import Topology, UNetSpec
from segttt.errors import UsageError
from segttt.networks.layout import (
    decoder,
    decoder_blocks,
    encoder,
    encoder_blocks,
    full_resolution_skip,
    left_out,
    mixer_sites,
)
from segttt.networks.table import spec


def flat(edge: int, stages: int, other: int | None = None) -> Topology:
    return Topology(
        patch=(edge, other or edge),
        strides=((1, 1), *[(2, 2)] * (stages - 1)),
        kernels=((3, 3),) * stages,
        features=tuple(min(32 * 2**stage, 512) for stage in range(stages)),
    )


CT = Topology(
    patch=(40, 224, 192),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
    kernels=((1, 3, 3), *[(3, 3, 3)] * 5),
    features=(32, 64, 128, 256, 320, 320),
)


def enc(**fields) -> UNetSpec:
    return spec("ttt-unet-enc").model_copy(update=fields)


@pytest.mark.parametrize(
    ("stages", "encoder", "decoder"),
    [
        (5, (2, 2, 2, 1, 1), (2, 2, 2, 1)),
        (6, (2, 2, 2, 1, 1, 1), (2, 2, 2, 1, 1)),
        (7, (2, 2, 2, 2, 1, 1, 1), (2, 2, 2, 2, 1, 1)),
        (8, (2, 2, 2, 2, 1, 1, 1, 1), (2, 2, 2, 2, 1, 1, 1)),
    ],
)
def test_reduced_blocks(stages: int, encoder, decoder):
    topology = flat(512, stages)
    assert encoder_blocks(spec("ttt-unet-bot"), topology) == encoder
    assert decoder_blocks(spec("ttt-unet-bot"), topology) == decoder


def test_other_block_rules():
    topology = flat(512, 6)
    assert encoder_blocks(spec("nnunet"), topology) == (2,) * 6
    assert decoder_blocks(spec("nnunet"), topology) == (2,) * 5
    assert encoder_blocks(spec("nnunet-resenc"), topology) == (1, 3, 4, 6, 6, 6)
    assert decoder_blocks(spec("nnunet-resenc"), topology) == (1,) * 5
    assert encoder_blocks(enc(encoder_blocks=(3, 1, 1, 1, 1, 2)), topology) == (3, 1, 1, 1, 1, 2)


@pytest.mark.parametrize(
    ("field", "rule"), [("encoder", encoder_blocks), ("decoder", decoder_blocks)]
)
def test_a_wrong_number_of_blocks_is_refused(field: str, rule):
    with pytest.raises(UsageError, match=f"network.{field}_blocks: 2 numbers were given"):
        rule(enc(**{f"{field}_blocks": (1, 1)}), flat(64, 4))


def test_the_first_skip_is_dropped_in_2d_only():
    assert not full_resolution_skip(spec("ttt-unet-bot"), flat(64, 4))
    assert full_resolution_skip(spec("ttt-unet-bot"), CT)
    assert full_resolution_skip(spec("ttt-unet-bot:paper"), flat(64, 4))


@pytest.mark.parametrize(
    ("topology", "sites"),
    [
        (CT, {1: ("raster", 430_080, 64), 3: ("raster", 6720, 256), 5: ("channels", 320, 210)}),
        (
            flat(320, 7),
            {
                0: ("raster", 102_400, 32),
                2: ("raster", 6400, 128),
                4: ("channels", 512, 400),
                6: ("channels", 512, 25),
            },
        ),
        (
            flat(384, 7, 640),
            {
                0: ("raster", 245_760, 32),
                2: ("raster", 15_360, 128),
                4: ("raster", 960, 512),
                6: ("channels", 512, 60),
            },
        ),
        (
            flat(512, 8),
            {
                1: ("raster", 65_536, 64),
                3: ("raster", 4096, 256),
                5: ("channels", 512, 256),
                7: ("channels", 512, 16),
            },
        ),
    ],
)
def test_tokens_of_the_published_presets(topology: Topology, sites):
    unlimited = mixer_sites(enc(faithful=True), topology)
    assert {s: (m.order, m.tokens, m.width) for s, m in unlimited.items()} == sites
    limited = mixer_sites(enc(), topology)
    assert list(limited) == [stage for stage, site in sites.items() if site[1] <= 65_536]


def test_the_bottleneck_mixer_keeps_voxels_as_tokens():
    (site,) = mixer_sites(spec("ttt-unet-bot"), CT).values()
    assert (site.stage, site.order, site.tokens, site.width) == (5, "raster", 210, 320)
    assert (site.heads, site.head_width) == (16, 20)


@pytest.mark.parametrize(
    ("edge", "heads", "inner"), [(5, 8, 32), (10, 8, 112), (20, 8, 400), (16, 8, 256)]
)
def test_heads_are_widened_to_an_even_width_that_holds_the_tokens(edge: int, heads, inner: int):
    topology = Topology(
        patch=(edge, edge), strides=((1, 1),) * 2, kernels=((3, 3),) * 2, features=(512, 512)
    )
    site = mixer_sites(enc(heads=heads, mixer_stages=(1,)), topology)[1]
    assert site.width == edge * edge
    assert site.heads * site.head_width == inner


def test_stages_are_chosen_by_name_or_number():
    topology = flat(64, 4)
    everywhere = enc(mixer_stages="all")
    assert list(mixer_sites(everywhere, topology)) == [0, 1, 2, 3]
    assert list(mixer_sites(enc(mixer_stages=(3, 1)), topology)) == [1, 3]
    assert mixer_sites(enc(mixer="none"), topology) == {}
    for wrong in ((4,), (-1,), ()):
        with pytest.raises(UsageError, match="must name stages from 0 to 3"):
            mixer_sites(enc(mixer_stages=wrong), topology)


def test_a_limit_that_leaves_no_mixer_is_refused():
    with pytest.raises(UsageError, match="no stage of 'ttt-unet-bot' has at most 10 tokens"):
        mixer_sites(spec("ttt-unet-bot").model_copy(update={"max_tokens": 10}), CT)


def test_stages_left_out_are_told():
    assert left_out(enc(), CT) == (1,)
    assert left_out(enc(faithful=True), CT) == ()
    assert left_out(spec("mm-unet"), CT) == (0, 1)
    assert left_out(spec("nnunet"), CT) == ()


def mm(**fields) -> UNetSpec:
    return UNetSpec.model_validate({**spec("mm-unet").model_dump(), **fields})


@pytest.mark.parametrize(
    ("fields", "down", "deepest", "up"),
    [
        ({"encoder": "cnn"}, ("cnn", "none"), ("cnn", "none"), ("cnn", "none")),
        ({"encoder": "mamba"}, ("mixers", "alone"), ("mixers", "alone"), ("cnn", "none")),
        (
            {"encoder": "mamba", "decoder": "mamba"},
            ("mixers", "alone"),
            ("mixers", "alone"),
            ("mixers", "alone"),
        ),
        (
            {"encoder": "cnn", "bottleneck": "mamba", "decoder": "mamba"},
            ("cnn", "none"),
            ("mixers", "alone"),
            ("mixers", "alone"),
        ),
        ({"encoder": "hybrid_out"}, ("cnn", "after"), ("cnn", "after"), ("cnn", "none")),
        ({}, ("cnn", "inside"), ("cnn", "inside"), ("cnn", "none")),
    ],
)
def test_the_six_configurations_of_mm_unet(fields, down, deepest, up):
    """Rows of Fig. 1(b): blocks of encoder, bottleneck and decoder."""
    topology = flat(64, 4)
    *upper, last = encoder(mm(**fields), topology)
    assert {(one.block, one.place) for one in upper} == {down}
    assert (last.block, last.place) == deepest
    assert {(one.block, one.place) for one in decoder(mm(**fields), topology)} == {up}


def test_mixers_of_u_mamba_are_everywhere_in_3d_and_at_every_second_stage_in_2d():
    assert list(mixer_sites(spec("umamba-enc").model_copy(update={"faithful": True}), CT)) == [
        0, 1, 2, 3, 4, 5,
    ]  # fmt: skip
    assert list(mixer_sites(spec("umamba-enc"), flat(128, 5))) == [0, 2, 4]


def test_scan_orders_are_those_of_the_spec():
    site = mixer_sites(spec("mm-unet"), CT)[5]
    assert site.scans == ("a", "b")
    assert site.grid == (5, 7, 6)
    site = mixer_sites(mm(orders=("k", "-o")), CT)[5]
    assert site.scans == ("k", "-o")


def test_channel_tokens_can_be_read_forwards_and_backwards_only():
    both = mixer_sites(enc(orders=("a", "b")), CT)[5]
    assert (both.scans, both.grid) == (("a", "b"), (1, 1, 320))
    with pytest.raises(UsageError, match=r"only a and b.*network\.channel_tokens=false"):
        mixer_sites(enc(orders=("a", "k")), CT)


def test_narrow_stages_have_fewer_heads_rather_than_heads_of_two_channels():
    topology = Topology(
        patch=(28, 48, 48),
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
        kernels=((3, 3, 3),) * 4,
        features=(8, 16, 32, 64),
    )
    sites = mixer_sites(spec("ttt-unet-enc").model_copy(update={"channel_tokens": False}), topology)
    assert [(site.heads, site.head_width) for site in sites.values()] == [(4, 4), (8, 8)]
