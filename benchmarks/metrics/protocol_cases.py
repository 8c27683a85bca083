"""Random files on which evaluations tend to disagree: empty, missing, flat, tied, at the border."""

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from segttt.preprocessing.instances import interior_and_boundary

CROPPED = (5, 6, 10)
SHAPE = (26, 36, 40)
SPACINGS = [(3.0, 1.5, 1.5), (2.5, 0.8, 0.8), (5.0, 0.7, 0.7), (1.0, 1.0, 1.0), (1.25, 0.9, 1.3)]


def write_volumes(folder: Path, cases: int, *, flat_organs: bool) -> None:
    """Thirteen organs each; with `flat_organs` those that are cropped lie on one slice."""
    random = np.random.default_rng(1 if flat_organs else 0)
    for case in range(cases):
        truth, prediction = np.zeros((2, *SHAPE), np.uint8)
        for label in random.permutation(np.arange(1, 14)):
            flat = flat_organs and label in CROPPED
            _add_organ(truth, prediction, int(label), random, flat=flat)
        if not flat_organs:
            _mend(truth, random)
        spacing = SPACINGS[case % len(SPACINGS)]
        for side, values in (("truth", truth), ("found", prediction)):
            image = sitk.GetImageFromArray(values)
            image.SetSpacing(tuple(float(np.float32(mm)) for mm in spacing[::-1]))
            (folder / side).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(folder / side / f"case_{case:03d}.nii.gz"))


def _add_organ(
    truth: np.ndarray,
    prediction: np.ndarray,
    label: int,
    random: np.random.Generator,
    *,
    flat: bool,
) -> None:
    """An organ and what a network makes of it: near, far, invented, missed or forgotten."""
    fate = random.choice(
        ["near", "far", "invented", "missed", "absent"], p=(0.7, 0.1, 0.06, 0.07, 0.07)
    )
    centre, radii = random.uniform(0.2, 0.8, 3) * SHAPE, random.uniform(1.5, 8, 3)
    if flat:
        centre[0], radii[0] = round(centre[0]), 0.5
    if fate in ("near", "far", "missed"):
        truth[_ellipsoid(centre, radii)] = label
    if fate in ("near", "far", "invented"):
        error = 1.2 if fate == "near" else 5.0
        moved = centre + random.normal(0, error, 3)
        prediction[_ellipsoid(moved, radii * random.uniform(0.7, 1.4, 3))] = label


def _ellipsoid(centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    return ((((np.indices(SHAPE).T - centre) / radii) ** 2).sum(-1) <= 1).T


def _mend(truth: np.ndarray, random: np.random.Generator) -> None:
    """Give a cropped organ that others left on one slice a second one: the scripts would fail."""
    for label in CROPPED:
        slices = np.flatnonzero((truth == label).any(axis=(1, 2)))
        if len(slices) == 1:
            beside = slices[0] + (1 if slices[0] + 1 < SHAPE[0] else -1)
            y, x = random.integers(0, SHAPE[1]), random.integers(0, SHAPE[2])
            truth[beside, y, x] = label


def write_pictures(folder: Path, cases: int) -> None:
    """Up to seven tools each; in some pictures they leave no background, in some there is one."""
    random = np.random.default_rng(2)
    for side in ("truth", "found"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    for case in range(cases):
        truth, prediction = np.zeros((2, 48, 64), np.uint8)
        for label in range(1, 8):
            fate = random.choice(["near", "invented", "missed", "absent"], p=(0.4, 0.1, 0.1, 0.4))
            if label == 1 and case % 3 == 0:
                fate = "near"  # no picture is empty: the scripts would fail
            box = [*np.sort(random.integers(0, 49, 2)), *np.sort(random.integers(0, 65, 2))]
            if fate in ("near", "missed"):
                truth[box[0] : box[1] + 1, box[2] : box[3] + 1] = label
            if fate in ("near", "invented"):
                y, x = np.maximum(random.integers(-3, 4, 2) + np.array(box)[[0, 2]], 0)
                prediction[y : box[1] + 2, x : box[3] + 1] = label
        if case % 10 == 1:
            truth[truth == 0] = 2
        if case % 10 in (1, 2):
            prediction[prediction == 0] = 3
        if not (truth.any() or prediction.any()):
            truth[0, 0] = 1
        imageio.imwrite(folder / "truth" / f"frame_{case:03d}.png", truth)
        imageio.imwrite(folder / "found" / f"frame_{case:03d}.png", prediction)


def write_cells(folder: Path, cases: int, *, side: int) -> None:
    """Numbered cells and the classes that a network predicts for them.

    `labels` holds them under the names that the script wants. Every tenth picture has cells whose
    overlap is exactly one half; some have no true cell, some no predicted one.
    """
    random = np.random.default_rng(3)
    for part in ("truth", "labels", "found"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for case in range(cases):
        numbered = _discs(side, random)
        classes = _classes(numbered, random)
        if case % 10 == 3:
            numbered, classes = _ties(side, random)
        if case % 25 == 4:
            numbered[:] = 0
        if case % 25 == 5:
            classes[:] = 0
        name = f"cell_{case:05d}"
        imageio.imwrite(folder / "truth" / f"{name}.tiff", numbered.astype(np.uint16))
        imageio.imwrite(folder / "labels" / f"{name}_label.tiff", numbered.astype(np.uint16))
        imageio.imwrite(folder / "found" / f"{name}.png", classes)
    manifest = {"labels": {"1": "interior", "2": "boundary"}, "instances": True}
    (folder / "found" / "manifest.json").write_text(json.dumps(manifest))


def _discs(side: int, random: np.random.Generator) -> np.ndarray:
    """Cells as discs, many of them touching, some at the border; drawn one over the other."""
    numbered = np.zeros((side, side), np.int32)
    for number in range(1, int(random.integers(0, 40)) * max(1, side // 500) + 1):
        radius = random.uniform(2, 12)
        centre = random.uniform(0, side, 2)
        low = np.maximum(centre - radius, 0).astype(int)
        high = np.minimum(centre + radius + 1, side).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        y, x = np.ogrid[box]
        numbered[box][(y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2] = number
    return numbered


def _classes(numbered: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Interior and boundary of cells that were moved and partly lost, with specks."""
    moved = np.roll(numbered, random.integers(-2, 3, 2), axis=(0, 1))
    lost = random.random(moved.max() + 1) < 0.15
    moved = np.where(lost[moved], 0, moved)
    classes = np.asarray(interior_and_boundary(moved[None])[0]).astype(np.uint8)
    if random.random() < 0.5:  # a network that draws the interior larger
        classes[ndimage.binary_dilation(classes == 1) & (classes == 2)] = 1
    classes[random.random(classes.shape) < 0.002] = 1
    return classes


def _ties(side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles half of which is found, or that are found twice as large: IoU 1/2."""
    numbered, classes = np.zeros((side, side), np.int32), np.zeros((side, side), np.uint8)
    for row in range(side // 16):
        for column in range(side // 16):
            y, x = 16 * row + random.integers(0, 4), 16 * column + random.integers(0, 4)
            height, width = (int(n) for n in random.integers(2, 6, 2))
            true, found = random.permutation([width, 2 * width])
            numbered[y : y + height, x : x + true] = 1 + numbered.max()
            classes[y : y + height, x : x + found] = 1
    return numbered, classes
