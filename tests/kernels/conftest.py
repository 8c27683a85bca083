"""GPU kernels run on the CPU in these tests, one program after the other."""

import pytest

# Kernels ask for this when their module is imported, which is when tests are collected.
_environment = pytest.MonkeyPatch()
_environment.setenv("TRITON_INTERPRET", "1")


def pytest_unconfigure() -> None:
    _environment.undo()
