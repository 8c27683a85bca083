"""From a spec and a topology to a network."""

import torch

from segttt.config.network import NetworkSpec, Topology
from segttt.networks.table import names, spec
from segttt.networks.unet import UNet

__all__ = ["build", "names", "parameter_count", "spec"]


def build(spec: NetworkSpec, topology: Topology, in_channels: int, classes: int) -> UNet:
    """A freshly initialised network; `classes` counts the background."""
    return UNet(spec, topology, in_channels, classes)


def parameter_count(spec: NetworkSpec, topology: Topology, in_channels: int, classes: int) -> int:
    """How many numbers the network learns, found without allocating any of them."""
    with torch.device("meta"):
        network = build(spec, topology, in_channels, classes)
    return sum(parameter.numel() for parameter in network.parameters())
