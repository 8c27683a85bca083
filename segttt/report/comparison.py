"""A comparison as a document: what it found in words, then tables of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from segttt.config.comparison import Comparison, Difference, Measure
from segttt.report.comparison_columns import METRICS, Group, Sheet, label_means, results
from segttt.report.tables import DASH

SIGNIFICANT = 0.05
NAMED = 6  # pairs in a sentence
TESTED = (
    "First model minus second, case by case. 95 % CI: BCa bootstrap over cases. p: Wilcoxon "
    "signed-rank, corrected after Holm over {tests}. Effect: mean difference over its deviation."
)
FIGURES = ("difference", "95 % CI", "p", "p (Holm)", "effect", "win/tie/loss", "cases")
DRAWN = (
    "Mean rank: within each case. Rank 1, 2 ...: share of {draws:,} bootstrap draws of the cases "
    "in which the model has that rank."
)


@dataclass(frozen=True)
class Document:
    """Sentences, then tables, then remarks."""

    title: str
    said: list[str]
    sheets: list[Sheet]
    remarks: list[str]
    """What is known of the published figures."""


def document(comparison: Comparison) -> Document:
    """The whole comparison."""
    overall = [one for one in comparison.measures if one.label is None]
    sheets = [results(comparison)]
    sheets += [differences([one]) for one in overall if one.differences]
    sheets += [ranking(one, comparison.resamples) for one in overall if one.ranking]
    for metric in METRICS:
        measures = [one for one in comparison.measures if one.metric == metric]
        labels = [one for one in measures if one.label is not None]
        if labels:
            sheets += [label_means(comparison, metric), differences(labels)]
    title = "Comparison of " + ", ".join(model.name for model in comparison.models)
    said = [f"{headline(comparison)}.", *findings(comparison), *comparison.notes]
    return Document(title, said, sheets, list(comparison.published_notes))


def headline(comparison: Comparison) -> str:
    """What was compared, in a few words."""
    return f"{len(comparison.cases)} common cases, protocol {comparison.protocol}"


def findings(comparison: Comparison) -> list[str]:
    """What the corrected tests establish, pair by pair, and which pairs stay open."""
    said = []
    seeds = {model.name: len(model.folders) for model in comparison.models}
    for measure in comparison.measures:
        tested = [one for one in measure.differences if one.p_holm is not None]
        if measure.label is not None or not tested:
            continue
        certain = [one for one in tested if one.p_holm is not None and one.p_holm < SIGNIFICANT]
        said += [
            _finding(METRICS[measure.metric], one) + _doubt(one, seed_error(measure, one, seeds))
            for one in certain
        ]
        open_pairs = [f"{one.model} and {one.other}" for one in tested if one not in certain]
        if open_pairs:
            pairs = ", ".join(open_pairs[:NAMED])
            more = f" and {len(open_pairs) - NAMED} pairs more" if open_pairs[NAMED:] else ""
            metric = METRICS[measure.metric]
            said.append(f"{metric}: no difference is established between {pairs}{more}.")
    return said


def differences(measures: Sequence[Measure]) -> Sheet:
    """Every pair of models; of measures of labels also every label."""
    of_labels = measures[0].label is not None
    pairs = [(measure, one) for measure in measures for one in measure.differences]
    rows = [
        [f"{one.model} – {one.other}", *([measure.name] if of_labels else []), *_cells(one)]
        for measure, one in pairs
    ]
    drawn = [(one.ci95[0], one.mean, one.ci95[1]) for _, one in pairs if one.ci95]
    tests = measures[0].tests
    return Sheet(
        title=f"Differences in {METRICS[measures[0].metric]}{' of every label' * of_labels}",
        header=["pair", *(["label"] if of_labels else []), *FIGURES],
        groups=[Group("", rows)],
        said=[TESTED.format(tests=f"{tests} tests" if tests > 1 else "one test")] if tests else [],
        intervals=drawn if len(drawn) == len(rows) else [],
    )


def ranking(measure: Measure, draws: int) -> Sheet:
    """Models, best first, and how often the bootstrap ranks them so."""
    found = measure.ranking
    ranks = found.ranks if found else ()
    places = len(ranks[0].shares) if ranks else 0
    rows = [
        [one.model, str(one.rank), f"{one.mean:.4f}", f"{one.mean_rank:.2f}"]
        + [f"{share:.0%}" for share in one.shares]
        for one in ranks
    ]
    header = ["model", "rank", "mean", "mean rank", *(f"rank {i + 1}" for i in range(places))]
    said = [DRAWN.format(draws=draws)] if places else []
    if found and found.kendall_tau is not None:
        said.append(f"Kendall's tau of the draws with this order: {found.kendall_tau:.2f}.")
    return Sheet(f"Ranking by {METRICS[measure.metric]}", header, [Group("", rows)], said)


def _finding(metric: str, one: Difference) -> str:
    """The difference from the side of the higher mean."""
    turned = one.mean < 0
    higher, lower = (one.other, one.model) if turned else (one.model, one.other)
    wins, losses = (one.losses, one.wins) if turned else (one.wins, one.losses)
    ends = sorted(map(abs, one.ci95)) if one.ci95 and one.ci95[0] * one.ci95[1] > 0 else None
    spread = f"95 % CI {ends[0]:.4f} to {ends[1]:.4f}" if ends else "95 % CI holds 0"
    return (
        f"{metric}: {higher} is above {lower} by {abs(one.mean):.4f} ({spread}; p "
        f"{p_value(one.p_holm, '= ')} after Holm), better in {wins} and worse in {losses} of "
        f"{one.n} cases."
    )


def seed_error(measure: Measure, one: Difference, seeds: Mapping[str, int]) -> float | None:
    """Standard error of the mean difference over the seeds; None where a model has only one."""
    pair = [score for score in measure.scores if score.model in (one.model, one.other)]
    if any(score.seed_sd is None for score in pair):
        return None
    return sqrt(sum((score.seed_sd or 0) ** 2 / seeds[score.model] for score in pair))


def _doubt(one: Difference, error: float | None) -> str:
    if error is None or abs(one.mean) >= 2 * error:
        return ""
    return (
        f" But over the seeds its standard error is {error:.4f}: other seeds may turn it around, "
        "train more of them."
    )


def _cells(one: Difference) -> list[str]:
    return [
        f"{one.mean:+.4f}",
        interval(one),
        p_value(one.p_value),
        p_value(one.p_holm),
        DASH if one.effect_size is None else f"{one.effect_size:+.2f}",
        f"{one.wins}/{one.ties}/{one.losses}",
        str(one.n),
    ]


def interval(one: Difference) -> str:
    """Both ends, or a dash."""
    return DASH if one.ci95 is None else f"{one.ci95[0]:+.4f} to {one.ci95[1]:+.4f}"


def p_value(p: float | None, equal: str = "") -> str:
    """Three decimals, or that it is less; a dash where there is none."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{equal}{p:.3f}"
