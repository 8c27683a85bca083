"""The parameters of nnU-Net's U-Nets under the names of ours."""

import re
from collections.abc import Sequence

import torch
from torch import nn

from benchmarks.peers.peer import Arrays

PART = {"conv": "0", "norm": "1"}
RULES = (
    (r"encoder\.stem\.convs\.0\.(conv|norm)\.(\w+)", "stem.{0}.{1}"),
    (r"encoder\.stages\.(\d+)\.0\.convs\.(\d+)\.(conv|norm)\.(\w+)", "encoder.{0}.{1}.{2}.{3}"),
    (r"encoder\.stages\.(\d+)\.blocks\.(\d+)\.conv1\.(conv|norm)\.(\w+)",
     "encoder.{0}.{1}.first.{2}.{3}"),
    (r"encoder\.stages\.(\d+)\.blocks\.(\d+)\.conv2\.conv\.(\w+)", "encoder.{0}.{1}.second.{2}"),
    (r"encoder\.stages\.(\d+)\.blocks\.(\d+)\.conv2\.norm\.(\w+)", "encoder.{0}.{1}.norm.{2}"),
    (r"decoder\.stages\.(\d+)\.convs\.(\d+)\.(conv|norm)\.(\w+)", "decoder.{0}.merge.{1}.{2}.{3}"),
    (r"decoder\.transpconvs\.(\d+)\.(\w+)", "decoder.{0}.up.{1}"),
    (r"decoder\.seg_layers\.(\d+)\.(\w+)", "heads.{0}.{1}"),
)  # fmt: skip
SHORTCUT = r"encoder\.stages\.(\d+)\.blocks\.(\d+)\.skip\.(\d+)\.(conv|norm)\.(\w+)"


def ours(name: str) -> str:
    """Our name of a parameter of PlainConvUNet or ResidualEncoderUNet."""
    if found := re.fullmatch(SHORTCUT, name):
        stage, block, place, part, field = found.groups()
        return f"encoder.{stage}.{block}.shortcut.{int(place) + (part == 'norm')}.{field}"
    for pattern, target in RULES:
        if found := re.fullmatch(pattern, name):
            return target.format(*(PART.get(group, group) for group in found.groups()))
    raise ValueError(f"{name} belongs to no known layer")


def load(network: nn.Module, weights: Arrays) -> None:
    """Load nnU-Net's weights; all of ours must be among them."""
    state = {ours(name): torch.from_numpy(value) for name, value in weights.items()}
    network.load_state_dict(state)


def theirs(network: nn.Module, names: Sequence[str]) -> Arrays:
    """Our weights under nnU-Net's names."""
    state = network.state_dict()
    return {name: state[ours(name)].detach().numpy().copy() for name in names}
