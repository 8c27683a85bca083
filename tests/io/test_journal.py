"""Finished pieces survive a kill; a cut line, other rules and damage are not believed."""

import pytest

from segttt.errors import ResourceError
from segttt.io.journal import Journal


def test_what_was_added_is_there_again(tmp_path):
    path = tmp_path / "new" / "journal.jsonl"
    journal = Journal(path, "rules")
    assert journal.done == {}
    assert not path.exists()  # nothing is written before anything is done
    journal.add("a", {"score": 0.1 + 0.2})
    journal.add("é\n", [None])
    assert Journal(path, "rules").done == {"a": {"score": 0.1 + 0.2}, "é\n": [None]}
    journal.finish()
    assert not path.exists()
    journal.finish()


def test_a_line_cut_by_a_kill_is_cut_away(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, "rules")
    journal.add("a", 1)
    journal.add("b", 2)
    path.write_bytes(path.read_bytes()[:-3])
    again = Journal(path, "rules")
    assert again.done == {"a": 1}
    again.add("b", 3)
    assert Journal(path, "rules").done == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b"\xff\xfe\n", b'"rules"\n[1]\n', b'"rul']
)
def test_damage_begins_anew(tmp_path, content):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    journal = Journal(path, "rules")
    assert journal.done == {}
    journal.add("a", 1)
    assert Journal(path, "rules").done == {"a": 1}


def test_other_rules_begin_anew(tmp_path):
    path = tmp_path / "journal.jsonl"
    Journal(path, "rules").add("a", 1)
    assert Journal(path, "other").done == {}
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="file"):
        Journal(tmp_path / "file" / "journal.jsonl", "rules").add("a", 1)
