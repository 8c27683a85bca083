"""TransUNet: published size, positions, oblong patches, gradients and fixed patch."""

import pytest
import torch

from segttt.config.baselines import TransUNetSpec
from segttt.errors import UsageError
from segttt.networks.baselines.transunet import Layer, Transformer, TransUNet

SMALL = TransUNetSpec(
    stem=32,
    units=(1, 1, 1),
    width=24,
    layers=2,
    heads=2,
    mlp_width=48,
    decoder=(32, 16, 8, 4),
)
PATCH = (32, 48)


def pictures(samples: int = 2, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(samples, channels, *PATCH, generator=generator)


def built(in_channels: int = 3, **fields) -> TransUNet:
    torch.manual_seed(0)
    return TransUNet(SMALL.model_copy(update=fields), PATCH, in_channels, 5)


@pytest.mark.parametrize(
    ("patch", "in_channels", "parameters"),
    [
        ((224, 224), 3, 105_277_081),
        ((224, 224), 1, 105_277_081),
        ((384, 640), 3, 105_277_081 + (24 * 40 - 14 * 14) * 768),
        ((224, 224), 4, 105_277_081 + 64 * 7 * 7),
    ],
)
def test_published_size(patch, in_channels, parameters):
    with torch.device("meta"):
        network = TransUNet(TransUNetSpec(), patch, in_channels, 9)
        (out,) = network(torch.empty(1, in_channels, *patch))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert out.shape == (1, 9, *patch)


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_parameter_gets_a_finite_gradient(precision: str, samples: int):
    network = built()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        (out,) = network(pictures(samples))
    out.float().square().mean().backward()
    for where, parameter in network.named_parameters():
        assert parameter.grad is not None, where
        assert parameter.grad.isfinite().all(), where
        assert parameter.grad.abs().max() > 0, where


def test_bfloat16_stays_near_single_precision():
    network = built().eval()
    with torch.no_grad():
        exact = network(pictures())[0]
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(pictures())[0].float()
    assert (rough - exact).norm() < 0.05 * exact.norm()


def test_batch_equals_one_by_one_and_eval_repeats_itself():
    network, x = built().eval(), pictures(3)
    with torch.no_grad():
        (together,) = network(x)
        for index in range(3):
            (alone,) = network(x[index : index + 1])
            torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(x)[0], together, rtol=0, atol=0)


def test_a_grey_picture_is_three_equal_channels():
    network, grey = built(1).eval(), pictures(channels=1)
    with torch.no_grad():
        torch.testing.assert_close(network(grey), network(grey.repeat(1, 3, 1, 1)), rtol=0, atol=0)
    assert built(2).resnet.root[0].weight.shape[1] == 2


def test_each_token_keeps_its_place_on_an_oblong_grid():
    """Without attention and MLP, only the normed embedding plus the position remains."""
    torch.manual_seed(0)
    transformer = Transformer(SMALL.model_copy(update={"layers": 1}), (2, 3)).eval()
    torch.nn.init.normal_(transformer.position)
    for linear in (transformer.layers[0].project, transformer.layers[0].mlp[4]):
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    features = torch.randn(1, 16 * 32, 2, 3)
    out, embedded = transformer(features), transformer.embedding(features)
    for y in range(2):
        for x in range(3):
            token = embedded[0, :, y, x] + transformer.position[3 * y + x]
            torch.testing.assert_close(out[0, :, y, x], transformer.norm(token))


def test_a_layer_is_attention_of_each_head_and_then_the_mlp():
    torch.manual_seed(0)
    layer = Layer(SMALL).eval()
    x = torch.randn(2, 6, 24)
    q, k, v = layer.qkv(layer.norm(x)).split(24, -1)
    heads = []
    for head in (slice(0, 12), slice(12, 24)):
        weight = (q[..., head] @ k[..., head].mT / 12**0.5).softmax(-1)
        heads.append(weight @ v[..., head])
    y = x + layer.project(torch.cat(heads, -1))
    torch.testing.assert_close(layer(x), y + layer.mlp(y), rtol=1e-5, atol=1e-5)


def test_dropout_is_drawn_in_training_alone():
    network = built(dropout=0.5)
    tokens = torch.randn(1, 16 * 32, 2, 3)
    assert not network.transformer(tokens).equal(network.transformer(tokens))
    still = built(dropout=0.0).transformer
    assert still(tokens).equal(still(tokens))


def test_deep_supervision_changes_nothing():
    network = built().eval()
    with torch.no_grad():
        (on,) = network(pictures())
        network.deep_supervision = False
        (off,) = network(pictures())
    assert on.equal(off)
    built().load_state_dict(network.state_dict(), strict=True)


def test_another_grid_is_refused():
    with pytest.raises(UsageError, match=r"\[48, 32\], but .* inputs of \[32, 48\]"):
        built()(torch.randn(1, 3, 48, 32))


@pytest.mark.parametrize("patch", [(32, 40), (32, 32, 32)])
def test_a_patch_of_other_multiples_is_refused(patch):
    with pytest.raises(UsageError, match="two edges that are multiples of 16"):
        TransUNet(SMALL, patch, 3, 5)


@pytest.mark.parametrize(
    ("fields", "words"), [({"stem": 48}, "multiple of 32"), ({"heads": 5}, "of its 5 heads")]
)
def test_widths_that_do_not_divide_are_refused(fields, words: str):
    with pytest.raises(UsageError, match=words):
        built(**fields)
