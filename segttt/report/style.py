"""The look of all figures, whatever the reader's own matplotlib settings."""

import colorsys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INK, PAPER, GRID = "#22303c", "#ffffff", "#dfe5ea"
BLUE, ORANGE, GREEN = "#2274a5", "#e4572e", "#2a9d6f"

# Far apart in hue and in lightness, so that neighbours differ for colour-blind readers too.
PALETTE = (
    *("#38d9a9", "#ff6b6b", "#ffd43b", "#4dabf7", "#da77f2", "#ff922b", "#a9e34b", "#faa2c1"),
    *("#22b8cf", "#9775fa", "#e8c39e", "#ced4da", "#2f9e44", "#1c7ed6", "#f06595", "#a1662f"),
)
GOLDEN = 0.618034  # turns of hue by the golden ratio never come back to a used colour


def colour(position: int) -> str:
    """Colour of the label at a position of the list of labels, 0 first."""
    if position < len(PALETTE):
        return PALETTE[position]
    red, green, blue = colorsys.hls_to_rgb(position * GOLDEN % 1, 0.68, 0.75)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


@contextmanager
def plain(**changes: Any) -> Iterator[None]:
    """Draw with matplotlib's defaults, our font sizes and a fixed seed for the ids in an SVG."""
    from matplotlib import style

    ours = {
        "svg.hashsalt": "segttt",
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.parse_math": False,  # a dollar in a name is a dollar
        "text.color": INK,
        "axes.edgecolor": GRID,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with style.context(["default", ours | changes]):
        yield
