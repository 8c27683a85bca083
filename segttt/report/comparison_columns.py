"""One row per model, ours first and the published ones after them: scores, cost, labels."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from segttt.config.comparison import ComparedModel, Comparison, Measure, Metric
from segttt.config.preset import Target
from segttt.report.tables import DASH

METRICS: dict[Metric, str] = {"dice": "DSC", "nsd": "NSD", "f1": "F1"}
SPREAD = "A case's score is its mean over the seeds; ± seeds: deviation of the mean over them."
REMARK = (
    "Published figures: other trainings, perhaps other cases and rules; neither ranked nor tested."
)
Interval = tuple[float, float, float]
"""Low end, mean and high end."""
Figures = Mapping[str, Target]
"""Metric, as presets name it -> figure of one published model."""
Published = Mapping[str, Mapping[str, Figures]]
"""Source -> model -> figures."""


@dataclass(frozen=True)
class Group:
    """Rows that belong together."""

    title: str
    """Empty for the compared models."""
    rows: list[list[str]]


@dataclass(frozen=True)
class Sheet:
    """A table with its title, and what is to be said below it."""

    title: str
    header: list[str]
    groups: list[Group]
    said: list[str] = field(default_factory=list)
    intervals: list[Interval] = field(default_factory=list)
    """What can be drawn beside the rows, where there are any."""


@dataclass(frozen=True)
class Column:
    """What a column shows of a compared model and of a published one."""

    title: str
    ours: Callable[[ComparedModel], str]
    published: Callable[[Figures], str] = lambda _: DASH


def results(comparison: Comparison) -> Sheet:
    """Scores, seeds and cost of every model, published scores below."""
    columns = [*_score_columns(comparison), *_seed_columns(comparison), *COST]
    return _sheet("Results", comparison, columns, _published(comparison))


def scores(comparison: Comparison) -> Sheet:
    """Scores of every model, published ones below."""
    return _sheet("Scores", comparison, _score_columns(comparison), _published(comparison))


def seeds(comparison: Comparison) -> Sheet | None:
    """Seeds of every model and what they spread; None where each has one."""
    columns = _seed_columns(comparison)
    return _sheet("Seeds", comparison, columns, {}) if columns else None


def costs(comparison: Comparison) -> Sheet:
    """What every compared model costs."""
    return _sheet("Cost", comparison, COST, {})


def label_means(comparison: Comparison, metric: Metric) -> Sheet:
    """Mean score of every model (rows) and label (columns), and over all labels."""
    measures = [one for one in comparison.measures if one.metric == metric]
    labels = [(_key(metric, one.name), one) for one in measures if one.label is not None]
    prefix = f"{_key(metric)}/"
    printed = {
        source: {
            name: figures
            for name, figures in models.items()
            if any(key.startswith(prefix) for key in figures)
        }
        for source, models in _published(comparison).items()
    }
    known = {key for models in printed.values() for of in models.values() for key in of}
    others = sorted(key for key in known - {key for key, _ in labels} if key.startswith(prefix))
    whole = next(one for one in measures if one.label is None)
    columns = [
        *(Column(one.name, partial(_mean, one), partial(_target, key=key)) for key, one in labels),
        *(Column(key.removeprefix(prefix), _none, partial(_target, key=key)) for key in others),
        Column("mean", partial(_mean, whole), partial(_target, key=_key(metric))),
    ]
    return _sheet(f"{METRICS[metric]} of every label", comparison, columns, printed)


def _score_columns(comparison: Comparison) -> list[Column]:
    """Mean ± deviation over cases, as the papers print it."""
    measures = {one.metric: one for one in comparison.measures if one.label is None}
    printed = {target.metric for target in comparison.published}
    return [
        Column(title, partial(_mean_sd, measures.get(metric)), partial(_target, key=_key(metric)))
        for metric, title in METRICS.items()
        if metric in measures or _key(metric) in printed
    ]


def _seed_columns(comparison: Comparison) -> list[Column]:
    """How many seeds there are, and what they spread; nothing where each model has one."""
    if all(len(model.folders) == 1 for model in comparison.models):
        return []
    spreads = [
        Column(f"{METRICS[one.metric]} ± seeds", partial(_seed_sd, one))
        for one in comparison.measures
        if one.label is None
    ]
    return [Column("seeds", lambda model: str(len(model.folders))), *spreads]


def _published(comparison: Comparison) -> Published:
    found: dict[str, dict[str, dict[str, Target]]] = {}
    for target in comparison.published:
        found.setdefault(target.source, {}).setdefault(target.model, {})[target.metric] = target
    return found


def _sheet(
    title: str, comparison: Comparison, columns: Sequence[Column], printed: Published
) -> Sheet:
    own = [[model.name, *(one.ours(model) for one in columns)] for model in comparison.models]
    groups = [Group("", own)]
    for source, models in printed.items():
        rows = [[name, *(one.published(of) for one in columns)] for name, of in models.items()]
        shown = [row for row in rows if any(cell != DASH for cell in row[1:])]
        if shown:
            groups.append(Group(f"Published: {source}", shown))
    header = ["model", *(one.title for one in columns)]
    said = [SPREAD] if "seeds" in header else []
    return Sheet(title, header, groups, [*said, *([REMARK] if groups[1:] else [])])


def _none(_: ComparedModel) -> str:
    return DASH


def plain(label: str) -> str:
    """A label without case and punctuation, as the published figures name it."""
    return re.sub(r"[\W_]+", "_", label.strip().lower())


def _key(metric: Metric, label: str = "") -> str:
    """The name that presets give to a figure, e.g. dsc/right_kidney."""
    return METRICS[metric].lower() + (f"/{plain(label)}" if label else "")


def _mean(measure: Measure, model: ComparedModel) -> str:
    found = [one.mean for one in measure.scores if one.model == model.name]
    return f"{found[0]:.3f}" if found else DASH


def _mean_sd(measure: Measure | None, model: ComparedModel) -> str:
    for one in measure.scores if measure else ():
        if one.model == model.name:
            return f"{one.mean:.4f}" + ("" if one.sd is None else f" ± {one.sd:.4f}")
    return DASH


def _seed_sd(measure: Measure, model: ComparedModel) -> str:
    found = [one.seed_sd for one in measure.scores if one.model == model.name]
    return DASH if not found or found[0] is None else f"{found[0]:.4f}"


def _target(figures: Figures, key: str) -> str:
    """With the digits that were printed: four beside a deviation, else at least three."""
    target = figures.get(key)
    if target is None:
        return DASH
    if target.sd is not None:
        return f"{target.mean:.4f} ± {target.sd:.4f}"
    text = f"{target.mean:.4f}"
    return text.removesuffix("0")


def duration(seconds: float) -> str:
    """Seconds in the unit that suits, two or three digits."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"


def _cost(name: str, text: Callable[[float], str]) -> Callable[[ComparedModel], str]:
    """What shows one field of a model, or a dash where it was not measured."""

    def shown(model: ComparedModel) -> str:
        value = getattr(model, name)
        return DASH if value is None else text(value)

    return shown


COST = [
    Column("parameters", _cost("parameters", "{:,}".format)),
    Column("training", _cost("training_seconds", duration)),
    Column("training memory", _cost("training_peak_bytes", lambda n: f"{n / 2**30:.2f} GiB")),
    Column("s per case", _cost("seconds_per_case", "{:.2f}".format)),
]
"""Means over the trainings of a model; of the memory the highest."""
