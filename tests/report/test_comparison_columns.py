"""Rows of models, of papers and their digits."""

import pytest

from segttt.config import preset as presets
from segttt.config.comparison import ComparedModel
from segttt.report.comparison_columns import (
    costs,
    duration,
    label_means,
    plain,
    results,
    scores,
    seeds,
)  # fmt: skip
from tests.report.compared import PUBLISHED, compared


def rows(sheet):
    """Group title -> rows by column."""
    return {
        group.title: [dict(zip(sheet.header, row, strict=True)) for row in group.rows]
        for group in sheet.groups
    }


def test_published_rows_stand_apart_with_their_digits():
    comparison = compared(("a", "b"), published=PUBLISHED)
    sheet = scores(comparison)
    found = rows(sheet)
    assert list(found) == [
        "",
        "Published: Paper A, Table 3",
        "Published: Paper B, Fig. 1(b), inferred",
        "Published: Paper B, Table 2",
    ]
    assert sheet.header == ["model", "DSC", "NSD"]
    mean, sd = comparison.measures[0].scores[0].mean, comparison.measures[0].scores[0].sd
    assert found[""][0] == {"model": "a", "DSC": f"{mean:.4f} ± {sd:.4f}", "NSD": "–"}
    assert found["Published: Paper A, Table 3"] == [
        {"model": "unetr", "DSC": "0.7450 ± 0.1117", "NSD": "0.800"}
    ]
    assert found["Published: Paper B, Fig. 1(b), inferred"][0]["DSC"] == "0.910"
    assert found["Published: Paper B, Table 2"][0]["DSC"] == "0.9105"
    assert "neither ranked nor tested" in sheet.said[-1]
    assert scores(compared(("a", "b"))).said == []


def test_published_figures_are_in_no_test_and_no_rank():
    bare, beside = compared(("a", "b")), compared(("a", "b"), published=PUBLISHED)
    assert bare.measures == beside.measures


def test_labels_follow_the_papers_names():
    sheet = label_means(compared(("a", "b"), published=PUBLISHED), "dice")
    assert sheet.header == ["model", "right_kidney", "<b>&_%", "adrenals", "mean"]
    found = rows(sheet)
    assert list(found) == ["", "Published: Paper B, Table 2"]
    assert found["Published: Paper B, Table 2"][0] == {
        "model": "theirs", "right_kidney": "0.970", "<b>&_%": "–", "adrenals": "0.700",
        "mean": "0.9105",
    }  # fmt: skip
    assert found[""][0]["adrenals"] == "–"
    assert plain("Right  Kidney") == plain("right_kidney")


def test_seeds_are_shown_where_there_are_some():
    assert seeds(compared(("a", "b"))) is None
    comparison = compared(("a", "b"), seeds=3)
    sheet = seeds(comparison)
    assert sheet.header == ["model", "seeds", "DSC ± seeds"]
    spread = comparison.measures[0].scores[0].seed_sd
    assert sheet.groups[0].rows[0] == ["a", "3", f"{spread:.4f}"]


def test_costs():
    model = ComparedModel(
        name="a", folders=("x",), parameters=1434205, training_seconds=600.4,
        training_peak_bytes=3 * 2**28, seconds_per_case=1.256,
    )  # fmt: skip
    comparison = compared(("a", "b"))
    comparison = comparison.model_copy(update={"models": (model, comparison.models[1])})
    sheet = costs(comparison)
    assert sheet.header == ["model", "parameters", "training", "training memory", "s per case"]
    assert sheet.groups[0].rows == [
        ["a", "1,434,205", "10.0 min", "0.75 GiB", "1.26"],
        ["b", "–", "–", "–", "–"],
    ]
    assert results(comparison).header == ["model", "DSC", *sheet.header[1:]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (119.0, "119 s"), (120.0, "2.0 min"), (7200.0, "2.0 h"), (2.5e5, "2.9 d")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "groups", "row"),
    [
        ("flare22", {"TTT-UNet (arXiv 2409.11299), Table 4": 7},
         ["ttt-unet-bot", "0.8709 ± 0.1011", "0.8995 ± 0.0721"]),
        ("amos22-mr-2d", {"TTT-UNet (arXiv 2409.11299), Table 3": 8},
         ["ttt-unet-enc", "0.7725 ± 0.1044", "0.8540 ± 0.1032"]),
        ("neurips-cell", {"TTT-UNet (arXiv 2409.11299), Table 3": 8},
         ["ttt-unet-bot", "–", "0.5818 ± 0.2410"]),
        ("amos22-ct", {"MM-UNet (arXiv 2503.17540), Table 2": 10}, ["mm-unet", "0.910"]),
    ],
)  # fmt: skip
def test_the_papers_tables(name, groups, row):
    published = presets.load(name).targets
    sheet = scores(compared(("a",), published=published))
    found = {group.title: group.rows for group in sheet.groups}
    for source, count in groups.items():
        assert len(found[f"Published: {source}"]) == count
        assert row in found[f"Published: {source}"]


def test_the_table_of_organs_is_the_papers():
    published = presets.load("amos22-ct").targets
    sheet = label_means(compared(("a",), published=published), "dice")
    (title,) = (group.title for group in sheet.groups[1:])
    assert title == "Published: MM-UNet (arXiv 2503.17540), Table 2"
    theirs = {row["model"]: row for row in rows(sheet)[title]}
    assert len(theirs) == 10
    assert theirs["mm-unet"]["right_kidney"] == "0.970"
    assert theirs["nnunet"]["left_adrenal"] == "0.809"
    assert theirs["mm-unet"]["mean"] == "0.910"
