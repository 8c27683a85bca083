"""What a page shows of one case: eight-bit images, cropped, and the outlines of two label maps."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Integer, Num, UInt8
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours
from skimage.transform import resize

from segttt.io.embed import nifti_bytes, picture_bytes
from segttt.report.overlay import brightness
from segttt.shapes import Triple

MARGIN_MM = 15.0  # around the labels, so that the neighbourhood can be recognised
LONGEST_EDGE = 768  # pixels of a picture on a page
SMOOTHED = 0.12  # pixels by which an outline may be straightened
SMALLEST_SHARE = 0.02  # of the voxels; below, nothing can be recognised any more
TAG_BYTES = 150  # around an outline
PLANES = ("axial", "coronal", "sagittal")

Labels = Integer[np.ndarray, "z y x"]


@dataclass(frozen=True)
class Display:
    """One case in the canonical orientation, ready to be shown; label i is the i-th name, or a
    number of an object."""

    image: np.ndarray
    """Grey [z, y, x] or colours [1, y, x, 3], eight bit."""
    truth: np.ndarray
    prediction: np.ndarray
    spacing_mm: Triple
    objects: bool = False
    """The maps number objects."""

    @property
    def flat(self) -> bool:
        """Whether this is a picture rather than a volume."""
        return self.truth.shape[0] == 1


@dataclass(frozen=True)
class Outline:
    """Closed lines around one label, as the data of an SVG path."""

    role: str
    """truth or prediction"""
    label: int
    path: str


@dataclass(frozen=True)
class Section:
    """One picture with outlines; lengths count the shorter edge of a pixel."""

    plane: str
    width: float
    height: float
    data: str
    """The picture as a data: address."""
    outlines: tuple[Outline, ...]

    @property
    def size(self) -> int:
        """Bytes on the page."""
        return len(self.data) + sum(len(one.path) + TAG_BYTES for one in self.outlines)


@dataclass(frozen=True)
class Packed:
    """A volume for the viewer: three NIfTI files in base64."""

    image: str
    truth: str
    prediction: str
    spacing_mm: Triple

    @property
    def size(self) -> int:
        """Bytes on the page."""
        return len(self.image) + len(self.truth) + len(self.prediction)


def display_of(
    image: Num[np.ndarray, "c z y x"],
    truth: Labels,
    prediction: Labels,
    spacing_mm: Triple,
    *,
    objects: bool = False,
) -> Display:
    """Crop a volume to its labels and a margin, and bring it to eight bits; pictures stay whole."""
    here = (slice(None),) * 3
    if truth.shape[0] > 1:
        here = crop_to_labels(truth, prediction, spacing_mm)
    true, found = truth[here], prediction[here]
    shown = np.rint(255 * brightness(image[:, *here], true)).astype(np.uint8)
    return Display(shown, true, found, spacing_mm, objects)


def crop_to_labels(truth: Labels, prediction: Labels, spacing_mm: Triple) -> tuple[slice, ...]:
    """The box around both label maps with a margin; everything where both are empty."""
    found = ndimage.find_objects(((truth > 0) | (prediction > 0)).astype(np.int8))
    if not found:
        return (slice(None),) * 3
    margins = [round(MARGIN_MM / step) for step in spacing_mm]
    return tuple(
        slice(max(0, part.start - more), part.stop + more)
        for part, more in zip(found[0], margins, strict=True)
    )


def coarser(display: Display, share: float) -> Display:
    """The display on fewer voxels, about `share` of them; the finest axes give first."""
    shape, axes = np.array(display.truth.shape), range(1 if display.flat else 0, 3)
    spacing = np.array(display.spacing_mm)
    step, wanted = spacing[list(axes)].min(), max(share, SMALLEST_SHARE) * shape.prod()
    while _on_step(shape, spacing, step, axes).prod() > wanted:
        step *= 1.02
    new = tuple(int(n) for n in _on_step(shape, spacing, step, axes))
    places = [
        np.minimum((np.arange(n) + 0.5) * old / n, old - 1).astype(int)
        for n, old in zip(new, shape, strict=True)
    ]
    colours = display.image.shape[3:]
    image: Any = resize(
        display.image, (*new, *colours), order=1, anti_aliasing=True, preserve_range=True
    )
    z, y, x = (float(s * old / n) for s, old, n in zip(spacing, shape, new, strict=True))
    return Display(
        np.rint(image).astype(np.uint8), display.truth[np.ix_(*places)],
        display.prediction[np.ix_(*places)], (z, y, x), display.objects,
    )  # fmt: skip


def _on_step(shape: np.ndarray, spacing: np.ndarray, step: float, axes: range) -> np.ndarray:
    """Voxels per axis where none of `axes` is finer than `step`."""
    new = shape.copy()
    for axis in axes:
        new[axis] = max(1, round(shape[axis] * min(1.0, spacing[axis] / step)))
    return new


def pack(display: Display) -> Packed:
    """The volume as files for the viewer; numbers of objects are folded into eight bits."""
    image, truth, prediction = (
        b64encode(nifti_bytes(_eight_bit(part), display.spacing_mm)).decode()
        for part in (display.image, display.truth, display.prediction)
    )
    return Packed(image, truth, prediction, display.spacing_mm)


def _eight_bit(values: np.ndarray) -> UInt8[np.ndarray, "z y x"]:
    return np.where(values > 255, (values - 1) % 255 + 1, values).astype(np.uint8)


def fit(display: Display, limit_bytes: float) -> tuple[Display, Packed]:
    """Pack a volume into `limit_bytes`, on a coarser grid where need be."""
    packed, share, shown = pack(display), 1.0, display
    while packed.size > limit_bytes and share > SMALLEST_SHARE:
        share *= 0.95 * limit_bytes / packed.size
        shown = coarser(display, share)
        packed = pack(shown)
    return shown, packed


def fit_picture(display: Display, names: Mapping[int, str], limit_bytes: float) -> Section:
    """Draw a picture in at most `limit_bytes`, with fewer pixels where need be."""
    longest, share = max(display.truth.shape), 1.0
    if longest > LONGEST_EDGE:
        share = (LONGEST_EDGE / longest) ** 2
    section = _section(coarser(display, share) if share < 1 else display, names, 0, 0)
    while section.size > limit_bytes and share > SMALLEST_SHARE:
        share *= 0.95 * limit_bytes / section.size
        section = _section(coarser(display, share), names, 0, 0)
    return section


def sections(display: Display, names: Mapping[int, str]) -> tuple[Section, ...]:
    """The slices of a volume where truth and prediction differ most, one per plane."""
    return tuple(_section(display, names, axis, _telling_slice(display, axis)) for axis in range(3))


def _telling_slice(display: Display, axis: int) -> int:
    others = tuple(i for i in range(3) if i != axis)
    differ = (display.truth != display.prediction).sum(axis=others)
    present = ((display.truth > 0) | (display.prediction > 0)).sum(axis=others)
    # Where both agree everywhere, the slice that holds most.
    return int(differ.argmax() if differ.any() else present.argmax())


def _section(display: Display, names: Mapping[int, str], axis: int, at: int) -> Section:
    def cut(volume: np.ndarray) -> np.ndarray:
        plane = np.take(volume, at, axis=axis)
        return plane if axis == 0 else plane[::-1]  # superior is up

    edges = [step for i, step in enumerate(display.spacing_mm) if i != axis]
    high, wide = (edge / min(edges) for edge in edges)
    pixels = np.ascontiguousarray(cut(display.image))
    content, media = picture_bytes(pixels)
    traced = []
    for role, volume in (("truth", display.truth), ("prediction", display.prediction)):
        plane = cut(volume)
        values = [0] if display.objects else list(names)
        for label in values:
            mask_of = plane if display.objects else (plane == label).astype(np.int8)
            if path := outline(mask_of, (high, wide)):
                traced.append(Outline(role, label, path))
    rows, columns = pixels.shape[:2]
    data = f"data:{media};base64,{b64encode(content).decode()}"
    plane = "" if display.flat else PLANES[axis]
    return Section(plane, columns * wide, rows * high, data, tuple(traced))


def outline(objects: Integer[np.ndarray, "y x"], pixel: tuple[float, float]) -> str:
    """Path around every number of a plane, each by itself; empty where there is none."""
    lines = []
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        if box is None:
            continue
        mask = np.pad(objects[box] == number, 1).astype(np.float32)
        corner = np.array([part.start for part in box]) - 0.5
        for line in find_contours(mask, 0.5):
            points = (approximate_polygon(line, SMOOTHED) + corner) * pixel
            places = [f"{_short(x)} {_short(y)}" for y, x in points[:-1]]
            lines.append(f"M{'L'.join(places)}Z")
    return "".join(lines)


def _short(length: float) -> str:
    return f"{length:.1f}".removesuffix(".0")
