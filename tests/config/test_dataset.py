import pytest

from segttt.config.dataset import CaseFiles, Dataset


def dataset(*ids, labels=None) -> Dataset:
    cases = tuple(CaseFiles(id=one, images=("x",)) for one in ids)
    return Dataset(
        name="toy", layout="plain", channels=("CT",), labels=labels or {1: "a"}, cases=cases
    )


def test_ids_are_unique():
    assert len(dataset("a", "b").cases) == 2
    with pytest.raises(ValueError, match="these ids occur twice: b"):
        dataset("a", "b", "b")


def test_background_is_no_label():
    with pytest.raises(ValueError, match="0 is the background"):
        dataset("a", labels={0: "air", 1: "organ"})


def test_cases_need_an_image():
    with pytest.raises(ValueError, match="images"):
        CaseFiles(id="a", images=())
