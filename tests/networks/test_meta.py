"""Meta blocks: which parts they have, and what they compute."""

import pytest
import torch
from torch import nn

from segttt.config.network import Topology, UNetSpec
from segttt.networks.layout import decoder, encoder
from segttt.networks.meta import MetaBlock, meta_stage
from segttt.networks.mixer import Mixer

TOPOLOGY = Topology(
    patch=(4, 8, 8),
    strides=((1, 1, 1), (2, 2, 2)),
    kernels=((3, 3, 3),) * 2,
    features=(4, 8),
)


def spec(kind: str, **fields) -> UNetSpec:
    return UNetSpec(
        name="mm-unet", encoder=kind, decoder=kind, encoder_blocks="one", decoder_blocks="one",
        mixer="mamba", mixer_stages="all", **fields,
    )  # fmt: skip


def stage(kind: str, **fields) -> nn.Sequential:
    wanted = spec(kind, **fields)
    torch.manual_seed(0)
    return meta_stage((4, 8), (3, 3, 3), (2, 2, 2), encoder(wanted, TOPOLOGY)[1], wanted).double()


X = torch.randn(2, 4, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def leaky(x):
    return nn.functional.leaky_relu(x, 0.01)


def test_cnn_adds_its_projection_and_activates():
    (block,) = stage("cnn")
    torch.testing.assert_close(block(X), leaky(block.shortcut(X) + block.convolutions(X)))
    assert block.shortcut[0].bias is None
    (bare,) = stage("cnn", cnn_residual="none")
    torch.testing.assert_close(bare(X), bare.convolutions(X))


def test_hybrid_in_mixes_inside_the_residual_and_hybrid_out_behind_it():
    (inner,) = stage("hybrid_in")
    truth = leaky(inner.shortcut(X) + inner.inside(inner.convolutions(X)))
    torch.testing.assert_close(inner(X), truth)
    (outer,) = stage("hybrid_out")
    truth = outer.after(leaky(outer.shortcut(X) + outer.convolutions(X)))
    torch.testing.assert_close(outer(X), truth)


def test_mamba_is_a_strided_convolution_and_two_residual_mixers():
    enter, norm, first, second = stage("mamba")
    assert enter.kernel_size == enter.stride == (2, 2, 2)
    assert isinstance(first, Mixer)
    assert first.residual
    assert second.residual
    x = norm(enter(X))
    flat = x.movedim(1, -1)
    torch.testing.assert_close(flat.mean(-1), torch.zeros_like(flat[..., 0]), atol=1e-9, rtol=0)
    torch.testing.assert_close(stage("mamba")(X), second(first(x)))


def test_stages_beyond_the_token_limit_are_plain_convolutions():
    for kind in ("hybrid_in", "hybrid_out", "mamba"):
        wanted = spec(kind, max_tokens=64)
        first, second = encoder(wanted, TOPOLOGY)
        assert (first.block, first.place, first.residual, first.site) == ("cnn", "none", True, None)
        assert second.site is not None
        assert second.site.tokens == 32
        (block,) = meta_stage((1, 4), (3, 3, 3), (1, 1, 1), first, wanted)
        assert isinstance(block, MetaBlock)
        assert block.inside is block.after is None


@pytest.mark.parametrize(
    ("where", "residual"),
    [("encoder", (True, False)), ("all", (True, True)), ("none", (False,) * 2)],
)
def test_where_cnn_blocks_have_a_residual(where, residual):
    wanted = spec("cnn", cnn_residual=where)
    found = (encoder(wanted, TOPOLOGY)[0].residual, decoder(wanted, TOPOLOGY)[0].residual)
    assert found == residual


def test_several_blocks_per_stage_change_width_and_grid_once():
    wanted = spec("hybrid_in").model_copy(update={"encoder_blocks": (1, 3)})
    blocks = meta_stage((4, 8), (3, 3, 3), (2, 2, 2), encoder(wanted, TOPOLOGY)[1], wanted)
    assert [type(block.shortcut) for block in blocks] == [nn.Sequential, nn.Identity, nn.Identity]
    assert blocks.double()(X).shape == (2, 8, 2, 4, 4)
