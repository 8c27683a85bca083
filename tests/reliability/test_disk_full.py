"""A disk that fills up: an error that names file and bytes, nothing cut, what was there intact.

Three ways: every new write is refused from some operation on; no file may grow beyond a size, which
reaches writers in C++ and Rust, too; a small file system.
"""

import random
import re
import shutil
import subprocess

import pytest

from tests.reliability.job import COMMANDS, differences, files, unreadable

POINTS = 24
NAMED = re.compile(r"error: \S+: .*(\d bytes|\d [KMG]iB) ", re.DOTALL)
"""A file, and how much is needed or free."""


def complaints(work, command, place, ended):
    """What is wrong with how a command ended that met a full disk."""
    found = []
    if ended.status != 5:
        found.append(f"exit {ended.status}: {ended.said}")
    if "Traceback" in ended.said or not NAMED.search(ended.said):
        found.append(f"said: {ended.said}")
    return [*found, *unreadable(place)]


def filled(work, command, fault):
    """Run a command on a full disk and again on a free one; None where the disk sufficed."""
    place = work.fresh(command)
    before = files(place)
    ended = work.run(command, place, fault)
    wanted = work.expected(command, place)
    if ended.status == 0:
        return None if not differences(files(place), wanted) else ["silent: exit 0"]
    problems = complaints(work, command, place, ended)
    changed = [name for name, one in before.items() if files(place).get(name) != one]
    again = work.run(command, place)
    if again.status:
        problems.append(f"exit {again.status}: {again.said}")
    return [*problems, *changed, *differences(files(place), wanted)]


def points(work, command, chance):
    """Operations from which on the disk is full, and sizes that no file may exceed."""
    count = work.operations[command]
    sizes = sorted(path.stat().st_size for path in made(work, command))
    while True:
        yield ("full_disk", {"at": chance.randint(1, count)})
        size = int(chance.uniform(0, 1.05) * chance.choice(sizes))
        yield ("largest_file", {"size": size, "deadly": False})


def made(work, command):
    """The files that a command writes."""
    before = files(work.fresh(command, "start"))
    names = work.expected(command, work.reference).keys() - before.keys()
    return [work.reference / name for name in names]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_that_is_full_at_two_points(work, command):
    count = work.operations[command]
    assert filled(work, command, ("full_disk", {"at": random.randint(1, count // 2)})) == []
    largest = max(path.stat().st_size for path in made(work, command))
    fault = ("largest_file", {"size": random.randint(0, largest - 1), "deadly": False})
    assert filled(work, command, fault) == []


@pytest.mark.reliability
@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_that_is_full_at_many_points(work, command, table):
    results = []
    for fault in points(work, command, random.Random()):
        problems = filled(work, command, fault)
        if problems is not None:
            results.append((fault, problems))
        if len(results) == POINTS:
            break
    wrong = [one for one in results if one[1]]
    table("E8", f"full disks of {command}: named, intact", POINTS, POINTS - len(wrong))
    assert not wrong, wrong[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_earlier_results_stay(work, command):
    """A second run that would write other bytes leaves those of the first where it fails."""
    place = work.fresh(command)
    assert work.run(command, place).status == 0
    before = files(place)
    ended = work.run(command, place, ("full_disk", {"at": 1}))
    assert ended.status in (0, 5)
    assert not differences(files(place), before)


@pytest.fixture
def small_disk(work):
    """A function that gives a place of so many KiB."""
    place = work.folder / "trial"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    if subprocess.run(mount(place, 64), capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def mount(place, kib, *more):
    options = ",".join([*more, f"size={kib}k"])
    return ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]


SMALL_DISKS = 5


@pytest.mark.reliability
@pytest.mark.parametrize("command", COMMANDS)
def test_a_small_file_system(work, command, small_disk, table):
    needed = sum(path.stat().st_size for path in made(work, command)) // 1024 + 4
    held, tried = 0, 0
    for _ in range(SMALL_DISKS):
        for old in small_disk.iterdir():
            shutil.rmtree(old)
        subprocess.run(mount(small_disk, 1 << 16, "remount"), check=True)
        start = work.fresh(command, "start")
        shutil.copytree(start / "run", small_disk / "run")
        used = (shutil.disk_usage(small_disk).used) // 1024
        size = used + random.randint(4, max(5, needed))
        subprocess.run(mount(small_disk, size, "remount"), check=True)
        ended = work.run(command, small_disk)
        problems = [] if ended.status == 0 else complaints(work, command, small_disk, ended)
        subprocess.run(mount(small_disk, 1 << 16, "remount"), check=True)
        again = work.run(command, small_disk)
        wrong = differences(files(small_disk), work.expected(command, small_disk))
        problems += [*wrong, *([again.said] if again.status else [])]
        tried, held = tried + 1, held + (not problems)
        assert not problems, problems
    table("E8", f"small file systems under {command}", tried, held)
