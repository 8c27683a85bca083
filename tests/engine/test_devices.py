"""What a GPU would run mixes no memories: all of it runs on tensors that have no data.

PyTorch's device `meta` stands for the GPU. It refuses to compute with what lies in main memory, and
cannot give the number that a hidden wait for the GPU asks for.
"""

import pytest
import torch

from segttt.config import preset
from segttt.config.network import UNetSpec
from segttt.engine.windows import RollingBlend, gaussian
from segttt.geometry import blocks
from segttt.geometry.argmax import classes_on_grid
from segttt.geometry.probabilities import probabilities_on_grid
from segttt.losses.compound import deep_supervision_loss, output_weights
from segttt.networks.build import build, names, spec
from segttt.networks.sizes import fit_patch

ELSEWHERE = torch.device("meta")
ONE_OF_EACH = [
    name for name in names() if isinstance(spec(name), UNetSpec) or name.endswith(":small")
]


class CopiedError(Exception):
    """Results leave for main memory."""


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_training_step_of_every_network(name):
    plan = preset.load("flare22" if 3 in spec(name).ranks else "endovis17")
    topology = fit_patch(spec(name), plan.topology)
    with ELSEWHERE:
        network = build(spec(name), topology, 1, 14)
        images, labels = torch.empty(2, 1, *topology.patch), torch.empty(2, *topology.patch).long()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(images)
    weights = output_weights(plan.train.deep_supervision, len(outputs))
    deep_supervision_loss(outputs, labels, weights, over_batch=True).backward()
    assert outputs[0].shape == (2, 14, *topology.patch)
    assert next(network.parameters()).grad is not None


@pytest.mark.parametrize("separate", [None, 0])
@pytest.mark.parametrize("shape", [(8, 16, 24), (16, 32, 50), (4, 8, 10)])
def test_logits_until_their_classes_are_copied(monkeypatch, shape, separate):
    def copied(_):
        raise CopiedError

    monkeypatch.setattr(blocks, "_refuse_nonfinite", lambda _: None)  # it waits, once per slab
    monkeypatch.setattr(torch.Tensor, "cpu", copied)
    patch, windows = (8, 16, 16), torch.empty(2, 4, 8, 16, 16, device=ELSEWHERE)
    blend = RollingBlend(4, patch[0], (16, 24), ELSEWHERE, torch.float32)
    for corner, logits in zip(((0, 0, 0), (0, 0, 8)), windows, strict=True):
        blend.add(logits, gaussian(patch, ELSEWHERE), corner)
    slabs = list(blend.release(8))
    with pytest.raises(CopiedError):
        next(classes_on_grid(slabs, 8, shape, separate, 2**20))
    with pytest.raises(CopiedError):
        next(probabilities_on_grid(slabs, 8, shape, separate, logits=True))
