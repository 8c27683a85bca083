"""Which patches a network can work on. Loads without torch."""

from math import lcm
from typing import cast

from segttt.config.baselines import (
    NnFormerSpec,
    PluginSpec,
    SegResNetSpec,
    SwinUMambaSpec,
    SwinUNETRSpec,
    TransUNetSpec,
    UNETRSpec,
    UXNet3DSpec,
    VMUNetSpec,
)
from segttt.config.network import NetworkSpec, Topology, UNetSpec
from segttt.errors import UsageError

Steps = tuple[int, ...]


def patch_multiple(network: NetworkSpec, topology: Topology) -> Steps:
    """What each edge of a patch must be a multiple of, to suit network and topology."""
    steps = zip(own_multiple(network, topology.rank), topology.total_stride, strict=True)
    return tuple(lcm(own, stride) for own, stride in steps)


def own_multiple(network: NetworkSpec, rank: int) -> Steps:
    """What the network itself needs each edge of its input to be a multiple of."""
    match network:
        case UNetSpec() | PluginSpec():
            return (1,) * rank
        case SegResNetSpec():
            return (2 ** (len(network.encoder_blocks) - 1),) * rank
        case UNETRSpec() | TransUNetSpec() | UXNet3DSpec():
            return (16,) * rank
        case SwinUNETRSpec() | VMUNetSpec() | SwinUMambaSpec():
            return (32,) * rank
        case NnFormerSpec():
            return cast("Steps", tuple(8 * edge for edge in network.embedding))


def fit_patch(network: NetworkSpec, topology: Topology) -> Topology:
    """The topology with its patch rounded up to what the network needs.

    A `UsageError` tells when the network is for pictures and the plan for volumes, or vice versa.
    """
    if topology.rank not in network.ranks:
        raise UsageError(_wrong_rank(network, topology.rank))
    multiple = patch_multiple(network, topology)
    patch = [-(-size // step) * step for size, step in zip(topology.patch, multiple, strict=True)]
    if isinstance(network, UNetSpec | SwinUNETRSpec | UXNet3DSpec) and patch == list(multiple):
        patch[-1] *= 2  # the deepest map would be a single voxel, which has no variance
    return topology.model_copy(update={"patch": tuple(patch)})


def fixed_patch(network: NetworkSpec) -> bool:
    """Whether the weights are tied to the patch they were trained on."""
    if isinstance(network, UNetSpec):
        return network.channel_tokens
    return network.fixed_patch


def _wrong_rank(network: NetworkSpec, rank: int) -> str:
    if rank == 3:
        return (
            f"Network '{network.name}' is for pictures and slices, the plan is for volumes. "
            "Plan slices in a workspace of their own: segttt plan DATA -w runs/NAME --dims 2."
        )
    return f"Network '{network.name}' is for volumes, the plan is for pictures or slices."
