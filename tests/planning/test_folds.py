import pytest

from segttt.config.dataset import Fold
from segttt.errors import DataError
from segttt.planning.folds import kfold


def ids(count):
    return [f"{index:02d}" for index in range(count)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [  # made with scikit-learn's KFold(5, shuffle=True, random_state=12345)
        (7, [[3, 6], [0, 4], [1], [5], [2]]),
        (10, [[0, 7], [3, 9], [4, 6], [1, 8], [2, 5]]),
    ],
)
def test_folds_equal_those_of_scikit_learn(count, expected):
    names = ids(count)
    folds = kfold(names[::-1])
    assert [[int(name) for name in validates] for _, validates in folds] == expected
    for trains, validates in folds:
        assert sorted((*trains, *validates)) == names
        assert list(trains) == sorted(trains)


def test_fifty_cases_equal_scikit_learn_too():
    firsts = [[int(name) for name in validates[:6]] for _, validates in kfold(ids(50))]
    assert firsts == [
        [8, 12, 21, 22, 30, 32],
        [2, 3, 5, 19, 20, 25],
        [0, 4, 7, 15, 23, 24],
        [6, 9, 10, 11, 13, 14],
        [1, 29, 34, 36, 37, 41],
    ]


def test_fewer_cases_than_folds_leave_one_out():
    assert [validates for _, validates in kfold(ids(3))] == [("00",), ("01",), ("02",)]


@pytest.mark.parametrize("count", [0, 1])
def test_a_single_case_cannot_be_split(count):
    with pytest.raises(DataError, match="at least 2 cases"):
        kfold(ids(count))


def fold(train, val):
    return Fold(train=tuple(train.split()), val=tuple(val.split()))


def test_given_folds_are_taken_as_they_are():
    folds = kfold(ids(4), given=(fold("03 01", "02 00"), fold("00 01", "03 gone")))
    assert folds == ((("01", "03"), ("00", "02")), (("00", "01"), ("03",)))  # 02 is in neither


@pytest.mark.parametrize("given", [fold("00 01", "gone"), fold("gone", "00 01"), fold("", "00")])
def test_a_given_fold_must_leave_both_sides(given):
    with pytest.raises(DataError, match="Fold 0 leaves"):
        kfold(ids(2), given=(given,))
