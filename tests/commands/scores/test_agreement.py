"""What was scored by other rules is refused, and says what to do."""

from pathlib import Path

import pytest

from segttt.commands.scores.agreement import label_names, refuse_mixed
from segttt.commands.scores.results import Results
from segttt.config.report import Provenance, Scoring
from segttt.errors import DataError, UsageError
from segttt.metrics.summary import summarise
from tests.metrics.cohorts import NAMES, case, drawn


def results(name, cases, names=None, **changes):
    summary = summarise(cases, NAMES if names is None else names, protocol="strict")
    cases_by_id = {one.id: one for one in cases}
    return Results(Path(name), Path(name), summary.model_copy(update=changes), cases_by_id)


def refused(one, other):
    with pytest.raises(UsageError) as caught:
        refuse_mixed([one, other])
    return str(caught.value)


def provenance(definitions):
    return Provenance(
        segttt="1", python="3", numpy="2", scipy="1", definitions=definitions,
        spacing="pixels", tolerances_mm={}, files_sha256="",
    )  # fmt: skip


PLAIN = results("first", drawn(1))


def test_the_same_rules_pass():
    refuse_mixed([PLAIN, results("b", drawn(2)), results("c", drawn(3))])


def test_protocols_do_not_mix():
    told = refused(PLAIN, results("b", drawn(1), protocol="paper"))
    assert told.startswith("b was scored by the protocol paper, first by strict.")
    assert "`segttt evaluate b TRUTH --protocol strict`" in told


@pytest.mark.parametrize("names", [{1: "liver"}, {1: "liver", 2: "spleen"}, {1: "liver", 3: "x"}])
def test_labels_do_not_mix(names):
    cases = [one.model_copy(update={"labels": one.labels[: len(names)]}) for one in drawn(1)]
    if 3 in names:
        cases = [
            one.model_copy(
                update={"labels": (one.labels[0], one.labels[1].model_copy(update={"label": 3}))}
            )
            for one in cases
        ]
    assert '--labels "1=liver,2=left kidney"' in refused(PLAIN, results("b", cases, names))


def test_names_that_evaluate_made_up_give_way():
    nameless = results("b", drawn(2), {1: "label 1", 2: "label 2"})
    for order in ([PLAIN, nameless], [nameless, PLAIN]):
        refuse_mixed(order)
        assert label_names(order) == NAMES


def test_limits_and_definitions_do_not_mix():
    near, far = (
        results("near", [case("c", [0.5, 0.5], nsd=[0.5, 0.5])]),
        results(
            "far",
            [case("c", [0.5, 0.5], nsd=[0.5, 0.5])],
        ),
    )
    labels = tuple(one.model_copy(update={"tolerance_mm": 2.0}) for one in far.summary.per_label)
    far = results("far", list(far.cases.values()), per_label=labels)
    assert "another tolerance of liver than near" in refused(near, far)
    bare = results("bare", [case("c", [0.5, 0.5])])
    refuse_mixed([near, bare])
    crops = [
        results(n, drawn(1), scoring=Scoring(z_crop_labels=z)) for n, z in (("a", ()), ("b", (5,)))
    ]
    assert "true slices" in refused(*crops)
    versions = [results(n, drawn(1), provenance=provenance(n)) for n in "ab"]
    assert "definitions" in refused(*versions)
    refuse_mixed([PLAIN, versions[0], crops[0]])


def test_cells_and_their_iou_do_not_mix():
    pictures = [case("p", [], f1=0.5)]
    cells = results("cells", pictures, {})
    assert "Only one of first and cells" in refused(results("first", [case("p", [])], {}), cells)
    other = cells.summary.cells.model_copy(update={"threshold": 0.7})
    assert "another IoU" in refused(cells, results("b", pictures, {}, cells=other))


def test_truths_do_not_mix():
    changed = [case("c", [0.5, 0.5], n_truth=11), case("d", [0.5, 0.5])]
    same = [case("c", [0.5, 0.5]), case("d", [0.9, 0.5])]
    with pytest.raises(DataError, match="different truths: c has another number"):
        refuse_mixed([results("a", same), results("b", changed)])
    cells = [results(n, [case("c", [], f1=0.5, n_truth=t)], {}) for n, t in (("a", 3), ("b", 4))]
    with pytest.raises(DataError, match="different truths"):
        refuse_mixed(cells)
    refuse_mixed([results("a", same), results("b", changed[1:])])
