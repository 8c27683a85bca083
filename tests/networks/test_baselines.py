"""What every foreign network must do: small instances for real, the big ones on meta."""

import pytest
import torch

from segttt.config import preset as presets
from segttt.config.network import Topology, UNetSpec
from segttt.errors import UsageError
from segttt.networks.build import build, entry, names, spec
from segttt.networks.cost import cost
from segttt.networks.sizes import fit_patch, fixed_patch, patch_multiple

SMALL = [name for name in names() if name.endswith(":small")]
BIG = [name.removesuffix(":small") for name in SMALL]
SIZED = [(name, rank) for name in SMALL for rank in spec(name).ranks]


def window(rank: int, depth: int = 12) -> Topology:
    stages = 3
    return Topology(
        patch=(depth, 40, 24)[3 - rank :],
        strides=((1,) * rank, *[(2,) * rank] * (stages - 1)),
        kernels=((3,) * rank,) * stages,
        features=(8, 16, 16),
    )


def small(name: str, rank: int, depth: int = 12, **options):
    topology = fit_patch(spec(name), window(rank, depth))
    torch.manual_seed(0)
    return build(spec(name), topology, 2, 3, **options), topology


def images(topology: Topology, samples: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(samples, 2, *topology.patch, generator=generator)


def test_every_foreign_network_has_a_small_instance():
    foreign = [name for name in names() if not isinstance(spec(name), UNetSpec)]
    assert sorted(foreign) == sorted(SMALL + BIG)


@pytest.mark.parametrize(("name", "rank"), SIZED)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_finite_logits_and_gradients(name, rank, precision):
    # no feature map may have depth 2, whose gradients PyTorch gets wrong in bfloat16 on a CPU
    network, topology = small(name, rank, depth=96 if precision == "bf16" else 12)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        outs = network(images(topology))
    assert outs[0].shape == (2, 3, *topology.patch)
    edges = [out.shape[-1] for out in outs]
    assert edges == sorted(set(edges), reverse=True)
    sum(out.float().square().mean() for out in outs).backward()
    for where, parameter in network.named_parameters():
        if "cross_attn" in where:  # MONAI's UNETR carries norms that it never uses
            continue
        assert parameter.grad is not None, where
        assert parameter.grad.isfinite().all(), where


@pytest.mark.parametrize(("name", "rank"), SIZED)
def test_weights_load_with_deep_supervision_on_or_off(name, rank):
    trained, topology = small(name, rank)
    other = build(spec(name), topology, 2, 3, deep_supervision=False)
    other.load_state_dict(trained.state_dict(), strict=True)
    with torch.no_grad():
        everything, first = trained.eval()(images(topology)), other.eval()(images(topology))
    assert len(first) == 1
    torch.testing.assert_close(first[0], everything[0], rtol=0, atol=0)


@pytest.mark.parametrize(("name", "rank"), SIZED)
def test_the_patch_is_rounded_up_to_what_the_network_needs(name, rank):
    topology = fit_patch(spec(name), window(rank))
    multiple = patch_multiple(spec(name), topology)
    assert all(size % step == 0 for size, step in zip(topology.patch, multiple, strict=True))
    assert all(size >= had for size, had in zip(topology.patch, window(rank).patch, strict=True))
    assert fit_patch(spec(name), topology) == topology
    network, _ = small(name, rank)
    wrong = torch.zeros(1, 2, *(size + 4 for size in topology.patch))
    with pytest.raises(UsageError):
        network(wrong)


@pytest.mark.parametrize(("name", "rank"), SIZED)
def test_networks_without_a_fixed_patch_take_any_multiple(name, rank):
    network, topology = small(name, rank, deep_supervision=False)
    steps = patch_multiple(spec(name), topology)
    larger = tuple(size + step for size, step in zip(topology.patch, steps, strict=True))
    x = torch.zeros(1, 2, *larger)
    if fixed_patch(spec(name)):
        with pytest.raises(UsageError):
            network(x)
        return
    with torch.no_grad():
        assert network.eval()(x)[0].shape == (1, 3, *larger)


@pytest.mark.parametrize("name", BIG)
def test_the_published_size_works_at_the_presets_window(name):
    """Forward on the meta device: every shape on the way fits."""
    known = spec(name)
    chosen = presets.load("flare22" if 3 in known.ranks else "endovis17")
    topology = fit_patch(known, chosen.topology)
    found = cost(known, topology, len(chosen.dataset.channels), len(chosen.dataset.labels) + 1)
    assert found.parameters > 5_000_000
    assert found.flops > 1e10


def test_ranks_that_do_not_suit_are_refused():
    with pytest.raises(UsageError, match=r"'vm-unet' is for pictures and slices.*--dims 2"):
        fit_patch(spec("vm-unet"), window(3))
    with pytest.raises(UsageError, match="'nnformer' is for volumes"):
        fit_patch(spec("nnformer"), window(2))


def test_published_recipes():
    swin = entry("swinunetr").recipe
    assert (swin["optimizer"], swin["lr"], swin["schedule"]) == ("adamw", 8e-4, "cosine")
    assert entry("transunet").recipe["momentum"] == 0.9
    assert entry("nnformer:small").recipe == entry("nnformer").recipe
    assert entry("nnunet").recipe == {}
