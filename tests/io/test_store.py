"""The prepared store."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from segttt.cases import Preparation, PreparedCase
from segttt.errors import ImageError, ResourceError, UsageError
from segttt.io import store
from segttt.io.store import StoredCase, class_locations, damaged, finished, write_case

SHAPE = (20, 70, 33)
PREPARATION = Preparation(
    (2, 0, 1), (40, 80, 90), (1, 2, 3), (21, 72, 36), (2.5, 0.7, 0.7), SHAPE, (2.0, 0.8, 0.7)
)


@pytest.fixture
def prepared():
    random = np.random.default_rng(0)
    label = random.integers(-1, 4, SHAPE).astype(np.int16)
    label[label == 2] = 0
    return PreparedCase(
        "a b-1", random.normal(size=(2, *SHAPE)).astype(np.float32), label, PREPARATION
    )


@pytest.fixture
def stored(tmp_path, prepared):
    write_case(tmp_path, prepared, (16, 32, 32), 4)
    return StoredCase.open(tmp_path, prepared.id)


def padded(array, start, stop, fill):
    wide = np.pad(array, [(0, 0)] * (array.ndim - 3) + [(50, 50)] * 3, constant_values=fill)
    return wide[(..., *(slice(a + 50, b + 50) for a, b in zip(start, stop, strict=True)))]


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        ((0, 0, 0), SHAPE),
        ((3, 10, 5), (19, 42, 33)),
        ((-7, -1, 20), (9, 80, 47)),
        ((-5, 60, -3), (30, 75, 40)),
        ((25, 0, 0), (30, 5, 5)),
        ((-9, -9, -9), (-2, -2, -2)),
    ],
)
def test_windows(stored, prepared, start, stop):
    np.testing.assert_array_equal(stored.image(start, stop), padded(prepared.image, start, stop, 0))
    label = stored.label(start, stop)
    assert label.dtype == np.int16
    np.testing.assert_array_equal(label, padded(prepared.label, start, stop, -1))


def test_facts(stored, prepared, tmp_path):
    assert (stored.id, stored.shape, stored.preparation) == ("a b-1", SHAPE, PREPARATION)
    assert finished(tmp_path) == {"a b-1"}
    assert damaged(tmp_path) == set()
    assert stored.locations.keys() == {1, 3}
    for value, voxels in stored.locations.items():
        assert voxels.dtype == np.int32
        np.testing.assert_array_equal(voxels, np.argwhere(prepared.label == value))


def test_many_voxels_are_drawn_and_the_draw_is_repeatable():
    label = np.zeros((30, 40, 50), np.int16)
    label[:20] = 1
    label[25, :, :4] = 7
    voxels, counts = class_locations(label)
    assert counts == {1: 10_000, 7: 160}
    first, second = voxels[:10_000], voxels[10_000:]
    assert (label[tuple(first.T)] == 1).all()
    assert len(np.unique(first, axis=0)) == 10_000
    assert abs(first.mean(0) - (9.5, 19.5, 24.5)).max() < 0.5
    np.testing.assert_array_equal(second, np.argwhere(label == 7))
    np.testing.assert_array_equal(class_locations(label)[0], voxels)


def test_one_percent_of_very_many():
    label = np.ones((100, 120, 100), np.int16)
    assert class_locations(label)[1] == {1: 12_000}


def test_threads_read_the_same(stored, prepared):
    starts = [(z, y, x) for z in (-4, 3) for y in (-6, 11, 50) for x in (0, 9)]

    def read(start):
        return stored.image(start, tuple(a + 16 for a in start))

    with ThreadPoolExecutor(8) as pool:
        for start, window in zip(starts * 5, pool.map(read, starts * 5), strict=True):
            stop = tuple(a + 16 for a in start)
            np.testing.assert_array_equal(window, padded(prepared.image, start, stop, 0))


@pytest.mark.parametrize("patch", [(64, 64), (8, 8, 8), (200, 200, 200)])
def test_every_patch_and_a_picture(tmp_path, prepared, patch):
    flat = replace(prepared, image=prepared.image[:, :1], label=prepared.label[:1])
    for case in (prepared, flat):
        write_case(tmp_path, case, patch, 4)
        found = StoredCase.open(tmp_path, case.id)
        np.testing.assert_array_equal(found.image((0, 0, 0), found.shape), case.image)
        np.testing.assert_array_equal(found.label((0, 0, 0), found.shape), case.label)


def test_locations_follow_a_case_that_is_written_anew(tmp_path, prepared, stored):
    assert 3 in stored.locations
    write_case(tmp_path, replace(prepared, label=np.minimum(prepared.label, 1)), (8, 8, 8), 4)
    assert StoredCase.open(tmp_path, prepared.id).locations.keys() == {1}


def test_without_a_label(tmp_path, prepared):
    write_case(tmp_path, replace(prepared, label=None), (8, 8, 8), 4)
    found = StoredCase.open(tmp_path, prepared.id)
    assert found.locations == {}
    with pytest.raises(ImageError, match=r"label\.b2nd"):
        found.label((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("name", ["image.b2nd", "label.b2nd", "locations.npy", "case.json"])
def test_a_case_that_lost_a_file_is_not_finished(tmp_path, stored, name):
    path = stored.folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    half = finished(tmp_path)
    path.unlink()
    assert finished(tmp_path) == set()
    if name != "case.json":  # a record without its last line break is still a record
        assert half == set()


def test_a_flipped_byte_is_found(tmp_path, stored):
    path = stored.folder / "image.b2nd"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert finished(tmp_path) == {stored.id}
    assert damaged(tmp_path) == {stored.id}


@pytest.mark.parametrize("where", [slice(0, 20), slice(-40, None)])
def test_damaged_locations_are_an_error_that_names_them(tmp_path, stored, where):
    path = stored.folder / "locations.npy"
    content = bytearray(path.read_bytes())
    content[where] = b"\x7f" * len(content[where])
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"locations\.npy: cannot be read .* preprocess again"):
        assert stored.locations


def test_nothing_half_written_stays(tmp_path, prepared, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("segttt.io.store.class_locations", fail)
    with pytest.raises(KeyboardInterrupt):
        write_case(tmp_path, prepared, (8, 8, 8), 4)
    assert list(tmp_path.iterdir()) == []
    assert finished(tmp_path / "none") == set()


def test_what_reads_back_otherwise_is_no_case(tmp_path, prepared, monkeypatch):
    asarray = store.blosc2.asarray

    def damaged_on_the_way(voxels, **how):
        changed = voxels.copy()
        changed[..., 3, 2, 1] += 1
        return asarray(changed, **how)

    monkeypatch.setattr(store.blosc2, "asarray", damaged_on_the_way)
    with pytest.raises(ResourceError, match=r"image.*it differs after writing"):
        write_case(tmp_path, prepared, (16, 32, 32), 4)
    assert not list(tmp_path.iterdir())


def test_an_unknown_case_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"case\.json"):
        StoredCase.open(tmp_path, "x")
