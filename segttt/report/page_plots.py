"""Where the marks of a page's plots lie, in percent of the width; the templates draw them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segttt.report.style import colour

LANES = (0, 2, -2, 1, -1, 3, -3)  # of points beside each other, in the order they fill
TOUCHING = 1.0  # percent of the width within which two points share no lane
STEPS = (1, 2, 2.5, 5, 10)
TICKS = 5
MOST_POINTS = 400  # of a curve; more cannot be told apart on a screen
MOST_CASES = 250  # of a strip; beyond, only every few of the cases between the whiskers are drawn


@dataclass(frozen=True)
class Point:
    """One case in a strip."""

    id: str
    value: float
    at: float
    lane: int


@dataclass(frozen=True)
class Strip:
    """All cases of one label: a box from quartile to quartile, and a point per case."""

    name: str
    n: int
    median: float
    quartiles: tuple[float, float]
    """Percent of the width."""
    whiskers: tuple[float, float]
    """The last cases within 1.5 box lengths of the box (Tukey), percent of the width."""
    middle: float
    """Of the median, percent of the width."""
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Distribution:
    """One score over all cases, a strip per label."""

    key: str
    title: str
    digits: int
    """Decimals of a value."""
    strips: tuple[Strip, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Line:
    """One course over the epochs, as points of an SVG polyline on a 1000 x 1000 field."""

    name: str
    points: str
    last: float
    colour: str | None
    """None: the ink of the page."""
    marked: tuple[float, float] | None
    """Where there is a single epoch: its place in percent."""


@dataclass(frozen=True)
class Panel:
    """Lines over one axis."""

    title: str
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    """From the top."""
    epochs: tuple[Tick, ...]


def distribution(
    key: str, title: str, values: Mapping[str, Mapping[str, float]], *, share: bool
) -> Distribution | None:
    """Strips of `values` (label -> case -> score); None where no label has a value.

    The axis of a `share` runs to 1, from 0 or from the lowest case if all are above a half.
    """
    known = [score for cases in values.values() for score in cases.values()]
    if not known:
        return None
    low, high = min(known), max(known)
    ends = (min(0.0, low) if low < 0.5 else low, 1.0) if share else (min(0.0, low), high)
    ticks = _nice(*ends)
    start, stop = (min(ends[0], ticks[0]), max(ends[1], ticks[-1]))
    strips = tuple(_strip(name, cases, start, stop) for name, cases in values.items() if cases)
    marks = tuple(Tick(_percent(tick, start, stop), f"{tick:g}") for tick in ticks)
    return Distribution(key, title, 3 if share else 2, strips, marks)


def _strip(name: str, cases: Mapping[str, float], start: float, stop: float) -> Strip:
    scores = np.sort(list(cases.values()))
    first, middle, third = np.quantile(scores, (0.25, 0.5, 0.75)).tolist()
    reach = 1.5 * (third - first)
    inside = scores[(scores >= first - reach) & (scores <= third + reach)]

    def at(value: float) -> float:
        return _percent(float(value), start, stop)

    every = math.ceil(len(scores) / MOST_CASES)
    ranked = [
        (case, score)
        for i, (case, score) in enumerate(sorted(cases.items(), key=lambda one: (one[1], one[0])))
        if i % every == 0 or not inside[0] <= score <= inside[-1]
    ]
    places = [at(score) for _, score in ranked]
    points = tuple(
        Point(case, score, place, lane)
        for (case, score), place, lane in zip(ranked, places, _lanes(places), strict=True)
    )
    return Strip(
        name, len(scores), middle, (at(first), at(third)), (at(inside[0]), at(inside[-1])),
        at(middle), points,
    )  # fmt: skip


def _lanes(places: Sequence[float]) -> list[int]:
    """A lane for each of the sorted places, such that neighbours seldom cover each other."""
    last: dict[int, float] = dict.fromkeys(LANES, -math.inf)
    chosen = []
    for place in places:
        free = [lane for lane in LANES if place - last[lane] >= TOUCHING]
        lane = free[0] if free else min(LANES, key=lambda one: last[one])
        last[lane] = place
        chosen.append(lane)
    return chosen


def curves(metrics: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[Panel, ...]:
    """Loss, pseudo-Dice and learning rate of the records of one training; empty panels left out."""
    rows = metrics[:: max(1, math.ceil(len(metrics) / MOST_POINTS))]
    classes = {
        name: [(row.get("dice") or ())[i : i + 1] for row in rows] for i, name in enumerate(names)
    }
    dice: dict[str, tuple[list[float | None], str | None]] = {
        name: ([_number(one) for one in values], colour(i))
        for i, (name, values) in enumerate(classes.items())
    }
    dice["mean"] = (_column(rows, "mean_dice"), None)
    loss = {
        "training": (_column(rows, "train_loss"), "var(--training)"),
        "validation": (_column(rows, "val_loss"), "var(--validation)"),
    }
    rate = {"learning rate": (_column(rows, "lr"), "var(--training)")}
    epochs = [int(row["epoch"]) for row in rows]
    panels = [
        _panel("Loss", epochs, loss, None),
        _panel("Pseudo-Dice", epochs, dice, (0.0, 1.0)),
        _panel("Learning rate", epochs, rate, (0.0, 0.0)),
    ]
    return tuple(panel for panel in panels if panel is not None)


def _number(found: Sequence[Any]) -> float | None:
    return float(found[0]) if found and found[0] is not None else None


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> list[float | None]:
    return [_number([row.get(key)]) for row in rows]


def _panel(
    title: str,
    epochs: Sequence[int],
    columns: Mapping[str, tuple[Sequence[float | None], str | None]],
    include: tuple[float, float] | None,
) -> Panel | None:
    """Lines over one axis, which spans all their values and what to `include`."""
    known = [v for values, _ in columns.values() for v in values if v is not None]
    if not known:
        return None
    known += include or ()
    ticks = _nice(min(known), max(known))
    start, stop = min(min(known), ticks[0]), max(max(known), ticks[-1])
    span = max(epochs[-1] - epochs[0], 1)

    def line(name: str, values: Sequence[float | None], ink: str | None) -> Line | None:
        places = [
            ((epoch - epochs[0]) / span * 100, 100 - _percent(value, start, stop), value)
            for epoch, value in zip(epochs, values, strict=True)
            if value is not None
        ]
        if not places:
            return None
        points = " ".join(f"{10 * x:.1f},{10 * y:.1f}" for x, y, _ in places)
        single = places[0][:2] if len(places) == 1 else None
        return Line(name, points, places[-1][2], ink, single)

    lines = [line(name, values, ink) for name, (values, ink) in columns.items()]
    whole = [tick for tick in _nice(float(epochs[0]), float(epochs[-1])) if tick == int(tick)]
    return Panel(
        title,
        tuple(one for one in lines if one is not None),
        tuple(Tick(100 - _percent(tick, start, stop), f"{tick:g}") for tick in ticks),
        tuple(
            Tick((tick - epochs[0]) / span * 100, f"{tick:g}")
            for tick in whole
            if epochs[0] <= tick <= epochs[-1]
        ),
    )


def _nice(low: float, high: float) -> list[float]:
    """Round numbers from at most `low` to at least `high`."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * one for one in STEPS if power * one >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _percent(value: float, start: float, stop: float) -> float:
    return round(100 * (value - start) / (stop - start), 3)
