"""Tests of how much memory a process may take."""

import platform
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from segttt.cluster.cgroup import Groups
from segttt.cluster.memory import (
    Gate,
    available_bytes,
    give_back_freed_memory,
    resident_bytes,
)


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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such call")
def test_what_was_freed_is_given_back() -> None:
    """Blocks too small to be mapped, with one above them that is still held."""
    blocks = [np.ones(2**16, np.uint8) for _ in range(1024)]
    above = np.ones(2**16, np.uint8)
    del blocks
    assert give_back_freed_memory()
    before = resident_bytes()
    blocks = [np.ones(2**16, np.uint8) for _ in range(1024)]
    assert resident_bytes() > before + 2**25
    last = blocks[-1]
    del blocks
    assert give_back_freed_memory()
    assert resident_bytes() < before + 2**23
    assert last.all()
    assert above.all()


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
