"""Parameters and operations against what can be counted by hand."""

import pytest

from segttt.config import preset as presets
from segttt.config.network import Topology, UNetSpec
from segttt.networks.build import names, parameter_count, spec
from segttt.networks.cost import cost

SMALL = Topology(patch=(8, 8), strides=((1, 1), (2, 2)), kernels=((3, 3),) * 2, features=(4, 8))


def test_operations_of_a_plain_u_net():
    products = (
        64 * 9 * (1 * 4 + 4 * 4)  # first stage
        + 16 * 9 * (4 * 8 + 8 * 8)  # second stage
        + 16 * 8 * 4 * 4  # transposed convolution
        + 64 * 9 * (8 * 4 + 4 * 4)  # decoder
        + 64 * 4 * 3  # head
    )
    found = cost(spec("nnunet"), SMALL, 1, 3)
    assert found.flops == 2 * products
    assert found.parameters == parameter_count(spec("nnunet"), SMALL, 1, 3)


def test_mixers_count_too():
    bare = cost(UNetSpec(mixer="none"), SMALL, 1, 3)
    for mixer in ("ttt_linear", "ttt_mlp", "mamba"):
        full = cost(UNetSpec(mixer=mixer, heads=2), SMALL, 1, 3)
        # more than its projections alone: 16 tokens of width 8 and at least four matrices
        assert full.flops - bare.flops > 2 * 16 * 8 * 8 * 4


@pytest.mark.parametrize("preset", ["flare22", "endovis17"])
@pytest.mark.parametrize("name", [name for name in names() if isinstance(spec(name), UNetSpec)])
def test_every_u_net_fits_the_presets_windows_with_all_its_mixers(name, preset):
    """Forward on the meta device: every shape on the way fits, faithful at every stage."""
    chosen = presets.load(preset)
    faithful = spec(name).model_copy(update={"faithful": True})
    found = cost(faithful, chosen.topology, len(chosen.dataset.channels), 8)
    assert found.parameters > 30_000_000
    assert found.flops > 1e11
