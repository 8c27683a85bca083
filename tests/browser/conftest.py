"""One browser for all tests, and a report of volumes and one of pictures."""

import pytest

from segttt.cli.app import run
from tests.browser import chromium, specimen


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    program = chromium.find()
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    browser = chromium.Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="session", params=[3, 2], ids=["volumes", "pictures"])
def any_report(request, tmp_path_factory):
    return request.getfixturevalue("volumes" if request.param == 3 else "pictures")


@pytest.fixture(scope="session")
def volumes(tmp_path_factory):
    return made(tmp_path_factory.mktemp("volumes"), 3)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    return made(tmp_path_factory.mktemp("pictures"), 2)


def made(folder, rank):
    specimen.write_run(folder / "run", rank=rank)
    assert run(["report", "-w", str(folder / "run"), "--cases", "7"]) == 0
    return folder / "run" / "report.html"
