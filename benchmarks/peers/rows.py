"""The rows of the table of parity, and how far two arrays lie apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SURE = 1e-3
"""Two samples whose statistics are rarer than this do not come from one distribution."""


@dataclass(frozen=True)
class Row:
    """One quantity of one dataset, its largest difference, and the bar that it has to meet."""

    quantity: str
    dataset: str
    difference: float
    bar: float
    note: str = ""
    probability: bool = False
    """The figure is the p-value of a test, and the bar its lower bound."""
    intended: bool = False
    """The note says why segttt differs on purpose."""

    @property
    def met(self) -> bool:
        """Whether the bar is met."""
        return self.difference >= self.bar if self.probability else self.difference <= self.bar


def of_range(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference as a share of the range of theirs; infinite where shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    span = float(theirs.max() - theirs.min()) or 1.0
    return float(np.abs(ours.astype(np.float64) - theirs).max()) / span


def unequal(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of voxels that differ."""
    return 1.0 if ours.shape != theirs.shape else float((ours != theirs).mean())


def relative(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Largest relative difference of numbers."""
    first, second = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if first.shape != second.shape:
        return float("inf")
    scale = np.maximum(np.abs(second), 1e-12)
    return float((np.abs(first - second) / scale).max(initial=0.0))


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| quantity | dataset | largest difference | bar | met | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        bar = f"p ≥ {row.bar:g}" if row.probability else f"{row.bar:g}"
        found = f"p = {row.difference:.2g}" if row.probability else f"{row.difference:.2g}"
        met = "yes" if row.met else "no, on purpose" if row.intended else "**no**"
        lines.append(f"| {row.quantity} | {row.dataset} | {found} | {bar} | {met} | {row.note} |")
    return "\n".join(lines)
