"""Folders laid out as the challenges do it, of empty files."""

import pytest


@pytest.fixture
def lay(tmp_path):
    """Make empty files and return the folder."""

    def laid(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path

    return laid


@pytest.fixture
def inside(tmp_path):
    """A file as its path below the folder."""
    return lambda path: str(path).removeprefix(f"{tmp_path}/")
