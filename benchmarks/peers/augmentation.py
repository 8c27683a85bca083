"""Parity of the augmentation: what is drawn, and what the drawn parameters do."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage, stats

from benchmarks.peers.peer import Arrays, Peer
from benchmarks.peers.rows import SURE, Row, of_range, unequal
from segttt.config.network import Topology
from segttt.config.recipe import Augmentation
from segttt.data.augment import intensity
from segttt.data.augment.recipe import Draw, draw
from segttt.data.augment.spatial import Turn, apply_turn, reach
from segttt.planning.planner import plan_augmentation

DRAWS, CHANNELS, SEED = 20_000, 2, 7
IMAGE_BAR, LABEL_BAR = 1e-3, 1e-3
PATCHES = {
    "3D 40 x 56 x 40": (40, 56, 40),
    "3D 40 x 224 x 192": (40, 224, 192),
    "2D 320 x 320": (320, 320),
    "2D 384 x 640": (384, 640),
}
HALFWAY = "3D, an odd patch in an even window"
"""Scaling alone then leaves a plane of the patch exactly between two of the window."""
EQUALLY_NEAR = (
    "; of two equally near labels segttt takes the lower, nnU-Net that of the voxel of even index"
)
SAMPLES = (
    ("3D, given parameters", (24, 30, 28), (16, 20, 18)),
    ("2D, given parameters", (40, 44), (28, 30)),
    (HALFWAY, (24, 30, 28), (17, 21, 18)),
)
Values = dict[str, np.ndarray]


def compare(peer: Peer) -> list[Row]:
    """Distributions of every transform for each kind of patch, then the transforms themselves."""
    settings: dict[str, Any] = {
        "patches": list(PATCHES.values()), "channels": CHANNELS, "draws": DRAWS, "seed": SEED,
    }  # fmt: skip
    rows = []
    for title, shape, patch in SAMPLES:
        given, arrays = given_parameters(len(shape), shape, patch)
        values, found = peer.run("augmentation", settings | given, arrays)
        for index, (name, whole) in enumerate(PATCHES.items() if settings["patches"] else ()):
            start = f"{index} "
            drawn = {k.removeprefix(start): v for k, v in found.items() if k.startswith(start)}
            rows += [*_planned(name, whole, values["patches"][index]), *_drawn(name, whole, drawn)]
        settings |= {"patches": []}
        rows += _applied(title, given, arrays, found, halfway=title == HALFWAY)
    return rows


def _augmentation(patch: Sequence[int]) -> Augmentation:
    one = (1,) * len(patch)
    topology = Topology(patch=tuple(patch), strides=(one, one), kernels=(one, one), features=(1, 1))
    return plan_augmentation(topology, None)


def _planned(title: str, patch: Sequence[int], his: dict[str, Any]) -> list[Row]:
    ours = _augmentation(patch)
    pairs = (
        (ours.rotation_deg, round(his["degrees"], 6)), (ours.dummy_2d, his["flat"]),
        (list(reach(patch, ours)), his["reach"]), (list(range(len(patch))), his["mirror_axes"]),
    )  # fmt: skip
    wrong = sum(a != b for a, b in pairs)
    name = "augmentation: rotation, plane or volume, window read, mirrored axes"
    return [Row(name, title, wrong, 0, "values that differ")]


def _drawn(title: str, patch: Sequence[int], found: Values) -> list[Row]:
    recipe, rank = _augmentation(patch), len(patch)
    random = np.random.default_rng(SEED)
    draws = [
        draw(random, recipe, rank=rank, channels=CHANNELS, mirror_axes=range(rank))
        for _ in range(DRAWS)
    ]
    rows = []
    for name, ours, theirs in _samples(draws, found, rank, flat=recipe.dummy_2d):
        shares = stats.contingency.chi2_contingency if ours.dtype == bool else None
        least = _shares(ours, theirs) if shares else _spreads(ours, theirs)
        test = "chi-square" if shares else "Kolmogorov-Smirnov"
        rows.append(Row(f"augmentation: {name}", title, least, SURE, test, probability=True))
    return rows


def _shares(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Least p-value that each column is true equally often."""
    least = 1.0
    for a, b in zip(ours.reshape(len(ours), -1).T, theirs.reshape(len(theirs), -1).T, strict=True):
        counts = np.array([[a.sum(), (~a).sum()], [b.sum(), (b < 0.5).sum()]], dtype=float)
        least = min(least, float(stats.chi2_contingency(counts).pvalue))
    return least


def _spreads(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Least p-value that each column, and the difference of the first two, come from one source."""
    a, b = ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1)
    pairs = list(zip(a.T, b.T, strict=True))
    if a.shape[1] > 1:
        pairs.append((a[:, 0] - a[:, 1], b[:, 0] - b[:, 1]))
    return min(float(stats.ks_2samp(x, y).pvalue) for x, y in pairs)


def _samples(
    draws: Sequence[Draw], found: Values, rank: int, *, flat: bool
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, our values and nnU-Net's: booleans for a probability, numbers for a range."""

    def ours(field: str, pick: Callable[[Any], Any]) -> np.ndarray:
        return np.array([pick(v) for one in draws if (v := getattr(one, field)) is not None])

    def chosen(field: str) -> np.ndarray:
        return np.array([getattr(one, field) is not None for one in draws])

    result = _turns(draws, found["affine"])
    mirrored = np.array([[axis in one.mirrored for axis in range(rank)] for one in draws])
    result.append(("mirror, probability per axis", mirrored, found["mirror"]))
    for field in ("noise", "blur", "brightness", "contrast", "low_resolution", "gamma_inverted",
                  "gamma"):  # fmt: skip
        name = field.replace("_", " ")
        result.append((f"{name}, probability", chosen(field), found[f"{field} chosen"]))
        if field in ("blur", "low_resolution"):
            on = ours(field, lambda v: [one not in ((), None) for one in v])
            theirs = ~np.isnan(found[field]).any(axis=-1)
            result.append((f"{name}, probability per channel", on, theirs))
    result.append(("noise, deviation", ours("noise", lambda v: v[0]), found["noise"]))
    for field in ("brightness", "contrast", "gamma", "gamma_inverted"):
        name = field.replace("_", " ")
        result.append((f"{name}, factor", ours(field, list), found[field]))
    sigmas = np.array([s for one in draws for s in one.blur or () if s])
    result.append(("blur, sigma per axis", sigmas, _rows(found["blur"])))
    scales = np.array([s for one in draws for s in one.low_resolution or () if s is not None])
    theirs = _rows(found["low_resolution"])
    result.append(("low resolution, scale", scales, theirs[:, -1]))
    if flat and not (theirs[:, 0] == 1).all():
        raise RuntimeError("nnU-Net lowers the resolution across the slices, too")
    return result


def _rows(values: np.ndarray) -> np.ndarray:
    """The parameters of channels that are not left alone."""
    whole = values.reshape(-1, values.shape[-1])
    return whole[~np.isnan(whole).any(axis=1)]


def _turns(draws: Sequence[Draw], affine: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    turns = [one.turn or Turn((0.0,), 1.0) for one in draws]
    scales = np.array([turn.scale for turn in turns])
    rotated = np.array([any(turn.angles_deg) for turn in turns])
    his_angles, his_scales = angles_and_scales(affine)
    his_rotated, his_scaled = np.abs(his_angles).max(axis=1) > 1e-9, np.abs(his_scales - 1) > 1e-9
    angles = np.array([turn.angles_deg for turn in turns if any(turn.angles_deg)])
    return [
        ("rotation, probability", rotated, his_rotated),
        ("rotation, angles", angles, his_angles[his_rotated]),
        ("scaling, probability", scales != 1, his_scaled),
        ("scaling, factor", scales[scales != 1], his_scales[his_scaled]),
    ]


def angles_and_scales(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Degrees about the axes of Rz Ry Rx, or of a rotation in the plane, and the scale."""
    scales = np.abs(np.linalg.det(affine)) ** (1 / affine.shape[-1])
    turned = affine / scales[:, None, None]
    if affine.shape[-1] == 2:
        return np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))[:, None], scales
    angles = np.stack(
        [
            np.arctan2(turned[:, 2, 1], turned[:, 2, 2]),
            -np.arcsin(np.clip(turned[:, 2, 0], -1, 1)),
            np.arctan2(turned[:, 1, 0], turned[:, 0, 0]),
        ],
        axis=1,
    )
    return np.degrees(angles), scales


def given_parameters(
    rank: int, shape: Sequence[int], patch: Sequence[int]
) -> tuple[dict[str, Any], Arrays]:
    """Parameters, and an image with a label map that they act on."""
    random = np.random.default_rng(1)
    image = ndimage.gaussian_filter(random.normal(size=(CHANNELS, *shape)), (0, *[1.0] * rank))
    label = np.digitize(image[0], np.quantile(image[0], (0.5, 0.7, 0.85))).astype(np.int16) - 1
    angles = [[0.2, -0.4, 0.1], [0.0, 0.0, 0.0], [-0.5, 0.3, 0.5], [0.1, 0.0, 0.0]]
    turns = [
        {"angles": one[:rank], "scale": scale}
        for one, scale in zip(angles, (1.2, 1.37, 0.8, 1.0), strict=True)
    ]
    sigmas = [[[0.5, 0.7, 0.99][:rank], [0.55, 0.6, 0.85][:rank]],
              [[0.9, 0.95, 1.0][:rank], [0.75, 0.58, 0.92][:rank]]]  # fmt: skip
    given = {
        "patch": list(patch), "turns": [*turns, {"angles": None, "scale": 1.0}],
        "sigmas": sigmas, "factors": [0.8, 1.23], "scales": [0.5625, 0.8125],
    }  # fmt: skip
    return given, {"image": image.astype(np.float32), "label": label}


def _applied(
    title: str, given: dict[str, Any], arrays: Arrays, found: Arrays, *, halfway: bool
) -> list[Row]:
    image, label = torch.from_numpy(arrays["image"]), torch.from_numpy(arrays["label"])
    rank, factors = image.ndim - 1, given["factors"]
    images, labels = [], []
    for index, one in enumerate(given["turns"][:-1]):
        turned, truth = apply_turn(image, label, given["patch"], _turn(one, rank))
        images.append(of_range(turned.numpy(), found[f"turn {index}"]))
        labels.append(unequal(truth.numpy(), found[f"turned label {index}"]))
    ours = {
        f"blur {index}": intensity.blur(image, sigmas)
        for index, sigmas in enumerate(given["sigmas"])
    } | {
        "brightness": intensity.scale_brightness(image, factors),
        "contrast": intensity.stretch_contrast(image, factors),
        "gamma": intensity.gamma(image, factors, inverted=False),
        "gamma_inverted": intensity.gamma(image, factors, inverted=True),
        "low_resolution": intensity.lower_resolution(image, given["scales"], keep_first_axis=False),
    }
    start = [(n - p) // 2 for n, p in zip(label.shape, given["patch"], strict=True)]
    centre = tuple(slice(a, a + p) for a, p in zip(start, given["patch"], strict=True))
    last = len(given["turns"]) - 1
    still = of_range(arrays["image"][:, *centre], found[f"turn {last}"])
    turned = [
        Row("rotation and scaling, image", title, max(images), IMAGE_BAR, "of the range"),
        Row("rotation and scaling, label map", title, max(labels), LABEL_BAR,
            "share of voxels" + (EQUALLY_NEAR if halfway else ""), intended=halfway),
    ]  # fmt: skip
    if halfway:
        return turned
    return [
        *turned,
        Row("neither rotated nor scaled", title, still, 0.0, "of the range"),
        *(
            Row(name.replace("_", " "), title, of_range(one.numpy(), found[name]), IMAGE_BAR,
                "of the range")
            for name, one in ours.items()
        ),
    ]  # fmt: skip


def _turn(one: dict[str, Any], rank: int) -> Turn:
    """nnU-Net's angles in radians as ours, which run the other way."""
    angles = one["angles"] if rank == 3 else one["angles"][-1:]
    return Turn(tuple(-float(np.degrees(angle)) for angle in angles), one["scale"])
