"""From a spec and a topology to a network."""

from importlib import import_module
from typing import Any, cast

import torch
from torch import nn

from segttt.config.baselines import PluginSpec
from segttt.config.network import NetworkSpec, Topology, UNetSpec
from segttt.networks.plugin import PluginNetwork
from segttt.networks.table import entry, names, spec
from segttt.networks.unet import UNet
from segttt.networks.uninitialised import Uninitialised

__all__ = ["build", "entry", "names", "parameter_count", "spec"]

BASELINES = {
    "segresnet": "monai:MonaiNetwork",
    "unetr": "monai:MonaiNetwork",
    "swinunetr": "monai:MonaiNetwork",
    "nnformer": "nnformer:NnFormer",
    "uxnet3d": "uxnet3d:UXNet3D",
    "transunet": "transunet:TransUNet",
    "vm-unet": "vm_unet:VMUNet",
    "swin-umamba": "swin_umamba:SwinUMamba",
    "swin-umamba-d": "swin_umamba:SwinUMambaD",
}
"""Kind of spec -> module and class; imported when asked for, since some need an extra."""


def build(
    spec: NetworkSpec,
    topology: Topology,
    in_channels: int,
    classes: int,
    *,
    deep_supervision: bool = True,
) -> nn.Module:
    """A freshly initialised network; `classes` counts the background.

    Its `forward` takes [b, c, *grid] and gives a list of logits [b, k, *grid], highest resolution
    first: of all its heads, or with `deep_supervision` off of the first alone.
    """
    network = _built(spec, topology, in_channels, classes)
    cast("Any", network).deep_supervision = deep_supervision
    return network


def parameter_count(spec: NetworkSpec, topology: Topology, in_channels: int, classes: int) -> int:
    """How many numbers the network learns, found without allocating any of them."""
    with torch.device("meta"), Uninitialised():
        network = build(spec, topology, in_channels, classes)
    return sum(parameter.numel() for parameter in network.parameters())


def _built(spec: NetworkSpec, topology: Topology, in_channels: int, classes: int) -> nn.Module:
    if isinstance(spec, UNetSpec):
        return UNet(spec, topology, in_channels, classes)
    if isinstance(spec, PluginSpec):
        return PluginNetwork(spec, topology, in_channels, classes)
    kind = "swin-umamba-d" if getattr(spec, "mamba_decoder", False) else spec.kind
    module, _, name = BASELINES[kind].partition(":")
    network = getattr(import_module(f"segttt.networks.baselines.{module}"), name)
    return network(spec, topology.patch, in_channels, classes)
