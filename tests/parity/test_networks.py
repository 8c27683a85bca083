"""With nnU-Net's weights our networks give its logits."""

import numpy as np
import pytest
import torch

from segttt.config.network import Topology
from segttt.networks.build import build
from segttt.networks.table import spec


@pytest.mark.parametrize("name", ["nnunet", "nnunet-resenc"])
def test_logits(golden, name):
    theirs = golden["networks"][name]
    network = build(spec(name), Topology.model_validate(theirs["topology"]), 1, 3)
    network.load_state_dict({key: torch.tensor(one) for key, one in theirs["weights"].items()})
    with torch.no_grad():
        logits = network.eval()(torch.tensor(theirs["input"]))[0]
    # Weights and logits have five digits; norms of a tiny network enlarge the rounding.
    np.testing.assert_allclose(logits.numpy(), theirs["logits"], atol=1e-3)
    assert np.std(theirs["logits"]) > 0.1
