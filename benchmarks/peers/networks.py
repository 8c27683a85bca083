"""Parity of networks: the same weights give the same logits."""

from typing import Any

import numpy as np
import torch

from benchmarks.peers import names
from benchmarks.peers.peer import Arrays, Peer
from benchmarks.peers.rows import Row
from segttt.config.network import Topology
from segttt.networks.build import build
from segttt.networks.table import spec

LOGIT_BAR = 1e-4
CHANNELS, CLASSES = 2, 4
FLAT = Topology(
    patch=(8, 32, 32),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2)),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    features=(8, 16, 32, 40),
)
PLANE = Topology(
    patch=(32, 48), strides=((1, 1), (2, 2), (2, 2)), kernels=((3, 3),) * 3, features=(8, 16, 32)
)
MODULE = "dynamic_network_architectures.architectures.unet."
CASES = {
    "PlainConvUNet, 3D": ("nnunet", FLAT),
    "PlainConvUNet, 2D": ("nnunet", PLANE),
    "ResidualEncoderUNet, 3D": ("nnunet-resenc", FLAT),
    "ResidualEncoderUNet, 2D": ("nnunet-resenc", PLANE),
}


def compare(peer: Peer) -> list[Row]:
    """Logits of every head, with nnU-Net's weights in our networks."""
    random = np.random.default_rng(0)
    arrays: Arrays = {}
    for title, (_, topology) in CASES.items():
        shape = (2, CHANNELS, *topology.patch)
        arrays[f"{title} input"] = random.normal(size=shape).astype(np.float32)
    jobs = {
        title: job(name, topology, channels=CHANNELS, classes=CLASSES)
        for title, (name, topology) in CASES.items()
    }
    _, found = peer.run("network", {"jobs": jobs}, arrays)
    rows = []
    for title, (name, topology) in CASES.items():
        network = build(spec(name), topology, CHANNELS, CLASSES).eval()
        start = f"{title} weight "
        given = {k.removeprefix(start): v for k, v in found.items() if k.startswith(start)}
        names.load(network, given)
        with torch.no_grad():
            outputs = network(torch.from_numpy(arrays[f"{title} input"]))
        worst = max(
            float(np.abs(one.numpy() - found[f"{title} logits {level}"]).max())
            for level, one in enumerate(outputs)
        )
        rows.append(Row("logits of every head, same weights", title, worst, LOGIT_BAR))
    return rows


def job(name: str, topology: Topology, *, channels: int, classes: int) -> dict[str, Any]:
    """What nnU-Net needs to build the same network, and a plan that names only its window."""
    rank, stages = topology.rank, topology.stages
    counts = {"n_conv_per_stage": [2] * stages, "n_conv_per_stage_decoder": [2] * (stages - 1)}
    kind = "PlainConvUNet"
    if name == "nnunet-resenc":
        kind = "ResidualEncoderUNet"
        counts = {
            "n_blocks_per_stage": [1, 3, 4, 6][:stages],
            "n_conv_per_stage_decoder": [1] * (stages - 1),
        }
    arguments = counts | {
        "n_stages": stages, "features_per_stage": topology.features,
        "conv_op": f"torch.nn.modules.conv.Conv{rank}d", "kernel_sizes": topology.kernels,
        "strides": topology.strides, "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{rank}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None,
        "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }  # fmt: skip
    configuration = {
        "patch_size": topology.patch, "spacing": [1.0] * rank,
        "architecture": {"network_class_name": MODULE + kind, "arch_kwargs": arguments,
                         "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]},
    }  # fmt: skip
    labels = {"background": 0} | {f"organ {i}": i for i in range(1, classes)}
    return {
        "class": MODULE + kind, "arguments": arguments, "channels": channels, "classes": classes,
        "seed": 1, "configuration": "only", "dataset": {"labels": labels},
        "plans": {"configurations": {"only": configuration}, "label_manager": "LabelManager",
                  "dataset_name": "none", "plans_name": "none"},
    }  # fmt: skip
