"""Several processes in one folder: one works, the others wait or say why they do not."""

import random
import re

import pytest

from tests.reliability.job import COMMANDS, SETTINGS, differences, files, unreadable
from tests.reliability.processes import Job

PROCESSES, ROUNDS = 8, 20
BUSY = re.compile(
    r"error: \S+: another segttt \w+ here\. Wait until it ends, or use another folder\."
)
ONCE = re.compile("prepare|step|predict segment")
"""What a second call finds done."""


def race(work, place, jobs):
    """Run the jobs at once; all that is wrong with how they ended, or with what they left."""
    ended = work.server.run(*(Job(arguments, [("recorded", {})]) for arguments in jobs))
    problems = [
        f"{' '.join(job[:2])}: exit {one.status}: {one.said}"
        for job, one in zip(jobs, ended, strict=True)
        if one.status and not (one.status == 2 and BUSY.search(one.said))
    ]
    did = [f"{job[0]} {piece}" for job, one in zip(jobs, ended, strict=True) for piece in one.told]
    twice = [f"done twice: {one}" for one in set(did) if did.count(one) > 1 and ONCE.search(one)]
    return [*problems, *twice, *unreadable(place)]


def same(work, command, count):
    """The same command several times."""
    place = work.fresh(command)
    problems = race(work, place, [work.arguments(command, place)] * count)
    return [*problems, *differences(files(place), work.expected(command, place))]


def whole(work, count):
    """Several trainings of one workspace that has no plan yet."""
    place = work.fresh("plan")
    data = ["--data", str(work.folder / "data"), "--preset", "laptop", *SETTINGS]
    problems = race(work, place, [[*work.arguments("train", place), *data]] * count)
    return [*problems, *differences(files(place), work.expected("train", place))]


def mixed(work, count, chance):
    """All commands at once; each again afterwards, since it may have lost."""
    place = work.fresh("preprocess")
    chosen = [*COMMANDS, *chance.choices(COMMANDS, k=count - len(COMMANDS))]
    chance.shuffle(chosen)
    problems = race(work, place, [work.arguments(command, place) for command in chosen])
    for command in COMMANDS:
        ended = work.run(command, place)
        problems += [f"{command}: exit {ended.status}: {ended.said}"] if ended.status else []
    return [*problems, *differences(files(place), files(work.reference))]


@pytest.mark.parametrize("command", ["preprocess", "predict"])
def test_three_at_once(work, command):
    assert same(work, command, 3) == []


def test_three_trainings_of_a_new_workspace(work):
    assert whole(work, 3) == []


@pytest.mark.reliability
@pytest.mark.parametrize("kind", [*COMMANDS, "train from nothing", "all commands"])
def test_eight_at_once(work, kind, table):
    chance, results = random.Random(), []
    for _ in range(ROUNDS):
        if kind == "train from nothing":
            results.append(whole(work, PROCESSES))
        elif kind == "all commands":
            results.append(mixed(work, PROCESSES, chance))
        else:
            results.append(same(work, kind, PROCESSES))
    wrong = [problems for problems in results if problems]
    table("E20", f"{PROCESSES} processes at once: {kind}", ROUNDS, ROUNDS - len(wrong))
    assert not wrong, wrong[0]
