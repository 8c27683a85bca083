"""Constants that nnU-Net 2.8.1 computed, and its Python where a user has one.

`python -m benchmarks.peers.golden` writes golden.json.
"""

import json
from pathlib import Path
from typing import Any

import pytest

OPTION = "--peer-python"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, default=None, help="Python of an environment that holds nnU-Net 2.8.1")


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """Small inputs and what nnU-Net made of them."""
    return json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def peer_python(pytestconfig: pytest.Config) -> Path:
    """nnU-Net's Python, asked for by `pytest tests/parity --peer-python PATH`."""
    found = pytestconfig.getoption(OPTION, default=None)
    if found is None:
        pytest.skip("no nnU-Net was given: pytest tests/parity --peer-python PATH")
    return Path(found)
