"""What a network costs, found without allocating it: parameters and floating-point operations."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from segttt.config.network import NetworkSpec, Topology
from segttt.kernels.flops import FORMULAS
from segttt.networks.build import build
from segttt.networks.uninitialised import Uninitialised


@dataclass(frozen=True)
class Cost:
    """Costs of one network at one patch."""

    parameters: int
    flops: int
    """Of one forward pass of one patch; a multiplication and an addition are two."""


def cost(spec: NetworkSpec, topology: Topology, in_channels: int, classes: int) -> Cost:
    """Parameters, and operations of convolutions, matrix products and mixers.

    Norms, activations and resampling are not counted.
    """
    with torch.device("meta"), Uninitialised():
        network = build(spec, topology, in_channels, classes, deep_supervision=False).eval()
        image = torch.empty(1, in_channels, *topology.patch)
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        network(image)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, counter.get_total_flops())
