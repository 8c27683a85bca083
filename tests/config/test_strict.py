import json

import pytest
from pydantic import PositiveInt

from segttt.config.strict import Strict
from segttt.errors import UsageError


class Toy(Strict):
    count: PositiveInt
    share: float = 0.5


def test_dump_and_load_are_inverse(tmp_path):
    path = tmp_path / "toy.json"
    path.write_text(Toy(count=3, share=0.1).dump())
    assert Toy.load(path) == Toy(count=3, share=0.1)


def test_the_digest_names_the_content():
    assert Toy(count=3).digest() == Toy(count=3, share=0.5).digest()
    assert Toy(count=3).digest() != Toy(count=4).digest()
    assert len(Toy(count=3).digest()) == 12


def test_records_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Toy(count=3).count = 4  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"count": 0}', "count: Input should be greater than 0"),
        ('{"count": 1, "share": NaN}', "share: Input should be a finite number"),
        ('{"count": 1, "shares": 1}', "shares: Extra inputs are not permitted"),
        ("{}", "count: Field required"),
        ("[", "Invalid JSON"),
    ],
)
def test_faults_name_the_file_and_the_field(text, fault, tmp_path):
    path = tmp_path / "toy.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        Toy.load(path)
    assert str(path) in str(caught.value)
    assert fault in str(caught.value)


def test_missing_and_huge_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"gone\.json: cannot be read \(No such file"):
        Toy.load(tmp_path / "gone.json")
    monkeypatch.setattr(Toy, "largest_bytes", 4)
    (tmp_path / "big.json").write_text(json.dumps({"count": 1}))
    with pytest.raises(UsageError, match="is larger than"):
        Toy.load(tmp_path / "big.json")
