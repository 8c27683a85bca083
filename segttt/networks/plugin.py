"""Networks of other packages."""

from inspect import signature

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segttt.config.baselines import PluginSpec
from segttt.config.network import Topology
from segttt.errors import UsageError
from segttt.networks.table import PLUGINS


class PluginNetwork(nn.Module):
    """A network that another package offers under the entry-point group `segttt.networks`.

    The entry point is a callable `(topology, in_channels, classes, **options)` that returns a
    module. The module takes [b, c, *grid] and gives logits [b, k, *grid], or a list of logits,
    highest resolution first, for deep supervision.
    """

    def __init__(self, spec: PluginSpec, topology: Topology, in_channels: int, classes: int):
        super().__init__()
        from importlib.metadata import entry_points  # slow to import, and few networks are plugins

        found = entry_points(group=PLUGINS, name=spec.name)
        if not found:
            raise UsageError(
                f"Network '{spec.name}' is of a package that is not installed here. Install the "
                f"package that offers '{spec.name}' in the entry-point group {PLUGINS}."
            )
        builder = next(iter(found)).load()
        try:
            signature(builder).bind(topology, in_channels, classes, **spec.options)
        except TypeError as error:
            raise UsageError(
                f"Network '{spec.name}' does not accept its options ({error}). "
                "Correct them with --set network.options.NAME=VALUE."
            ) from error
        self.network = builder(topology, in_channels, classes, **spec.options)
        self.name, self.classes = spec.name, classes
        self.deep_supervision = True

    def forward(self, x: Float[Tensor, "b c *grid"]) -> list[Float[Tensor, "b k *_"]]:
        """Logits, highest resolution first: of all heads, or of the first alone."""
        out = self.network(x)
        outs = [out] if isinstance(out, torch.Tensor) else list(out)
        expected = (x.shape[0], self.classes, *x.shape[2:])
        if not outs or tuple(outs[0].shape) != expected:
            found = [list(one.shape) for one in outs]
            raise UsageError(
                f"Network '{self.name}' gives logits of shapes {found}; the first must be "
                f"{list(expected)}."
            )
        return outs if self.deep_supervision else outs[:1]
