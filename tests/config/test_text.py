"""JSON and YAML as plain data."""

import pytest

from segttt.config.text import parse_json, read_bounded, read_json
from segttt.config.yaml_text import parse_yaml
from segttt.errors import UsageError


def test_sound_texts_mean_what_they_say():
    assert parse_json('{"a": [1, 2.5e-3, "\\ud83d\\ude00"], "b": null}') == {
        "a": [1, 0.0025, "😀"], "b": None,
    }  # fmt: skip
    assert parse_yaml("a: [1, 2]\nb: {c: yes}\n") == {"a": [1, 2], "b": {"c": True}}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1, "a": 2}', "names 'a' twice"),
        ("[NaN]", "NaN is no finite number"),
        ("[-Infinity]", "no finite number"),
        ("[1e999]", "no finite number"),
        ("[" * 100_000, "nested too deeply"),
        ('"\\ud800"', "surrogates"),
        ("[" + "9" * 5000 + "]", "digits"),
        ("{", "property name"),
    ],
)
def test_json_that_is_refused(text, fault):
    with pytest.raises(ValueError, match=fault):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: 1\na: 2", "names 'a' twice"),
        ("a: {b: {c: 1, c: 2}}", "names 'c' twice"),
        ("[" * 30_000, "nested too deeply"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("2020-99-99", "month must be"),
        ("!!bool x", "x"),
        ("!!timestamp x", "groupdict"),
        ("a: [", "expected the node content"),
    ],
)
def test_yaml_that_is_refused(text, fault):
    with pytest.raises(ValueError, match=fault):
        parse_yaml(text)


def test_files_are_bounded_and_named(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{}")
    assert read_json(path) == {}
    assert read_bounded(path, 2) == b"{}"
    with pytest.raises(UsageError, match=r"x\.json: is larger than"):
        read_bounded(path, 1)
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"x\.json: is no JSON"):
        read_json(path)
    with pytest.raises(UsageError, match=r"cannot be read \(No such file"):
        read_json(tmp_path / "gone.json")
