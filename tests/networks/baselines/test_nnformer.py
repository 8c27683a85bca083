"""nnFormer: published size, locality of its blocks, gradients and fixed patch."""

import pytest
import torch

from segttt.config.baselines import NnFormerSpec
from segttt.errors import UsageError
from segttt.networks.baselines.drop_path import DropPath
from segttt.networks.baselines.nnformer import Block, CrossBlock, NnFormer
from segttt.networks.baselines.window_attention import windows_of

SMALL = NnFormerSpec(embedding=(2, 2, 2), width=12, heads=(1, 2, 2, 4))
PATCH = (16, 32, 32)


def images(samples: int = 1, patch: tuple[int, ...] = PATCH) -> torch.Tensor:
    return torch.randn(samples, 2, *patch, generator=torch.Generator().manual_seed(0))


def built(spec: NnFormerSpec = SMALL, patch: tuple[int, ...] = PATCH) -> NnFormer:
    torch.manual_seed(0)
    return NnFormer(spec, patch, 2, 3)


@pytest.mark.parametrize(
    ("patch", "parameters"), [((64, 128, 128), 150_054_210), ((48, 192, 192), 149_837_058)]
)
def test_published_size(patch, parameters):
    """The second has windows of 6 and 3 for 8 and 4, so its bias tables are shorter."""
    with torch.device("meta"):
        network = NnFormer(NnFormerSpec(), patch, 1, 14)
        outs = network(torch.empty(1, 1, *patch))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    grids = [tuple(edge // 2**level for edge in patch) for level in range(3)]
    assert [tuple(out.shape) for out in outs] == [(1, 14, *grid) for grid in grids]


def test_windows_of_the_published_network():
    with torch.device("meta"):
        network = NnFormer(NnFormerSpec(), (64, 128, 128), 1, 14)
    encoder = [[(b.windows.edge, b.windows.shift) for b in s.blocks] for s in network.encoder]
    assert encoder == [[(4, 0), (4, 2)], [(4, 0), (4, 2)], [(8, 0), (8, 0)], [(4, 0), (4, 0)]]
    decoder = [
        [(b.windows.edge, b.windows.shift) for b in (s.cross, *s.blocks)] for s in network.decoder
    ]
    assert decoder == [[(8, 0), (8, 0)], [(4, 0), (4, 2)], [(4, 0), (4, 2)]]


def test_stochastic_depth_rises_along_the_encoder_and_again_along_the_decoder():
    network = built()
    for part, blocks in ((network.encoder, 8), (network.decoder, 6)):
        rates = [module.rate for module in part.modules() if isinstance(module, DropPath)]
        assert rates == pytest.approx(torch.linspace(0, 0.2, blocks).tolist())


@pytest.mark.parametrize(
    ("shifted", "voxel", "window"),
    [
        (False, (0, 0, 7), (slice(0, 4), slice(0, 4), slice(4, 8))),
        (True, (7, 7, 7), (slice(6, 8), slice(6, 8), slice(6, 8))),
        (True, (0, 3, 7), (slice(0, 2), slice(2, 6), slice(6, 8))),
    ],
)
def test_a_block_looks_within_its_window_and_never_across_the_border(shifted, voxel, window):
    """Rolled by two, the first two and the last two of an axis stand in the same window."""
    torch.manual_seed(0)
    block = Block(SMALL, 0, windows_of((8, 8, 8), 4, shifted=shifted), 0.0)
    x = torch.randn(1, 8, 8, 8, 12)
    touched = x.clone()
    touched[0, *voxel, 0] += 3
    with torch.no_grad():
        changed = (block(touched) - block(x)).abs().amax((0, 4)) > 0
    inside = torch.zeros(8, 8, 8, dtype=torch.bool)
    inside[window] = True
    assert changed.equal(inside)


def test_the_first_decoder_block_asks_the_skip_with_unprojected_queries():
    torch.manual_seed(0)
    block = CrossBlock(SMALL, 0, windows_of((2, 2, 2), 4, shifted=False), 0.0)
    x, skip = torch.randn(2, 1, 2, 2, 2, 12)
    q = block.norm(x).flatten(1, 3)
    k, v = block.kv(block.norm(skip).flatten(1, 3)).split(12, -1)
    bias = block.attention.bias[block.attention.position, 0]
    weight = (q @ k.mT / 12**0.5 + bias).softmax(-1)
    y = x + skip + block.attention.project(weight @ v).view_as(x)
    expected = y + block.mlp(y)
    torch.testing.assert_close(block(x, skip), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_parameter_gets_a_finite_gradient(precision: str):
    network = built(SMALL.model_copy(update={"drop_path": 0.0}), (32, 32, 32))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        outs = network(images(patch=(32, 32, 32)))
    sum(out.float().square().mean() for out in outs).backward()
    for where, parameter in network.named_parameters():
        assert parameter.grad is not None, where
        assert parameter.grad.isfinite().all(), where
        assert parameter.grad.abs().max() > 0, where


def test_bfloat16_stays_near_single_precision():
    network, x = built().eval(), images()
    with torch.no_grad():
        exact = network(x)[0]
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(x)[0].float()
    assert (rough - exact).norm() < 0.05 * exact.norm()


def test_batch_equals_one_by_one_and_eval_repeats_itself():
    network, x = built().eval(), images(3)
    with torch.no_grad():
        together = network(x)
        for index in range(3):
            alone = network(x[index : index + 1])
            for out, one in zip(together, alone, strict=True):
                torch.testing.assert_close(out[index : index + 1], one, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(x), together, rtol=0, atol=0)


def test_in_training_branches_are_left_out_at_random():
    network = built(SMALL.model_copy(update={"drop_path": 0.9}))
    with torch.no_grad():
        assert not network(images())[0].equal(network(images())[0])


def test_without_deep_supervision_only_the_first_output_remains_and_weights_still_load():
    network = built().eval()
    with torch.no_grad():
        everything = network(images())
        network.deep_supervision = False
        (first,) = network(images())
    torch.testing.assert_close(first, everything[0], rtol=0, atol=0)
    built().load_state_dict(network.state_dict(), strict=True)


def test_the_index_and_the_masks_are_no_part_of_the_weights():
    assert not [key for key in built().state_dict() if "mask" in key or "position" in key]


@pytest.mark.parametrize("embedding", [(1, 4, 4), (4, 2, 3)])
def test_any_embedding_step_divides_the_grid_exactly(embedding):
    patch = tuple(8 * step for step in embedding)
    network = built(SMALL.model_copy(update={"embedding": embedding}), patch)
    outs = network(torch.randn(1, 2, *patch))
    assert network.embedding(torch.randn(1, 2, *patch)).shape == (1, 12, 8, 8, 8)
    assert [out.shape[2:] for out in outs] == [
        tuple(edge // 2**level for edge in patch) for level in range(3)
    ]


def test_another_grid_is_refused():
    with pytest.raises(UsageError, match=r"\[32, 32, 32\], but .* inputs of \[16, 32, 32\]"):
        built()(images(patch=(32, 32, 32)))


@pytest.mark.parametrize("patch", [(16, 32, 40), (8, 32, 32), (32, 32)])
def test_a_patch_of_other_multiples_is_refused(patch):
    with pytest.raises(UsageError, match=r"multiples of \[16, 16, 16\]"):
        built(patch=patch)


@pytest.mark.parametrize("fields", [{"width": 9}, {"heads": (1, 5, 2, 4)}])
def test_a_width_that_does_not_divide_is_refused(fields):
    with pytest.raises(UsageError, match="must be even, and"):
        built(SMALL.model_copy(update=fields))
