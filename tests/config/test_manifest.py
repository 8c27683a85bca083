import json

import pytest

from segttt.config.manifest import load_manifest
from segttt.errors import UsageError


@pytest.fixture
def written(tmp_path):
    def write(text, name="cases.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_any_spreadsheet(written, delimiter):
    rows = ["\ufeffid,image,label,fold", 'a,"x\n1.png",m.png,0', "", "b,y.png, m.png ,1"]
    manifest, places = load_manifest(written("\r\n".join(rows).replace(",", delimiter)))
    assert [case.id for case in manifest.cases] == ["a", "b"]
    assert manifest.cases[0].image == ("x\n1.png",)
    assert manifest.cases[1].label == "m.png"
    assert places == ("line 3", "line 5")


def test_channels_are_in_the_order_of_their_numbers(written):
    columns = [f"image_{i}" for i in range(11)]
    manifest, _ = load_manifest(
        written(f"{','.join(reversed(columns))},id\n{','.join('kjihgfedcba')},x")
    )
    assert manifest.cases[0].image == tuple("abcdefghijk")


def test_a_case_without_a_fold_trains_in_all(written):
    manifest, _ = load_manifest(written("id,image,fold\na,x,0\nb,x,1\nc,x,"))
    assert [(one.train, one.val) for one in manifest.folds()] == [
        (("b", "c"), ("a",)), (("a", "c"), ("b",))
    ]  # fmt: skip
    assert load_manifest(written("id,image\na,x"))[0].folds() == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,image,lable\na,x,y", r"line 1: 'lable' is no column\. Columns are id, image"),
        ("image,label\nx,y", "line 1: id is missing"),
        ("id,image,image\na,x,y", "line 1: .*twice"),
        ("id,image\na", "line 2: has not as many cells"),
        ("id,image\na,x,y", "line 2: has not as many cells"),
        ("id,image\na,x\na,y", "line 3: the id 'a' stands in line 2"),
        ("id,label\na,x", "line 2: image: Field required"),
        ("id,image\n../a,x", "line 2: id: .*begins with a dot"),
        ("id,image\na/b,x", "line 2: id: .*holds the character /"),
        ("id,image\n.a,x", "line 2: id: .*begins with a dot"),
        ("id,image_0,image_2\na,x,y", "line 2: .*image_0, image_1"),
        ("id,image,image_0\na,x,y", "line 2: .*image_0, image_1"),
        ("id,image,fold\na,x,first", "line 2: fold"),
        ("id,image,fold\na,x,0\nb,x,2", "no case validates on fold 1"),
        ("id,image,fold\na,x,0", "no case trains in fold 0"),
        ("id,image\n", "lists no case"),
        ('id,image\n"a,x', "cannot be read"),
        ("", "line 1"),
    ],
)
def test_what_a_table_must_not_be(written, text, words):
    with pytest.raises(UsageError, match=rf"(?s)cases\.csv: .*{words}"):
        load_manifest(written(text))


CASE = {"id": "a", "image": "x", "label": "y"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"cases": [CASE | {"lable": "y"}]}, r"cases\.0\.lable"),
        ({"cases": [CASE], "chanels": ["CT"]}, "chanels"),
        ({"cases": [CASE, CASE]}, "entry 1: the id 'a' stands in entry 0"),
        ({"cases": []}, "cases"),
        ({"cases": [{"id": "a", "image": []}]}, "image"),
        ({"cases": ["a"]}, r"cases\.0"),
        ("text", "the file"),
    ],
)
def test_what_a_json_must_not_be(written, content, words):
    with pytest.raises(UsageError, match=rf"cases\.json: .*{words}"):
        load_manifest(written(json.dumps(content), "cases.json"))


@pytest.mark.parametrize("text", ["{", '{"cases": 1, "cases": 2}', "\udcff"])
def test_no_json_at_all(written, text, tmp_path):
    path = tmp_path / "cases.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match="cannot be read"):
        load_manifest(path)
    with pytest.raises(UsageError, match="none"):
        load_manifest(tmp_path / "none.json")


def test_json_may_be_the_list_alone_and_hold_masks(written):
    case = {"id": "a", "image_0": "x", "image_1": "y", "masks": {"3": ["m", "n"]}}
    manifest, places = load_manifest(written(json.dumps([case]), "cases.json"))
    assert manifest.cases[0].image == ("x", "y")
    assert manifest.cases[0].masks == {3: ("m", "n")}
    assert places == ("entry 0",)
