"""Small inputs and what nnU-Net makes of them: the constants of tests/parity.

    python -m benchmarks.peers.golden --peer-python PATH

writes tests/parity/golden.json anew.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers import datasets, names
from benchmarks.peers.augmentation import angles_and_scales, given_parameters
from benchmarks.peers.networks import job
from benchmarks.peers.peer import Peer
from benchmarks.peers.planning import made_up_facts
from segttt.config.network import Topology
from segttt.networks.build import build
from segttt.networks.table import spec

FILE = Path(__file__).resolve().parents[2] / "tests" / "parity" / "golden.json"
DIGITS = 5
PLANS = (101, 102, 103, 108, 111, 116)
"""Numbers of random fingerprints: a tiny, small, large and huge one of each kind that matters."""
DRAWS, SEED, CHANNELS = 20_000, 3, 2
TURNED = 1e-6  # degrees, or of a scale: less is no rotation and no scaling
PATCHES = ((40, 56, 40), (40, 224, 192), (384, 640))
TINY = Topology(
    patch=(4, 8, 8), strides=((1, 1, 1), (1, 2, 2)), kernels=((1, 3, 3), (3, 3, 3)), features=(2, 3)
)


def collect(peer: Peer) -> dict[str, Any]:
    """Everything that the file holds."""
    return {
        "plans": _plans(peer), "pieces": _pieces(peer), "windows": _windows(peer),
        "sampling": _sampling(peer), "drawn": _drawn(peer), "applied": _applied(peer),
        "networks": {name: _network(peer, name) for name in ("nnunet", "nnunet-resenc")},
    }  # fmt: skip


def _listed(array: np.ndarray) -> list:
    """Whole numbers as they are, others with a few digits."""
    if array.dtype.kind in "iu":
        return array.tolist()
    return np.round(array.astype(np.float64), DIGITS).tolist()


def _wave(shape: tuple[int, ...], speed: float) -> np.ndarray:
    """Numbers between -1 and 1 that any program can make again."""
    wave = np.sin(speed * np.arange(np.prod(shape), dtype=np.float64) ** 1.3)
    return np.round(wave, DIGITS).reshape(shape)


def _plans(peer: Peer) -> list[dict[str, Any]]:
    facts = [made_up_facts(number) for number in PLANS]
    raws = [
        datasets.planned_only(peer.raw, peer.prepared, number, one)
        for number, one in zip(PLANS, facts, strict=True)
    ]
    jobs = [
        {"dataset": raw.name, "planner": "plain", "name": raw.name, "spacing": None} for raw in raws
    ]
    plans, _ = peer.run("plan", {"jobs": jobs})
    found = []
    for raw, one in zip(raws, facts, strict=True):
        configurations = plans[raw.name]["configurations"]
        wanted = {name: _short(configurations[name]) for name in ("2d", "3d_fullres")}
        found.append({
            "spacings": one["spacings"], "shapes": one["shapes_after_crop"],
            "axes": plans[raw.name]["transpose_forward"], **wanted,
            "lowres": "3d_lowres" in configurations,
        })  # fmt: skip
    return found


def _short(configuration: dict[str, Any]) -> dict[str, Any]:
    built = configuration["architecture"]["arch_kwargs"]
    return {
        "patch": configuration["patch_size"], "spacing": configuration["spacing"],
        "batch": configuration["batch_size"], "batch_dice": configuration["batch_dice"],
        "strides": built["strides"], "kernels": built["kernel_sizes"],
        "features": built["features_per_stage"],
    }  # fmt: skip


def _pieces(peer: Peer) -> dict[str, Any]:
    image = _wave((5, 7, 6), 0.37)
    label = np.digitize(_wave((5, 7, 6), 0.11), (-0.6, 0.0, 0.5)).astype(np.int16) - 1
    arrays = {
        "image": image.astype(np.float32), "label": label,
        "logits": (3 * _wave((2, 3, 4, 3, 4), 0.29)).astype(np.float32),
        "target": np.digitize(_wave((2, 4, 3, 4), 0.17), (-0.3, 0.4)),
    }  # fmt: skip
    grids = (
        ((8, 5, 11), (1.0, 1.0, 1.0), (0.6, 1.4, 0.55)),
        ((8, 5, 9), (5.0, 0.8, 0.8), (3.1, 1.1, 0.5)),
        ((5, 14, 3), (1.0, 1.0, 1.0), (1.0, 0.5, 2.0)),
    )
    settings = {
        "resampling": [
            {"shape": shape, "spacing": old, "new_spacing": new} for shape, old, new in grids
        ],
        "epochs": [0, 1, 250, 999], "last": 1000,
    }  # fmt: skip
    values, found = peer.run("pieces", settings, arrays)
    return settings | values | {
        name: _listed(array) for name, array in (arrays | found).items()
    }  # fmt: skip


def _windows(peer: Peer) -> dict[str, Any]:
    axes = [(n, p, 0.5) for p in (8, 20, 28, 96) for n in (p, p + 1, 2 * p, 3 * p + 7, 143, 390)]
    patch = (4, 8, 6)
    values, found = peer.run("windows", {"axes": axes, "patches": [patch]})
    return {"axes": axes, "steps": values["steps"], "patch": patch, "map": _listed(found["0"])}


def _sampling(peer: Peer) -> dict[str, int]:
    settings = {"batches": [2, 3, 7, 12, 13, 30, 49], "windows": [], "draws": 0, "seed": 0}
    return peer.run("sampling", settings)[0]


def _drawn(peer: Peer) -> list[dict[str, Any]]:
    """Of each kind of patch: what is planned, how often each transform, and its quantiles."""
    settings = {"patches": PATCHES, "channels": CHANNELS, "draws": DRAWS, "seed": SEED}
    values, found = peer.run("augmentation", settings)
    result = []
    for index, (patch, facts) in enumerate(zip(PATCHES, values["patches"], strict=True)):
        start = f"{index} "
        mine = {k.removeprefix(start): v for k, v in found.items() if k.startswith(start)}
        angles, scales = angles_and_scales(mine.pop("affine"))
        mirrored = mine.pop("mirror")
        chosen = {k: v for k, v in mine.items() if k.endswith(" chosen")}
        shares = {k.removesuffix(" chosen"): v for k, v in chosen.items()} | {
            "rotation": np.abs(angles).max(axis=1) > TURNED,
            "scaling": np.abs(scales - 1) > TURNED,
            "mirror": mirrored,
        }
        ranges = {k: v for k, v in mine.items() if k not in chosen} | {
            # The last axis is lowered in a plane and in a volume.
            "low_resolution": mine["low_resolution"][..., -1],
            "angle": angles[np.abs(angles) > TURNED],
            "scale": scales[np.abs(scales - 1) > TURNED],
        }
        result.append({
            "patch": patch, **facts,
            "shares": {name: float(np.mean(one)) for name, one in shares.items()},
            "quantiles": {
                name: _listed(np.nanquantile(one, np.linspace(0, 1, 21)))
                for name, one in ranges.items()
            },
        })  # fmt: skip
    return result


def _applied(peer: Peer) -> dict[str, Any]:
    given, arrays = given_parameters(3, (6, 6, 6), (4, 4, 4))
    settings = {"patches": [], "channels": CHANNELS, "draws": 0, "seed": SEED}
    arrays["image"] = np.round(arrays["image"], DIGITS)
    _, found = peer.run("augmentation", settings | given, arrays)
    return given | {name: _listed(array) for name, array in (arrays | found).items()}


def _network(peer: Peer, name: str) -> dict[str, Any]:
    torch.manual_seed(0)
    network = build(spec(name), TINY, 1, 3)
    one = job(name, TINY, channels=1, classes=3)
    image = _wave((1, 1, *TINY.patch), 0.23).astype(np.float32)
    listed, _ = peer.run("network", {"jobs": {"a": one}}, {"a input": image})
    shapes = names.theirs(network, listed["a"])
    weights = {
        key: (0.5 * _wave(value.shape, 0.1 + 0.01 * index)).astype(np.float32)
        for index, (key, value) in enumerate(shapes.items())
    }
    arrays = {f"a weight {key}": value for key, value in weights.items()}
    _, found = peer.run("network", {"jobs": {"a": one}}, arrays | {"a input": image})
    return {
        "topology": TINY.model_dump(), "input": _listed(image),
        "weights": {names.ours(key): _listed(value) for key, value in weights.items()},
        "logits": _listed(found["a logits 0"]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, required=True, help="of nnU-Net's environment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        content = collect(Peer(options.peer_python, Path(folder)))
    FILE.write_text(json.dumps(content) + "\n", encoding="utf-8")
    print(f"{FILE}: {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
