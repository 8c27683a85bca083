"""Tests of how much memory a process may take."""

import pytest

from segttt.cluster.cgroup import Groups
from segttt.cluster.memory import available_bytes, resident_bytes


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
