"""A command that is killed anywhere leaves nothing half written and goes on from what it had done.

A few kills of every command run with every test; `make reliability` runs a hundred of each.
"""

import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tests.reliability.job import COMMANDS, differences, done, files, unreadable
from tests.reliability.processes import ROOT, Job

KILLS, REAL_KILLS = 100, 4
TIMED = ("env.json", "metrics.jsonl", "curves.svg", "manifest.json", ".safetensors")
"""Endings of files in which a real process writes how long it took."""


def kill(work, command, fault=None, after=None):
    """Kill a command and run it again; None where it ended first, else all that went wrong."""
    place = work.fresh(command)
    job = Job(work.arguments(command, place), [fault] if fault else [], after)
    (ended,) = work.server.run(job)
    if ended.status in (0, 5):  # some writers stop just below the size that kills
        return None
    assert ended.status < 0, ended.said
    problems = unreadable(place)
    before = done(command, place)
    (again,) = work.server.run(replace(job, faults=[("recorded", {})], kill_after=None))
    if again.status:
        return [*problems, f"exit {again.status}: {again.said}"]
    lost = [f"done again: {one}" for one in sorted(before & set(again.told))]
    return [*problems, *lost, *differences(files(place), work.expected(command, place))]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_few_kills(work, command):
    chance, count = random.Random(), work.operations[command]
    for at in (chance.randint(1, count // 2), chance.randint(count // 2, count)):
        assert kill(work, command, ("killed", {"at": at})) == [], at


def some_ways(work, command, chance):
    """Kills at operations on the disk, in the middle of any writer's file, at any time."""
    count = work.operations[command]
    largest = max(path.stat().st_size for path in work.reference.rglob("*") if path.is_file())
    began = time.monotonic()
    work.run(command, work.fresh(command))
    lasted = time.monotonic() - began
    while True:
        yield {"fault": ("killed", {"at": chance.randint(1, count)})}
        yield {"fault": ("killed", {"at": chance.randint(1, count)})}
        size = int(2 ** chance.uniform(0, largest.bit_length()))
        yield {"fault": ("largest_file", {"size": size, "deadly": True})}
        yield {"after": chance.uniform(0, lasted)}


@pytest.mark.reliability
@pytest.mark.parametrize("command", COMMANDS)
def test_many_kills(work, command, table):
    chance = random.Random()
    results = []
    for way in some_ways(work, command, chance):
        problems = kill(work, command, **way)
        if problems is not None:
            results.append((way, problems))
        if len(results) == KILLS:
            break
    wrong = [(way, problems) for way, problems in results if problems]
    table("E7", f"kills of {command}: whole, kept, same bytes", KILLS, KILLS - len(wrong))
    assert not wrong, wrong[0]


def real_kill(work, command, chance):
    """As `kill`, with the program as it is started by a user, killed after it began to write."""
    place = work.fresh(command)
    before = files(place)
    process = subprocess.Popen(
        [sys.executable, "-m", "segttt", *work.arguments(command, place)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and files(place) == before:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.3))
    process.kill()
    killed = process.wait() < 0
    problems = unreadable(place)
    again = work.run(command, place)
    if again.status:
        return killed, [*problems, f"exit {again.status}: {again.said}"]
    found, wanted = files(place), work.expected(command, place)
    changed = [
        name
        for name in differences(found, wanted)
        if name not in found or name not in wanted
        or name.endswith("model.safetensors") or not name.endswith(TIMED)
    ]  # fmt: skip
    return killed, [*problems, *changed]


@pytest.mark.reliability
def test_real_kills(work, table):
    chance, results = random.Random(), []
    for command in COMMANDS:
        for _ in range(REAL_KILLS):
            killed, problems = real_kill(work, command, chance)
            results.append((killed, problems))
    wrong = [problems for _, problems in results if problems]
    table("E7", "kill -9 of `segttt` itself", len(results), len(results) - len(wrong))
    assert sum(killed for killed, _ in results) >= len(results) // 3
    assert not wrong, wrong[0]
