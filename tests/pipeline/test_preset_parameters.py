"""The networks of the presets have exactly the parameters of the papers' code."""

import pytest

from segttt.config import preset as presets
from segttt.networks.build import parameter_count, spec

NETWORKS = ("nnunet", "nnunet-resenc", "ttt-unet-bot", "ttt-unet-enc")
COUNTS = {
    "flare22": (30_713_158, 101_867_334, 41_692_758, 41_759_218),
    "amos22-mr": (30_713_158, 101_867_334, 41_692_758, 41_759_218),
    "amos22-mr-2d": (33_489_940, 105_934_932, 46_914_084, 46_581_502),
    "endovis17": (33_481_456, 105_926_448, 46_905_664, 47_009_160),
    "neurips-cell": (46_327_157, 140_019_637, 64_178_373, 63_669_349),
}
CASES = [
    (preset, network, count)
    for preset, counts in COUNTS.items()
    for network, count in zip(NETWORKS, counts, strict=True)
]


@pytest.mark.parametrize(("name", "network", "count"), CASES)
def test_parameters(name, network, count):
    preset = presets.load(name)
    assert preset.topology is not None
    assert preset.dataset is not None
    channels, classes = len(preset.dataset.channels), len(preset.dataset.labels) + 1
    chosen = spec(network).model_copy(update={"faithful": True})
    assert parameter_count(chosen, preset.topology, channels, classes) == count


@pytest.mark.parametrize(
    ("name", "channels", "classes", "count"),
    [  # without the layer of the first stage that would mix
        ("flare22", 1, 14, 41_741_290),
        ("amos22-mr-2d", 1, 14, 46_581_502 - 4_776),
        ("neurips-cell", 3, 3, 63_669_349),  # 65,536 tokens are just within the limit
    ],
)
def test_the_limit_on_tokens_leaves_out_the_finest_layer(name, channels, classes, count):
    topology = presets.load(name).topology
    assert topology is not None
    assert parameter_count(spec("ttt-unet-enc"), topology, channels, classes) == count


@pytest.mark.parametrize("name", presets.names())
def test_the_default_network_exists(name):
    preset = presets.load(name)
    assert preset.network is not None
    assert spec(preset.network).name == preset.network


def test_amos_ct_parameters():
    preset = presets.load("amos22-ct")
    assert preset.topology is not None
    # The known count is that of an isotropic plan. Here the four convolutions of the first stage
    # have kernels of 9 instead of 27 voxels, and its up-sampling one of 4 instead of 8.
    fewer = 18 * (1 * 32 + 32 * 32 + 64 * 32 + 32 * 32) + 4 * 64 * 32
    assert parameter_count(spec("nnunet"), preset.topology, 1, 16) == 31_206_864 - fewer
