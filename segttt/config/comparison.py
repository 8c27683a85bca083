"""Models compared on the same cases, as it is written."""

from typing import Literal

from segttt.config.preset import Target
from segttt.config.report import Protocol
from segttt.config.strict import Strict

Metric = Literal["dice", "nsd", "f1"]


class ComparedModel(Strict):
    """One model; its seeds are trainings that are meant to differ in nothing but chance."""

    name: str
    folders: tuple[str, ...]
    """Results of each seed."""
    parameters: int | None = None
    training_seconds: float | None = None
    """Mean over its trainings."""
    training_peak_bytes: int | None = None
    """Highest of its trainings."""
    seconds_per_case: float | None = None
    """Mean over its seeds."""


class ModelScore(Strict):
    """Scores of one model over the common cases; a case's score is the mean over the seeds."""

    model: str
    n: int
    """Cases with a value in every seed."""
    mean: float
    sd: float | None
    """Over the cases (n - 1); null for a single case."""
    seed_sd: float | None
    """Of the mean, over the seeds (n - 1); null for a single seed."""


class Difference(Strict):
    """Two models case by case: `model` minus `other`."""

    model: str
    other: str
    n: int
    """Cases with a value from both."""
    mean: float
    ci95: tuple[float, float] | None
    """Of the mean: BCa bootstrap over cases; null below six cases."""
    p_value: float | None
    """Wilcoxon signed-rank test, two-sided, zeros by Pratt's rule; null below six cases."""
    p_holm: float | None
    """Corrected after Holm over the family that `Measure.tests` counts."""
    effect_size: float | None
    """Mean over the sample deviation of the differences; null where that is 0."""
    wins: int
    """Cases in which `model` is better."""
    ties: int
    losses: int


class Rank(Strict):
    """The place of one model."""

    model: str
    rank: int
    """By the mean; equal means share the better rank."""
    mean: float
    """Over the cases with a value from every model."""
    mean_rank: float
    """Mean over these cases of the rank within the case."""
    shares: tuple[float, ...]
    """Share of the bootstrap draws at rank 1, 2 ...; empty below six cases."""


class Ranking(Strict):
    """Models in order, best first, and how firm that order is."""

    ranks: tuple[Rank, ...]
    n: int
    """Cases with a value from every model."""
    kendall_tau: float | None
    """Mean agreement of the bootstrap draws with this order (tau-b); null below six cases."""


class Measure(Strict):
    """One score of all models."""

    metric: Metric
    label: int | None = None
    """Null: each case's mean over its labels, or its numbered objects."""
    name: str = ""
    """Of the label."""
    tests: int
    """p-values corrected together: of all pairs, for labels of all pairs and labels."""
    scores: tuple[ModelScore, ...]
    differences: tuple[Difference, ...]
    ranking: Ranking | None = None
    """Over the whole case only; null for labels and where fewer than two models have values."""


class Comparison(Strict):
    """Models on the cases that all of them have; published figures are beside, never compared."""

    version: Literal[1] = 1
    protocol: Protocol
    cases: tuple[str, ...]
    left_out: dict[str, tuple[str, ...]]
    """Case -> folders of results that lack it."""
    models: tuple[ComparedModel, ...]
    measures: tuple[Measure, ...]
    preset: str | None
    """Whose published figures are shown."""
    published: tuple[Target, ...]
    """Figures of papers: other trainings, perhaps other cases."""
    published_notes: tuple[str, ...]
    """What the preset remarks on its paper."""
    notes: tuple[str, ...]
    """What limits this comparison, in words."""
    resamples: int
    """Bootstrap draws of cases."""
    seed: int
    """Of the draws."""
