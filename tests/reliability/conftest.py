"""The table of figures that `make reliability` prints."""

import sys

import pytest

from tests.reliability.job import Work
from tests.reliability.processes import Server

FIGURES = pytest.StashKey[list[tuple[str, str, int, int]]]()


@pytest.fixture
def table(request):
    """Add a row: number in the acceptance table, what was tried, how often, how often it held."""

    def row(number: str, what: str, tried: int, held: int) -> None:
        request.config.stash.setdefault(FIGURES, []).append((number, what, tried, held))

    return row


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    """A tiny cohort, all commands run on it once, and a server to run them again."""
    if sys.platform != "linux":
        pytest.skip("processes are watched and limited in the way of Linux")
    server = Server()
    yield Work.begun(tmp_path_factory.mktemp("work"), server)
    server.close()


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(FIGURES, [])
    if rows:
        good, bad = (
            sum("malformed" in report.nodeid for report in terminalreporter.stats.get(key, ()))
            for key in ("passed", "failed")
        )
        if good + bad:
            rows.append(("E11", "malformed NIfTI, DICOM and pictures refused", good + bad, good))
        terminalreporter.write_line("")
        for number, what, tried, held in rows:
            terminalreporter.write_line(f"{number:5} {what:45} {held:6} of {tried:6}")
