"""Whether segttt and nnU-Net compute the same, quantity by quantity, as one table.

    python -m benchmarks.peers.parity --peer-python PATH --data DIR

PATH is the Python of an environment that holds nnU-Net (see benchmarks/README.md), DIR the folder
with `hippocampus` and `abdomen_ct`. Takes about ten minutes on one core.
Ends with 1 where a bar is missed without a reason.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.peers import (
    augmentation,
    datasets,
    images,
    networks,
    planning,
    prediction,
    training,
)
from benchmarks.peers.peer import Peer
from benchmarks.peers.rows import Row, table

PACKAGES = (
    "nnunetv2", "batchgenerators", "batchgeneratorsv2", "acvl-utils",
    "dynamic-network-architectures", "torch", "numpy", "scipy", "scikit-image", "SimpleITK",
)  # fmt: skip


def parity(peer: Peer, data: Path) -> list[Row]:
    """Every row of the table."""
    raws = [
        datasets.hippocampus(peer.raw, data),
        datasets.abdomen(peer.raw, data),
        datasets.anisotropic(peer.raw),
        datasets.long(peer.raw),
    ]
    known, rows = planning.know(peer, raws)
    rows += images.compare(peer, known)
    rows += networks.compare(peer)
    rows += training.compare(peer, known[0])
    rows += prediction.compare(peer, known[0])
    return rows + augmentation.compare(peer)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, required=True, help="of nnU-Net's environment")
    parser.add_argument("--data", type=Path, required=True, help="with hippocampus and abdomen_ct")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(options.peer_python, Path(folder))
        rows = parity(peer, options.data)
        print(f"nnU-Net: {peer.versions(PACKAGES)}\n")
    print(table(rows))
    missed = [row for row in rows if not row.met]
    print(f"\n{len(rows) - len(missed)} of {len(rows)} met.")
    return int(any(not row.intended for row in missed))


if __name__ == "__main__":
    raise SystemExit(main())
