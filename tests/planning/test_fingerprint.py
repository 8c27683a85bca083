from pathlib import Path

import numpy as np
import pytest

from segttt.cases import Case, Orientation, Volume
from segttt.errors import LabelError
from segttt.geometry import slabs
from segttt.geometry.grid import Grid
from segttt.planning import fingerprint as fingerprints
from segttt.planning.fingerprint import case_sample, merge


def volume(image, label, name="a") -> Volume:
    grid = Grid(
        shape=image.shape[1:],
        spacing_mm=(3.0, 1.0, 2.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    )
    orientation = Orientation(order=(0, 1, 2), flipped=(False, False, False))
    return Volume(Case(name, (Path("x"),)), image, label, grid, orientation, grid)


def test_facts_of_a_padded_case(dataset):
    image = np.zeros((2, 6, 8, 10), np.float32)
    image[0, 1:4, 2:7, 3:9] = 5
    image[1, 2, 3, 4] = 7  # inside the box of the first channel
    label = np.zeros((6, 8, 10), np.int16)
    label[2, 3, 3:7] = 1
    label[3, 3, 3:5] = 9
    label[5, 7, 9] = 1  # outside the non-zero box, which is all that counts
    sample = case_sample(volume(image, label), dataset(), total_cases=1)
    assert sample.facts.shape == (3, 5, 6)
    assert sample.facts.full_shape == (6, 8, 10)
    assert sample.facts.spacing_mm == (3.0, 1.0, 2.0)
    assert sample.facts.relative_size == 90 / 480
    assert sample.class_voxels == {"organ": 4, "9": 2}
    assert sample.intensities.dtype == np.float32
    assert sorted(sample.intensities[0]) == [5] * 6
    assert sorted(sample.intensities[1]) == [0, 0, 0, 0, 0, 7]


def test_statistics_equal_numpy_where_all_cases_weigh_the_same(dataset):
    rng = np.random.default_rng(0)
    cases, label = [], np.ones((4, 10, 10), np.int16)
    for name in "ba":
        image = rng.normal(100, 20, (1, 4, 10, 10)).astype(np.float32)
        cases.append(case_sample(volume(image, label, name), dataset(), total_cases=2))
    merged = merge(cases)
    values = np.concatenate([case.intensities[0] for case in cases]).astype(np.float64)
    channel = merged.channels[0]
    assert channel.mean == pytest.approx(values.mean(), rel=1e-6)
    assert channel.std == pytest.approx(values.std(), rel=1e-6)
    assert channel.median == pytest.approx(np.median(values), rel=1e-6)
    assert (channel.min, channel.max) == (values.min(), values.max())
    low, high = np.percentile(values, (0.5, 99.5))
    assert channel.percentile_00_5 == pytest.approx(low, rel=1e-6)
    assert channel.percentile_99_5 == pytest.approx(high, rel=1e-6)
    assert [case.id for case in merged.cases] == ["a", "b"]
    assert merged.class_voxels == {"organ": 800}


def test_a_large_case_does_not_outweigh_a_small_one(dataset):
    small, large = np.zeros((1, 20, 20), np.int16), np.ones((1, 20, 20), np.int16)
    small[0, 0, :4] = 1
    samples = [
        case_sample(
            volume(np.full((1, 1, 20, 20), 10, np.float32), small), dataset(), total_cases=2
        ),
        case_sample(
            volume(np.full((1, 1, 20, 20), 30, np.float32), large), dataset(), total_cases=2
        ),
    ]
    channel = merge(samples).channels[0]
    assert channel.mean == pytest.approx(20)
    assert channel.std == pytest.approx(10)


def test_large_foregrounds_are_sampled_the_same_way_each_time(dataset, monkeypatch):
    monkeypatch.setattr(fingerprints, "MAX_SAMPLES", 50)
    image = np.arange(1, 1001, dtype=np.float32).reshape(1, 10, 10, 10)
    label = np.ones((10, 10, 10), np.int16)
    first, again = (
        case_sample(volume(image, label), dataset(), total_cases=1).intensities for _ in range(2)
    )
    assert first.shape == (1, 50)
    assert len(np.unique(first)) == 50
    assert np.array_equal(first, again)
    monkeypatch.setattr(fingerprints, "MAX_TOTAL", 60)
    many = case_sample(volume(image, label), dataset(), total_cases=10).intensities
    assert many.shape == (1, 6)


@pytest.mark.parametrize("most", [40, 10**6])
def test_slabs_draw_the_voxels_that_the_whole_would(dataset, monkeypatch, most):
    """The definition is one draw from all places of the foreground, in the order of the draw."""
    monkeypatch.setattr(fingerprints, "MAX_SAMPLES", most)
    monkeypatch.setattr(slabs, "SLAB_VOXELS", 60)
    random = np.random.default_rng(5)
    image = random.normal(size=(2, 9, 8, 7)).astype(np.float32)
    label = random.integers(0, 3, (9, 8, 7)).astype(np.int16)
    label[3:5] = 0
    places = np.flatnonzero(label)
    if len(places) > most:
        places = np.random.default_rng(fingerprints.SEED).choice(places, most, replace=False)
    found = case_sample(volume(image, label), dataset(), total_cases=1).intensities
    np.testing.assert_array_equal(found, image.reshape(2, -1)[:, places])


def test_cases_without_foreground_are_tolerated(dataset):
    image = np.full((1, 2, 3, 4), 3, np.float32)
    label = np.zeros((2, 3, 4), np.int16)
    label[0, 0, 0] = 1
    with_organ = case_sample(volume(image, label, "a"), dataset(), total_cases=3)
    without = case_sample(volume(image * 9, label * 0, "b"), dataset(), total_cases=3)
    unlabelled = case_sample(volume(image * 9, None, "c"), dataset(), total_cases=3)
    merged = merge([with_organ, without, unlabelled])
    assert merged.channels[0].mean == 3
    assert len(merged.cases) == 3
    with pytest.raises(LabelError, match="None of the 2 training cases"):
        merge([without, unlabelled])


def test_an_empty_image_keeps_its_shape(dataset):
    image = np.zeros((1, 2, 3, 4), np.float32)
    sample = case_sample(volume(image, np.ones((2, 3, 4), np.int16)), dataset(), total_cases=1)
    assert sample.facts.shape == (2, 3, 4)
    assert sample.facts.relative_size == 1


def test_numbered_objects_are_counted_as_interior_and_boundary(dataset):
    label = np.zeros((1, 20, 20), np.int32)
    label[0, 2:12, 2:12] = 300
    cells = dataset(channels=("R",), labels={}, instances=True)
    sample = case_sample(volume(np.ones((1, 1, 20, 20), np.float32), label), cells, total_cases=1)
    # The rim (36) widened by one pixel to both sides: an inner ring of 28, an outer one of 40.
    assert sample.class_voxels == {"interior": 36, "boundary": 104}
    assert sample.intensities.shape == (1, 100)
