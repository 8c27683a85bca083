"""Compiled loops on disk."""

from importlib import import_module

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from segttt.kernels import numba_cache
from segttt.kernels.numba_cache import kept
from segttt.kernels.selective_scan import numba_loops


def make(sources: int):
    def add(array) -> None:
        _ = sources
        array[0] += 1

    return add


def first_of_two(loops) -> float:
    array = np.zeros(2, np.float32)
    loops(array)
    return array[0]


def test_what_was_compiled_is_found_again_until_a_source_changes(monkeypatch):
    hits = []
    for digest in (1, 1, 2):
        monkeypatch.setattr(numba_cache, "_digest", lambda digest=digest: digest)
        loops = kept(make)
        assert first_of_two(loops) == 1
        hits.append(sum(loops.stats.cache_hits.values()))
    assert hits[1:] == [1, 0]


@pytest.mark.parametrize("name", ["forward", "backward"])
def test_the_loops_of_every_operator_are_kept(name):
    loops = [getattr(numba_loops, name)]
    for operator in ("ttt_linear", "ttt_mlp"):
        module = import_module(f"segttt.kernels.{operator}.numba_{name}")
        loops.append(getattr(module, name))
    assert all(one.stats.cache_path for one in loops)


def test_where_nothing_can_be_kept_it_is_compiled_each_time(monkeypatch):
    def refuse(self) -> None:
        raise RuntimeError("cannot cache function 'add': no locator available")

    monkeypatch.setattr(Dispatcher, "enable_caching", refuse)
    loops = kept(make)
    assert first_of_two(loops) == 1
    assert not loops.stats.cache_hits


def test_the_digest_is_of_all_loops():
    names = {path.name for path in numba_cache.sources()}
    assert {"numba_lanes.py", "numba_forward.py", "numba_loops.py", "cpu.py"} <= names
    assert numba_cache._digest() == numba_cache._digest()


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Keep what these tests compile out of the tree."""
    from numba.core import config

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
