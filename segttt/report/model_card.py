"""The model card: what a model was made from, how well it does, and what it is not for."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from segttt.config.fingerprint import Fingerprint
from segttt.config.plan import Plan
from segttt.config.report import Summary
from segttt.report.page_plan import size_words
from segttt.report.tables import Table, cell_table, label_table, number

USE = (
    "Research on segmentation. It is no medical device: nobody has shown that it is safe for the "
    "diagnosis or treatment of patients, and every segmentation needs a look by someone who can "
    "judge it."
)
LICENCE = "To be stated by whoever publishes the weights."


@dataclass(frozen=True)
class Training:
    """One finished training, without the names of its cases; None where it is not known."""

    fold: str
    seed: int
    epochs: int
    seconds: float
    device: str | None
    precision: str | None
    n_training: int
    n_validation: int
    peak_bytes: int | None
    segttt: str | None
    torch: str | None
    sha256: str | None
    """Of the weights."""


@dataclass(frozen=True)
class Facts:
    """Everything that a model card tells."""

    plan: Plan
    dataset: str
    fingerprint: Fingerprint | None
    parameters: int | None
    trainings: tuple[Training, ...]
    summary: Summary
    scored_on: str
    """Which cases the scores are of, in words."""

    @property
    def flat(self) -> bool:
        """Whether all training cases are pictures, whose lengths are pixels."""
        cases = self.fingerprint.cases if self.fingerprint else ()
        return bool(cases) and all(case.full_shape[0] == 1 for case in cases)


@dataclass(frozen=True)
class Section:
    """A heading with sentences, with names and values, and with a table."""

    title: str
    sentences: tuple[str, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()
    table: Table | None = None


@dataclass(frozen=True)
class Card:
    """A model card."""

    title: str
    sections: tuple[Section, ...]

    def markdown(self) -> str:
        """The text of MODEL_CARD.md."""
        parts = [f"# {_plain(self.title)}"]
        for section in self.sections:
            parts.append(f"## {section.title}")
            parts += [_plain(sentence) for sentence in section.sentences]
            if section.rows:
                parts.append("\n".join(f"- {_plain(n)}: {_plain(v)}" for n, v in section.rows))
            if section.table:
                parts.append(_table(section.table))
        return "\n\n".join(parts) + "\n"


def model_card(facts: Facts) -> Card:
    """The card of a model; equal facts give an equal card."""
    plan = facts.plan
    title = f"Model card: {plan.network.name} for {facts.dataset}"
    sections = [
        Section("Model", (_what(facts),), tuple(_model_rows(facts))),
        Section("Intended use", (USE,)),
        Section("Limits", tuple(_limits(facts))),
        Section("Trained on", rows=tuple(_data_rows(facts))),
        Section("Training", rows=tuple(_training_rows(facts))),
        Section("Scores", tuple(_score_sentences(facts)), table=_scores(facts.summary)),
        Section("Licence", (LICENCE,)),
    ]
    return Card(title, tuple(sections))


def _what(facts: Facts) -> str:
    plan = facts.plan
    labels = "numbered objects" if plan.instances else ", ".join(plan.labels.values())
    kind = "pictures" if facts.flat else "volumes"
    return f"It segments {labels} in {kind} with the channels {', '.join(plan.channels)}."


def _model_rows(facts: Facts) -> list[tuple[str, str]]:
    plan = facts.plan
    rows = [
        ("network", plan.network.name),
        ("parameters", "not known" if facts.parameters is None else f"{facts.parameters:,}"),
        ("window", f"{size_words(plan.topology.patch)} voxels"),
        ("plan", plan.digest()),
    ]
    if len(facts.trainings) > 1:
        how = f"{len(facts.trainings)} trainings, by their {plan.predict.average}"
        rows.append(("averaged", how))
    rows += [(f"SHA-256, {_which(one)}", one.sha256) for one in facts.trainings if one.sha256]
    return rows


def _which(training: Training) -> str:
    return f"fold {training.fold}, seed {training.seed}"


def _data_rows(facts: Facts) -> list[tuple[str, str]]:
    plan, found = facts.plan, facts.fingerprint
    rows = [("dataset", facts.dataset)]
    for one in facts.trainings:
        rows.append((_which(one), f"{one.n_training} cases"))
    rows.append(("channels", ", ".join(plan.channels)))
    if found and found.cases:
        rows.append(("cases in the dataset", str(len(found.cases))))
        rows += _grids(found, flat=facts.flat)
        total = max(sum(found.class_voxels.values()), 1)
        shares = [f"{name} {n / total:.0%}" for name, n in found.class_voxels.items()]
        rows.append(("share of the labelled voxels", ", ".join(shares)))
    if not facts.flat:
        rows.append(("spacing of the network", f"{size_words(plan.spacing_mm)} mm"))
    rows.append(("normalisation", ", ".join(one.scheme for one in plan.normalisation)))
    return rows


def _grids(found: Fingerprint, *, flat: bool) -> list[tuple[str, str]]:
    """Sizes and, of volumes, spacings of the training cases."""
    if flat:
        return [
            ("size (y, x), median", f"{_medians([c.full_shape[1:] for c in found.cases])} pixels")
        ]
    spacings = [case.spacing_mm for case in found.cases]
    return [
        ("size (z, y, x), median", f"{_medians([c.full_shape for c in found.cases])} voxels"),
        ("spacing (z, y, x), median", f"{_medians(spacings)} mm"),
        ("spacing, smallest and largest", f"{_extremes(spacings)} mm"),
    ]


def _medians(values: Sequence[Sequence[int | float]]) -> str:
    return size_words([median(axis) for axis in zip(*values, strict=True)])


def _extremes(values: Sequence[Sequence[int | float]]) -> str:
    axes = list(zip(*values, strict=True))
    return f"{size_words([min(a) for a in axes])} and {size_words([max(a) for a in axes])}"


def _training_rows(facts: Facts) -> list[tuple[str, str]]:
    recipe, batch = facts.plan.train, facts.plan.batch
    rows = [
        (
            "recipe",
            f"{recipe.optimizer} {recipe.lr:g}, {recipe.schedule}, batch {batch}",
        ),
        ("planned", f"{recipe.epochs} epochs of {recipe.iterations} steps"),
    ]
    for one in facts.trainings:
        done = f"{one.epochs} epochs in {duration(one.seconds)}"
        where = f"on {one.device or 'an unknown device'} in {one.precision or 'unknown precision'}"
        by = f"segttt {one.segttt or 'unknown'}, PyTorch {one.torch or 'unknown'}"
        memory = f", at most {one.peak_bytes / 2**30:.1f} GiB" if one.peak_bytes else ""
        rows.append((_which(one), f"{done} {where}{memory}, {by}"))
    return rows


def duration(seconds: float) -> str:
    """Seconds in the largest unit that fits twice."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _limits(facts: Facts) -> list[str]:
    plan, summary = facts.plan, facts.summary
    channels, sizes = ", ".join(plan.channels), "sizes" if facts.flat else "spacings and sizes"
    said = [
        f"It knows images like those it was trained on: {channels}, of the {sizes} below. Other "
        "scanners, protocols, populations and diseases were not looked at.",
        f"The scores are of {summary.n_cases} cases ({facts.scored_on}); "
        "what they say of other data is not known.",
    ]
    if summary.n_failed:
        said.append(f"{summary.n_failed} cases have no score and are part of no mean.")
    if any(one.fold == "all" for one in facts.trainings):
        said.append(
            "It was trained on every case of its dataset, so what its own training validated on "
            "was no test."
        )
    if len(facts.trainings) == 1:
        said.append("There is one training; how much another seed would change is not known.")
    if "ttt" in getattr(plan.network, "mixer", ""):
        said.append(
            "Its test-time-training layers adapt to every window at prediction, so that the result "
            "depends on the size of the window and not on the weights alone."
        )
    return said


def _score_sentences(facts: Facts) -> list[str]:
    summary = facts.summary
    said = [f"Protocol {summary.protocol}, {summary.n_cases} cases ({facts.scored_on})."]
    if summary.mean_dice is not None:
        interval = ""
        if summary.ci95:
            low, high = summary.ci95
            interval = f" (95 % confidence interval {low:.3f} to {high:.3f}, bootstrap over cases)"
        said.append(
            f"Mean Dice {summary.mean_dice:.3f}{interval}; standard deviation over cases "
            f"{number(summary.sd_cases)}, over labels {number(summary.sd_labels)}."
        )
    return said + list(summary.remarks)


def _scores(summary: Summary) -> Table | None:
    """Scores without the names of the worst cases."""
    if summary.per_label:
        table = label_table(summary)
        return Table(table.header[:-1], [row[:-1] for row in table.rows])
    return cell_table(summary.cells) if summary.cells else None


def _table(table: Table) -> str:
    rule = ["---", *["---:"] * (len(table.header) - 1)]
    rows = [table.header, rule, *([_plain(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    escaped = "".join(f"\\{char}" if char in "\\`*_[]<>|#~" else char for char in text)
    return " ".join(escaped.replace("&", "&amp;").split())
