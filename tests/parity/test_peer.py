"""nnU-Net itself, where its Python is given: the constants are still what it computes."""

import pytest

from benchmarks.peers.golden import collect
from benchmarks.peers.peer import Peer


def test_the_constants_are_nnunets(golden, peer_python, tmp_path):
    found = collect(Peer(peer_python, tmp_path))
    assert set(found) == set(golden)
    for section, wanted in golden.items():
        close(found[section], wanted, section)


def close(found, wanted, where):
    """Equal structure, and numbers that differ by rounding at most."""
    if isinstance(wanted, dict):
        assert {str(key) for key in found} == set(wanted), where
        for key, one in found.items():
            close(one, wanted[str(key)], f"{where}, {key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
            close(one, other, f"{where}, {index}")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, abs=3e-5, rel=1e-5), where
    else:
        assert found == wanted, where
