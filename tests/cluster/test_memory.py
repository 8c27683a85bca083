"""Tests of how much memory a process may take."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from segttt.cluster.cgroup import Groups
from segttt.cluster.memory import Gate, available_bytes, resident_bytes


def test_the_container_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Groups, "memory_left", lambda _: 1000)
    assert available_bytes() == 1000
    monkeypatch.setattr(Groups, "memory_left", lambda _: None)
    assert available_bytes() > 1000


def test_what_is_held_grows_with_what_is_held() -> None:
    before = resident_bytes()
    held = bytearray(64 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    assert resident_bytes() > before + 32 * 2**20


def test_items_run_at_once_only_as_far_as_there_is_memory() -> None:
    gate, together, most = Gate(100), [], []

    def work(needed: int) -> None:
        with gate.room(needed):
            together.append(needed)
            most.append(list(together))
            time.sleep(0.01)
            together.remove(needed)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [60, 30, 70, 500, 10, 40, 40]))  # one alone may take more
    assert all(sum(one) <= 100 or len(one) == 1 for one in most)
    assert any(len(one) > 1 for one in most)
    assert gate.held == []
