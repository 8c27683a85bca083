"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

# GPU kernels run on the CPU in tests, one program after the other. Triton asks for this when it is
# imported, and PyTorch imports it early.
_environment = pytest.MonkeyPatch()
_environment.setenv("TRITON_INTERPRET", "1")

import torch  # noqa: E402

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

torch.set_num_threads(1)  # tensors of tests are small; threads would only wait for each other


def pytest_unconfigure() -> None:
    _environment.undo()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real labelled data beside the checkout, where there is one."""
    if not SHARED.is_dir():
        pytest.skip("real data (../shared/data) is not beside this checkout")
    return SHARED
