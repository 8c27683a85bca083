"""Surface metrics against numbers of DeepMind's surface-distance 0.1 on seeded pairs.

`benchmarks/metrics/surface.py` compares a thousand pairs where that package is at hand.
"""

import numpy as np
import pytest

from segttt.metrics.surface import assd, hd95, nsd, surfaces

SPACINGS = [
    (1.0, 1.0, 1.0),
    (5.0, 0.7, 0.7),
    (2.5, 0.78125, 0.78125),
    (3.0, 1.5, 1.5),
    (0.9, 1.3, 0.4),
]
GOLDEN = [  # NSD, HD95 and the mean of both mean distances of pairs 0, 1, 2 ...
    (0.10327264227120024, 7.0, 2.5750126888015905),
    (0.9743554322348531, 1.5652475842498528, 0.4831118748353016),
    (0.6014212290391256, 1.7469281074217107, 0.4276682935324972),
    (0.5092723295428383, 6.0, 2.2901317982652563),
    (0.6656092332174481, 1.5264337522473748, 0.4305320775226046),
    (0.9375959979983374, 2.23606797749979, 0.7003821600610385),
    (0.4183655656825471, 4.257933771208753, 1.498922548811096),
    (0.9463320703174605, 2.34375, 0.7185624010764108),
    (0.538660250909572, 3.0, 0.8632429301951119),
    (0.6266667511722355, 6.609841147864296, 2.082488125658799),
    (0.49923978903640226, 2.23606797749979, 0.6790802506450325),
    (0.9657579849440033, 1.5652475842498528, 0.38681754286262554),
    (0.15501811643660404, 6.25, 2.311481239045862),
    (0.8815984808893077, 3.0, 0.8645754276255442),
    (0.7062798457766869, 1.5264337522473748, 0.3980594325841906),
    (0.698174724084017, 5.0, 1.647813260063292),
    (0.9358856675473592, 0.9899494936611665, 0.307325467571841),
    (0.9198675271229493, 2.6192272834750328, 0.7332780714948606),
]


def pair(seed):
    """Two bodies that overlap, with stray voxels; every third pair is a picture."""
    random = np.random.default_rng(seed)
    shape = (1, 30, 40) if seed % 3 == 0 else (10, 12, 14)
    masks = []
    for centre in (0.45, 0.45 + 0.1 * random.random()):
        axes = [(np.arange(n) / n - centre) / (0.2 + 0.25 * random.random()) for n in shape[1:]]
        depth = ((np.arange(shape[0]) + 0.5) / shape[0] - 0.5) / 0.4
        inside = depth[:, None, None] ** 2 + axes[0][:, None] ** 2 + axes[1] ** 2 <= 1
        masks.append(inside ^ (random.random(shape) < 0.01 * (seed % 4)))
    return masks


@pytest.mark.parametrize("seed", range(len(GOLDEN)))
def test_equals_the_reference(seed):
    both = surfaces(*pair(seed), SPACINGS[seed % len(SPACINGS)])
    found = nsd(both, (0.7, 2.0)[seed % 2]), hd95(both), assd(both)
    assert found == pytest.approx(GOLDEN[seed], rel=0, abs=1e-9)
