import pytest

from segttt.commands.datasets.patients import groups_of, with_patients
from segttt.config.dataset import CaseFiles, Dataset
from segttt.errors import UsageError

PATHS = ("p1/a.png", "p1/b.png", "p2/c.png")
DATASET = Dataset(
    name="d",
    layout="plain",
    channels=("grey",),
    labels={},
    cases=tuple(CaseFiles(id=path[3], images=(f"/data/p9/{path}",)) for path in PATHS),
)


def test_the_group_is_searched_below_the_shared_folder():
    dataset = with_patients(DATASET, r"(p\d)")
    assert [case.patient for case in dataset.cases] == ["p1", "p1", "p2"]
    assert groups_of(dataset) == {"p1": ["a", "b"], "p2": ["c"]}
    assert with_patients(DATASET, None) == DATASET


def test_cases_without_a_patient_are_their_own():
    assert groups_of(DATASET) == {"a": ["a"], "b": ["b"], "c": ["c"]}
    one = DATASET.cases[0].model_copy(update={"patient": "b"})
    mixed = DATASET.model_copy(update={"cases": (one, *DATASET.cases[1:])})
    assert list(groups_of(mixed).values()) == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("(p", "no regular expression"), ("p1", "one group"), ("(p)(1)", "one group"),
     ("(p1)", r"no patient in 'p2/c\.png'")],
)  # fmt: skip
def test_what_is_no_pattern(pattern, words):
    with pytest.raises(UsageError, match=words):
        with_patients(DATASET, pattern)
