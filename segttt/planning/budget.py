"""What a plan costs: the planner's proxy of GPU memory, and estimates of memory and disk."""

from dataclasses import dataclass
from math import prod

from segttt.config.fingerprint import CaseFacts, Fingerprint
from segttt.config.network import NetworkSpec, Topology, UNetSpec
from segttt.config.plan import Plan

RESENC_BLOCKS = (1, 3, 4, 6)  # further stages have 6


@dataclass(frozen=True)
class Budget:
    """How much network the planner may spend, in elements of convolution outputs."""

    residual: bool
    """Count a residual encoder rather than nnU-Net's plain one."""
    elements_3d: float
    """Elements per sample that suit a batch of `batch_3d` volumes."""
    elements_2d: float
    """Elements per sample that suit a batch of `batch_2d` slices."""
    dataset_share: float
    """Largest share of all training voxels that one batch may show."""
    batch_3d: int = 2
    batch_2d: int = 12

    def elements(self, rank: int) -> float:
        """Elements per sample at the reference batch."""
        return self.elements_3d if rank == 3 else self.elements_2d

    def batch(self, rank: int) -> int:
        """The reference batch."""
        return self.batch_3d if rank == 3 else self.batch_2d


BUDGETS = {
    "plain": Budget(residual=False, elements_3d=560e6, elements_2d=85e6, dataset_share=0.05),
    "resenc-m": Budget(residual=True, elements_3d=680e6, elements_2d=135e6, dataset_share=1.0),
    "resenc-l": Budget(residual=True, elements_3d=2.1e9, elements_2d=380e6, dataset_share=1.0),
    "resenc-xl": Budget(residual=True, elements_3d=3.6e9, elements_2d=560e6, dataset_share=1.0),
}
"""nnU-Net's budgets: plain and M for 8 GB of GPU memory, L for 24 GB, XL for 40 GB."""


def budget_of(network: NetworkSpec) -> Budget:
    """The budget for a network: nnU-Net's own for its residual encoder, the plain one for all else.

    The papers trained TTT-UNet, U-Mamba, MM-UNet and their baselines on nnU-Net's plain plans.
    """
    return BUDGETS["resenc-m" if network.name.startswith("nnunet-resenc") else "plain"]


def plain_elements(topology: Topology, classes: int) -> int:
    """Convolution outputs of nnU-Net's plain U-Net for one sample: its proxy of GPU memory."""
    return _elements(topology, classes, [2] * topology.stages, [3] * (topology.stages - 1))


def resenc_elements(topology: Topology, classes: int) -> int:
    """Convolution outputs of the residual-encoder U-Net for one sample."""
    blocks = [RESENC_BLOCKS[min(stage, 3)] for stage in range(topology.stages)]
    outputs = [2 * count + (1 if stage else 0) for stage, count in enumerate(blocks)]
    outputs[0] += 1  # the stem
    return _elements(topology, classes, outputs, [2] * (topology.stages - 1))


def reduced_residual_elements(topology: Topology, classes: int) -> int:
    """Convolution outputs of the residual U-Net of TTT-UNet and U-Mamba for one sample.

    Stages of the first half have two blocks, the others one; each first block has a convolution
    on its shortcut. Up-sampled maps count as the outputs of their 1x1 convolutions.
    """
    stages = topology.stages
    blocks = [5 if stage < (stages + 1) // 2 else 3 for stage in range(stages)]
    encoder = [blocks[0] + 5, *blocks[1:]]  # the stem is as long as a stage of two blocks
    decoder = [1 + outputs for outputs in reversed(blocks[:-1])]  # the rule runs from the deepest
    return _elements(topology, classes, encoder, decoder)


def _elements(topology: Topology, classes: int, encoder: list[int], decoder: list[int]) -> int:
    """Sum over stages of (outputs x features x voxels), and one head at full resolution."""
    # The bottleneck has no decoder.
    outputs = [down + up for down, up in zip(encoder, [*decoder, 0], strict=True)]
    maps = [
        count * topology.features[stage] * prod(topology.stage_shape(stage))
        for stage, count in enumerate(outputs)
    ]
    return sum(maps) + classes * prod(topology.patch)


def training_memory_bytes(plan: Plan, parameters: int) -> int | None:
    """A rough estimate of the GPU memory of training a U-Net; not yet measured. None: unknown.

    Each convolution output is kept twice for the backward pass (before and after the norm), in 2
    bytes under mixed precision and 4 in fp32. Logits and their softmax, loss and gradient are
    fp32. Weights, gradients and the optimiser's moments are fp32. The states of mixers and the
    convolutions' work space are not counted.
    """
    if not isinstance(plan.network, UNetSpec):
        return None
    count = {"residual": reduced_residual_elements, "resenc": resenc_elements}.get(
        plan.network.encoder, plain_elements
    )
    size = 4 if plan.train.precision == "fp32" else 2
    activations = 2 * size * count(plan.topology, plan.classes)
    logits = 4 * 4 * plan.classes * prod(plan.topology.patch)
    moments = 1 if plan.train.optimizer == "sgd" else 2
    averaged = 1 if plan.train.average else 0
    return plan.batch * (activations + logits) + 4 * parameters * (2 + moments + averaged)


def disk_bytes(fingerprint: Fingerprint, plan: Plan) -> int:
    """Upper bound of the prepared data: float32 images and int16 labels, not compressed."""
    return sum(prepared_bytes(case, plan) for case in fingerprint.cases)


def prepared_bytes(case: CaseFacts, plan: Plan) -> int:
    """Upper bound of one prepared case, as `disk_bytes`."""
    return (4 * len(plan.channels) + 2) * prod(_prepared_shape(case, plan))


def resampling_bytes(case: CaseFacts, plan: Plan) -> int:
    """What resampling takes of memory beside the case as it is read: twice what it becomes.

    Measured on CTs that become 0.5 to 8 times as many voxels: 8 to 12 bytes of each. 0 where the
    case keeps its grid.
    """
    keeps = _prepared_shape(case, plan) == [case.shape[axis] for axis in plan.axes]
    return 0 if keeps else 2 * prepared_bytes(case, plan)


def _prepared_shape(case: CaseFacts, plan: Plan) -> list[int]:
    """One cropped case on the plan's grid, in the plan's order of axes."""
    edges = [
        round(case.shape[axis] * case.spacing_mm[axis] / target)
        if plan.resample_z or place
        else case.shape[axis]
        for place, (axis, target) in enumerate(zip(plan.axes, plan.spacing_mm, strict=True))
    ]
    return [max(edge, 1) for edge in edges]
