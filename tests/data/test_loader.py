"""Batches from the store: reproducible, read where they are needed, in any process."""

import multiprocessing
import resource
from functools import lru_cache

import numpy as np
import psutil
import pytest
import torch

from segttt.cases import Preparation, PreparedCase
from segttt.config.network import Topology
from segttt.data.loader import Loader
from segttt.io import store
from segttt.io.files import files_kept_open
from segttt.io.store import StoredCase, write_case
from tests.engine.conftest import small_plan

CPU = torch.device("cpu")
SHAPE = (16, 40, 40)


def stored(folder, count, shape=SHAPE, patch=(8, 16, 16)):
    there = Preparation((0, 1, 2), shape, (0, 0, 0), shape, (1.0,) * 3, shape, (1.0,) * 3)
    random = np.random.default_rng(0)
    for number in range(count):
        image = random.normal(size=(1, *shape)).astype(np.float32)
        label = random.integers(0, 3, shape).astype(np.int16)
        write_case(folder, PreparedCase(f"case_{number}", image, label, there), patch, 3)
    return [StoredCase.open(folder, f"case_{number}") for number in range(count)]


def flat_plan():
    topology = Topology(
        patch=(16, 16), strides=((1, 1), (2, 2)), kernels=((3, 3),) * 2, features=(4, 8)
    )
    return small_plan(topology=topology, resample_z=False)


def tensors(loader, steps):
    return [(batch.images, batch.labels) for batch in loader.batches(steps, CPU)]


def test_a_batch_depends_on_seed_and_step_only(tmp_path):
    cases = stored(tmp_path, 3)
    loader = Loader(cases, small_plan(), seed=5, augmented=True)
    whole, later = tensors(loader, range(6)), tensors(loader, range(4, 6))
    for one, other in zip(whole[4:], later, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    other_seed = tensors(Loader(cases, small_plan(), seed=6, augmented=True), range(1))
    assert not torch.equal(whole[0][0], other_seed[0][0])


def test_slices_of_a_volume_are_read_without_the_volume(tmp_path, monkeypatch):
    cases = stored(tmp_path, 2, patch=(16, 16))
    assert store._opened(cases[0].folder / store.IMAGE, "", 0).chunks[1] == 1
    asked = []

    def watched(self, name, start, stop, fill):
        asked.append(stop[0] - start[0])
        return window(self, name, start, stop, fill)

    window = StoredCase._window
    monkeypatch.setattr(StoredCase, "_window", watched)
    batches = tensors(Loader(cases, flat_plan(), seed=0, augmented=True), range(8))
    assert batches[0][0].shape == (2, 1, 16, 16)
    assert set(asked) == {1}


def test_many_cases_keep_few_files_open(tmp_path, monkeypatch):
    """1,000 cases of two files each must not meet the usual limit of 1,024."""
    opened = lru_cache(maxsize=20)(store._opened.__wrapped__)
    monkeypatch.setattr(store, "_opened", opened)
    cases = stored(tmp_path, 30, (8, 16, 16))
    process = psutil.Process()
    before = process.num_fds()
    tensors(Loader(cases, small_plan(), seed=0, augmented=False), range(40))
    assert opened.cache_info().misses > 40
    assert process.num_fds() <= before + 24


def test_half_of_the_files_that_the_system_allows():
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert files_kept_open() == min(4096, allowed // 2)


def first_batch(folder):
    """What a process that shares nothing with this one reads."""
    torch.set_num_threads(1)
    cases = [StoredCase.open(folder, f"case_{number}") for number in range(2)]
    (batch,) = Loader(cases, small_plan(), seed=1, augmented=True).batches(range(1), CPU)
    return batch.images.numpy(), batch.labels.numpy()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_spawned_process_reads_the_same(tmp_path):
    stored(tmp_path, 2)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        theirs = pool.apply(first_batch, (tmp_path,))
    for one, other in zip(first_batch(tmp_path), theirs, strict=True):
        np.testing.assert_array_equal(one, other)
