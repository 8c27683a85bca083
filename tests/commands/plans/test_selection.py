import json

import pytest

from segttt.commands.plans.selection import case_ids, select_cases
from segttt.config.dataset import CaseFiles, Dataset
from segttt.errors import UsageError

DATASET = Dataset(
    name="d",
    layout="plain",
    channels=("MR",),
    labels={1: "a"},
    cases=tuple(CaseFiles(id=one, images=(f"/data/{one}.nii.gz",)) for one in "abc"),
)


def test_text_json_and_keys(tmp_path):
    text, listed, keyed = (tmp_path / name for name in ("ids.txt", "ids.json", "splits.json"))
    text.write_text("a\n\n c \n")
    listed.write_text('["b"]')
    keyed.write_text(json.dumps({"train": ["a", "b"], "note": "words"}))
    assert case_ids(str(text)) == ["a", "c"]
    assert [case.id for case in select_cases(DATASET, str(listed)).cases] == ["b"]
    assert [case.id for case in select_cases(DATASET, f"{keyed}:train").cases] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "key", "words"),
    [
        ('{"train": ["a"]}', "", "FILE:KEY"),
        ('{"train": ["a"]}', ":test", "FILE:KEY"),
        ('{"train": "a"}', ":train", "list of case ids"),
        ("[", "", "not JSON"),
        ('["a", "z"]', "", "'z'"),
    ],
)
def test_what_cannot_be_selected_is_said(tmp_path, content, key, words):
    path = tmp_path / "splits.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        select_cases(DATASET, f"{path}{key}")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.json"):
        case_ids(f"{tmp_path}/none.json:train")
