"""Predictions meet their truth by name; names that are unclear are said to be so."""

import imageio.v3 as imageio
import numpy as np
import pytest

from segttt.commands.scores.pairing import names_in, paired, pairs
from segttt.errors import LayoutError


def folder_with(place, *names, value=1):
    place.mkdir()
    for name in names:
        imageio.imwrite(place / name, np.full((4, 5), value, np.uint8))
    return place


def test_by_name_without_ending(tmp_path):
    truth = folder_with(tmp_path / "truth", "a.png", "b.tif")
    found = folder_with(tmp_path / "found", "b.png", "c.png")
    expected, given = pairs(found, truth)
    assert (set(expected), set(given)) == ({"a", "b"}, {"b", "c"})
    assert expected["b"] == (truth / "b.tif").absolute()


@pytest.mark.parametrize(
    ("true", "predicted"),
    [
        (["x.png", "y.png"], ["x_0000.png"]),
        (["x_0000.png"], ["x.png"]),
        (["f_0000.png"], ["f_0000.png", "f_0001.png"]),
        (["f_0000.png", "f_0001.png"], ["f_0000.png"]),
    ],
)
def test_a_channel_in_the_name_of_one_side_is_no_other_case(tmp_path, true, predicted):
    truth = folder_with(tmp_path / "truth", *true)
    found = folder_with(tmp_path / "found", *predicted)
    expected, given = pairs(found, truth)
    (case,) = set(expected) & set(given)
    assert given[case].name == predicted[0]


def test_an_exact_name_goes_first(tmp_path):
    truth = folder_with(tmp_path / "truth", "x.png")
    found = folder_with(tmp_path / "found", "x.png", "x_0000.png")
    assert pairs(found, truth)[1]["x"].name == "x.png"


def test_what_two_files_claim_is_unclear(tmp_path):
    truth = folder_with(tmp_path / "truth", "a.png", "b.png", "c.png", "c.tif")
    found = folder_with(tmp_path / "found", "a.png", "b.png", "b.tif", "z.png", "z.tif")
    expected, given, unclear = paired(found, truth)
    assert set(expected) == {"a", "b"}
    assert set(given) == {"a"}
    assert set(unclear) == {"b", "c"}
    assert all("share one name" in reason for reason in unclear.values())


def test_nothing_in_common(tmp_path):
    truth, found = folder_with(tmp_path / "t", "a.png"), folder_with(tmp_path / "f", "b.png")
    with pytest.raises(LayoutError, match="no case in common"):
        pairs(found, truth)


def test_names_of_the_values_that_occur(tmp_path):
    truth = folder_with(tmp_path / "truth", "a.png", value=3)
    (truth / "broken.png").write_bytes(b"no picture")
    assert names_in(sorted(truth.iterdir())) == {3: "label 3"}
