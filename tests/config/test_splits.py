import json

import pytest

from segttt.config.dataset import Fold
from segttt.config.splits import dump_splits, load_splits
from segttt.errors import UsageError


def test_what_is_written_is_read_and_is_nnunets_form(tmp_path):
    folds = (Fold(train=("a", "b"), val=("c",)), Fold(train=("c",), val=("a",)))
    path = tmp_path / "splits_final.json"
    path.write_text(dump_splits(folds))
    assert json.loads(path.read_text()) == [
        {"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a"]}
    ]  # fmt: skip
    assert load_splits(path, ["a", "b", "c", "d"]) == folds


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"train": ["a"], "val": ["z"]}], "fold 0 names 1 ids that are not in the data.*'z'"),
        ([{"train": ["a"], "val": ["b"]}, {"train": ["a"], "val": ["a"]}], "fold 1 .* on 'a'"),
        ([{"train": [], "val": ["b"]}], "fold 0 has no case to train"),
        ([{"train": ["a"], "val": []}], "fold 0 has no case to validate"),
        ([{"train": ["a"]}], "Expected is a list of folds"),
        ([{"train": ["a"], "val": ["b"], "test": ["c"]}], r"0\.test"),
        ({"train": ["a"], "val": ["b"]}, "Expected is a list of folds"),
        ([], "lists no fold"),
    ],
)
def test_what_splits_must_not_be(tmp_path, content, words):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=rf"splits_final\.json: .*{words}"):
        load_splits(path, "abc")


def test_ids_are_compared_only_where_they_are_known(tmp_path):
    path = tmp_path / "splits.json"
    path.write_text('[{"train": ["a"], "val": ["z"]}]')
    assert load_splits(path)[0].val == ("z",)
    path.write_text("[")
    with pytest.raises(UsageError, match="is no JSON"):
        load_splits(path)
