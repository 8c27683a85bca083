"""Tests of how much memory a process may take."""

import pytest

from segttt.cluster.memory import available_bytes, resident_bytes

GIB = 2**30


def test_the_container_counts(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    most, used = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr("segttt.cluster.memory.CGROUP_MEMORY", (most, used))
    most.write_text(f"{GIB}\n")
    used.write_text(f"{GIB - 1000}\n")
    assert available_bytes() == 1000
    most.write_text("max\n")
    assert available_bytes() > 1000


def test_what_is_held_grows_with_what_is_held() -> None:
    before = resident_bytes()
    held = bytearray(64 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    assert resident_bytes() > before + 32 * 2**20
