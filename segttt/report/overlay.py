"""One picture of one case: the truth above, the prediction below, on three planes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Integer, Num

from segttt.report.style import colour, plain
from segttt.shapes import Triple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NIGHT, FAINT, BRIGHT = "#0e1116", "#93a1b0", "#eef2f6"
FILL = 0.35  # opacity of a label; the anatomy stays visible
HEIGHT, GAP, TOP, DPI = 2.9, 0.08, 0.36, 150  # inches, but for the last
LEGEND_ROW, LEGEND_GAP, LETTER = 0.25, 0.5, 0.08  # inches
SLIMMEST, WIDEST = 0.5, 2.0  # width over height of a panel; beyond, the picture gets margins

AnyLabels = Integer[np.ndarray, "z y x"]


@dataclass(frozen=True)
class Plane:
    """A section across one array axis."""

    name: str
    across: int
    edges: tuple[str, str, str, str]
    """What the left, right, top and bottom edge are called."""

    def section(self, volume: np.ndarray, at: Sequence[int]) -> np.ndarray:
        """Rows run down the picture: to posterior, or to inferior."""
        rows = np.take(volume, at[self.across], axis=self.across)
        return rows if self.across == 0 else rows[::-1]

    def size_mm(self, shape: Sequence[int], spacing_mm: Triple) -> tuple[float, float]:
        """Height and width."""
        high, wide = (i for i in range(3) if i != self.across)
        return shape[high] * spacing_mm[high], shape[wide] * spacing_mm[wide]


PICTURE = (Plane("", 0, ("", "", "", "")),)
PLANES = (
    Plane("axial", 0, ("R", "L", "A", "P")),
    Plane("coronal", 1, ("R", "L", "S", "I")),
    Plane("sagittal", 2, ("A", "P", "S", "I")),
)


def overlay_png(
    image: Num[np.ndarray, "*channels z y x"],
    truth: AnyLabels,
    prediction: AnyLabels,
    names: Mapping[int, str],
    *,
    spacing_mm: Triple = (1.0, 1.0, 1.0),
    title: str = "",
) -> bytes:
    """Draw a case in the canonical orientation (superior, posterior, left) as a PNG.

    The planes are those where the true labels show best. A picture (one slice) has one column, and
    its colours where it has three channels; otherwise the first channel is drawn, in a grey window
    around the intensities of the labels.
    """
    from matplotlib.figure import Figure

    planes = PLANES if truth.shape[0] > 1 else PICTURE
    at = _best_slices(truth if np.isin(truth, list(names)).any() else prediction, list(names))
    shown = brightness(image, truth)
    sizes = [plane.size_mm(truth.shape, spacing_mm) for plane in planes]
    widths = [HEIGHT * min(max(wide / high, SLIMMEST), WIDEST) for high, wide in sizes]
    total = sum(widths) + GAP * (len(widths) + 1)
    entry = LEGEND_GAP + LETTER * max(map(len, names.values()), default=0)
    columns = max(1, min(len(names), int(total / entry)))
    bottom = LEGEND_ROW * -(-len(names) // columns) + 2 * GAP
    with plain(**{"text.color": BRIGHT}):
        height = bottom + 2 * HEIGHT + GAP + (TOP if title else GAP)
        figure = Figure((total, height), facecolor=NIGHT, dpi=DPI)
        for row, (word, labels) in enumerate((("Prediction", prediction), ("Truth", truth))):
            left = GAP
            for plane, size, width in zip(planes, sizes, widths, strict=True):
                axes = _panel(figure, (left, bottom + row * (HEIGHT + GAP), width, HEIGHT))
                _draw(axes, plane.section(shown, at), plane.section(labels, at), size, list(names))
                _write_edges(axes, plane)
                left += width + GAP
            _write(figure.axes[row * len(planes)], word, 0.02, 0.98, fontsize=11, weight="bold")
        _legend(figure, names, columns)
        _headline(figure, title)
        png = BytesIO()
        figure.savefig(png, format="png", facecolor=NIGHT, metadata={"Software": "segttt"})
    return png.getvalue()


def _best_slices(labels: AnyLabels, values: Sequence[int]) -> tuple[int, ...]:
    """Per axis the slice that shows most of all labels, each as a share of its largest section."""
    best = []
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        areas = np.array([(labels == value).sum(axis=others) for value in values])
        shares = areas / np.maximum(areas.max(axis=1, keepdims=True), 1)
        score = shares.sum(axis=0)
        best.append(int(score.argmax()) if score.any() else len(score) // 2)
    return tuple(best)


def brightness(image: np.ndarray, truth: AnyLabels) -> np.ndarray:
    """Grey [z, y, x] or colour [z, y, x, 3], 0 black to 1 white.

    Three channels of one slice are colours; otherwise the first channel is shown, in a window
    around the intensities of the labels.
    """
    if image.ndim == 4 and image.shape[0] == 3 and image.shape[1] == 1:
        low, high = float(image.min()), float(image.max())
        return (np.moveaxis(image, 0, -1) - low) / max(high - low, 1e-6)
    grey = (image if image.ndim == 3 else image[0]).astype(np.float32)
    low, high = np.percentile(grey[truth > 0] if truth.any() else grey, (1, 99))
    margin = high - low if truth.any() else 0.0
    low, high = max(low - 1.2 * margin, grey.min()), min(high + 0.6 * margin, grey.max())
    return np.clip((grey - low) / max(high - low, 1e-6), 0, 1)


def _panel(figure: "Figure", inches: tuple[float, float, float, float]) -> "Axes":
    left, bottom, width, height = inches
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.set_axis_off()
    return axes


def _draw(
    axes: "Axes",
    shown: np.ndarray,
    labels: np.ndarray,
    size_mm: tuple[float, float],
    values: Sequence[int],
) -> None:
    """Anatomy, and each label as a veil with a sharp edge, in millimetres."""
    from matplotlib.colors import to_rgb

    (rows, columns), (high, wide) = labels.shape, size_mm
    extent = (0.0, wide, high, 0.0)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="bilinear")
    x = (np.arange(-1, columns + 1) + 0.5) * wide / columns
    y = (np.arange(-1, rows + 1) + 0.5) * high / rows
    for position, value in enumerate(values):
        mask = np.pad((labels == value).astype(np.float32), 1)
        if mask.any():
            rgb = to_rgb(colour(position))
            axes.contourf(x, y, mask, levels=(0.5, 1.5), colors=[(*rgb, FILL)], antialiased=True)
            axes.contour(x, y, mask, levels=(0.5,), colors=[rgb], linewidths=1.1)
    axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")


def _write_edges(axes: "Axes", plane: Plane) -> None:
    places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.98), (0.5, 0.02))
    for letter, (x, y) in zip(plane.edges, places, strict=True):
        _write(axes, letter, x, y, color=FAINT, fontsize=8)


def _write(axes: "Axes", text: str, x: float, y: float, **look: Any) -> None:
    """Text at a place given as share of the panel, aligned to the nearest edge."""
    from matplotlib.patheffects import withStroke

    across = "left" if x < 0.3 else "right" if x > 0.7 else "center"
    up = "bottom" if y < 0.3 else "top" if y > 0.7 else "center"
    halo = [withStroke(linewidth=2, foreground=NIGHT)]
    axes.text(x, y, text, ha=across, va=up, transform=axes.transAxes, path_effects=halo, **look)


def _legend(figure: "Figure", names: Mapping[int, str], columns: int) -> None:
    from matplotlib.patches import Patch

    figure.legend(
        handles=[Patch(color=colour(i), label=name) for i, name in enumerate(names.values())],
        loc="lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=0.9,
        handleheight=0.9,
        borderaxespad=0.4,
        columnspacing=1.6,
    )


def _headline(figure: "Figure", title: str) -> None:
    _, up = figure.get_size_inches()
    figure.text(0.5, 1 - TOP / 2 / up, title, ha="center", va="center", fontsize=11)
