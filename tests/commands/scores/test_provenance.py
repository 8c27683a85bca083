"""What scores rest on is named by content alone."""

import pytest

from segttt.commands.scores.provenance import (
    ScoredFiles,
    files_json,
    provenance,
    rules_digest,
    seconds_per_case,
)
from segttt.config.report import LesionRule, Scoring
from segttt.errors import ImageError


def written(place, **contents):
    place.mkdir()
    for name, content in contents.items():
        (place / name).write_bytes(content)
    return place


def test_files_are_named_by_their_content(tmp_path):
    here = written(tmp_path / "here", found=b"1", truth=b"2")
    there = written(tmp_path / "there", found=b"1", truth=b"2")
    one, other = (ScoredFiles.of(place / "found", place / "truth") for place in (here, there))
    assert one == other
    assert (
        files_json({"a": one, "b": one})["sha256"] == files_json({"b": other, "a": other})["sha256"]
    )
    assert files_json({"a": one})["sha256"] != files_json({"b": one})["sha256"]
    swapped = ScoredFiles(one.truth, one.prediction)
    assert files_json({"a": one})["sha256"] != files_json({"a": swapped})["sha256"]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"nowhere: cannot be read \(No such file"):
        ScoredFiles.of(tmp_path / "nowhere", tmp_path / "nowhere")


def test_every_rule_counts():
    names, kind = {1: "organ"}, "kind"
    rules = [
        Scoring(),
        Scoring(default_tolerance_mm=2.0),
        Scoring(protocol="paper"),
        Scoring(surfaces=False),
        Scoring(lesions=LesionRule()),
        Scoring(lesions=LesionRule(smallest_mm3=3)),
        Scoring(more_ious=(0.7,)),
    ]
    digests = [rules_digest([one], names, kind) for one in rules]
    digests += [rules_digest(rules[:1], {2: "organ"}, kind), rules_digest(rules[:1], names, "b")]
    digests += [rules_digest(rules[:2], names, kind)]
    assert len(set(digests)) == len(digests)
    assert rules_digest([Scoring()], names, kind) == digests[0]


def test_tolerances_are_those_of_the_labels():
    scoring = Scoring(tolerances_mm={1: 5.0, 9: 2.0}, default_tolerance_mm=3.0)
    assert provenance(scoring, [1, 2], {}, picture=False).tolerances_mm == {1: 5.0, 2: 3.0}
    assert provenance(scoring, [1], {}, picture=True).spacing == "pixels"


def test_the_median_time_of_the_cases_that_were_scored():
    seconds = {"a": 1.0, "b": 5.0, "c": 100.0}
    assert seconds_per_case(seconds, ["a", "b", "d"]) == 3.0
    assert seconds_per_case(seconds, ["d"]) is None
