"""The course of a training as one SVG: loss, pseudo-Dice and learning rate."""

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from segttt.report.style import BLUE, GREEN, GRID, INK, ORANGE, PAPER, colour, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Epochs = Sequence[Mapping[str, Any]]


def curves_svg(metrics: list[dict[str, Any]], names: Sequence[str] = ()) -> str:
    """Draw what was recorded per epoch; equal records give equal text.

    A record holds `epoch` and what there is of `train_loss`, `val_loss`, `mean_dice`, `lr` (numbers
    or None) and `dice` (one number or None per foreground class, named by `names`).
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with plain():
        figure = Figure(figsize=(8, 7.2), facecolor=PAPER, layout="constrained")
        loss, dice, rate = figure.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": (3, 3, 1.3)}
        )
        for axes, title in ((loss, "Loss"), (dice, "Pseudo-Dice"), (rate, "Learning rate")):
            _furnish(axes, title)
        _draw_loss(loss, metrics)
        _draw_dice(dice, metrics, names)
        _line(rate, metrics, "lr", ORANGE, "")
        rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        rate.set_ylim(bottom=0)
        rate.set_xlabel("Epoch")
        rate.xaxis.set_major_locator(MaxNLocator(integer=True))
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": "segttt"})
    return text.getvalue()


def _furnish(axes: "Axes", title: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold", fontsize=10)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_loss(axes: "Axes", metrics: Epochs) -> None:
    _line(axes, metrics, "train_loss", BLUE, "training")
    _line(axes, metrics, "val_loss", ORANGE, "validation")
    _legend(axes)


def _draw_dice(axes: "Axes", metrics: Epochs, names: Sequence[str]) -> None:
    classes = max((len(record.get("dice") or ()) for record in metrics), default=0)
    for i in range(classes):
        name = names[i] if i < len(names) else f"class {i + 1}"
        points = [(record["epoch"], record["dice"][i]) for record in metrics if record.get("dice")]
        _curve(axes, points, colour(i), name, linewidth=1.0)
    _line(axes, metrics, "mean_dice", INK if classes else GREEN, "mean")
    axes.set_ylim(0, 1)
    _legend(axes)


def _line(axes: "Axes", metrics: Epochs, key: str, ink: str, label: str) -> None:
    _curve(axes, [(record["epoch"], record.get(key)) for record in metrics], ink, label)


def _curve(
    axes: "Axes",
    points: Sequence[tuple[int, float | None]],
    ink: str,
    label: str,
    linewidth: float = 1.7,
) -> None:
    known = [(epoch, value) for epoch, value in points if value is not None]
    if known:
        epochs, values = zip(*known, strict=True)
        # A single epoch would be an invisible line.
        marker = "o" if len(known) == 1 else ""
        axes.plot(epochs, values, color=ink, linewidth=linewidth, marker=marker, label=label)


def _legend(axes: "Axes") -> None:
    if axes.get_legend_handles_labels()[0]:
        columns = 1 + len(axes.lines) // 8
        axes.legend(
            frameon=False, fontsize=8, ncols=columns, loc="center left", bbox_to_anchor=(1, 0.5)
        )
