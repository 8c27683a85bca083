"""One case for which memory does not suffice never costs the others."""

import json
import random

import numpy as np
import pytest

from tests.pipeline.conftest import write_volume
from tests.reliability.job import TEST, TRAINING, differences, files
from tests.reliability.processes import Job

TRIES = 50
FOREVER = 99
CASES = {"preprocess": TRAINING, "predict": TEST, "evaluate": TEST}
PLACES = {
    "preprocess": ("read", "work", "write"),
    "predict": ("read", "work", "write"),
    "evaluate": ("read labels", "work", "all"),
}
WORDS = ("Unable to allocate 9.9 GiB", "DefaultCPUAllocator: can't allocate memory")
RESULTS = {"preprocess": "run/prepared/*", "predict": "out", "evaluate": "scores"}


def starve(work, command, where, times, chance):
    """What is wrong after memory did not suffice for one case; empty where all is as it must be."""
    case = f"case_{chance.choice(CASES[command])}"
    fault = {"case": case, "where": where, "times": times, "words": chance.choice(WORDS)}
    place = work.fresh(command)
    ended = work.run(command, place, ("starved", fault))
    wanted = work.expected(command, place)
    if ended.status == 0 and times < FOREVER:  # tried again
        return differences(files(place), wanted)
    problems = judged(place, command, ended, case)
    if command != "evaluate":
        changed = differences(files(place), wanted)
        problems += [one for one in changed if case not in one and not one.endswith(".json")]
    again = work.run(command, place)
    problems += [] if again.status == 0 else [again.said]
    return [*problems, *unequal(place, work, command)]


def judged(place, command, ended, *cases):
    """How a command must end that could not do some cases."""
    (folder,) = place.glob(RESULTS[command])
    failures = json.loads((folder / "failures.json").read_text())
    good = (
        ended.status == 4
        and "Traceback" not in ended.said
        and [one["id"] for one in failures] == list(cases)
        and all("memory" in one["reason"] and one["id"] in one["reason"] for one in failures)
        and all(one["reason"].endswith(".") for one in failures)
    )
    return [] if good else [f"exit {ended.status}, {failures}: {ended.said}"]


def unequal(place, work, command):
    """Names of results that are not the undisturbed ones; a manifest may be in another order."""
    wrong = differences(files(place), work.expected(command, place))
    manifest = "out/manifest.json"
    if manifest in wrong:
        one, other = (json.loads((at / manifest).read_text()) for at in (place, work.reference))
        wrong = [name for name in wrong if name != manifest or one != other]
    return wrong


@pytest.mark.parametrize("command", CASES)
def test_memory_that_does_not_suffice_for_one_case(work, command):
    for where in PLACES[command][:2]:
        assert starve(work, command, where, FOREVER, random.Random()) == []


def test_what_does_not_fit_is_tried_again_alone(work):
    assert starve(work, "preprocess", "work", 1, random.Random()) == []


@pytest.mark.reliability
@pytest.mark.parametrize("command", CASES)
def test_memory_many_times(work, command, table):
    chance = random.Random()
    results = [
        starve(
            work, command, chance.choice(PLACES[command]), chance.choice((1, 2, FOREVER)), chance
        )
        for _ in range(TRIES)
    ]
    wrong = [problems for problems in results if problems]
    table("E19", f"one case of {command} out of memory", TRIES, TRIES - len(wrong))
    assert not wrong, wrong[0]


@pytest.fixture(scope="module")
def large(work):
    """A scan and a label map of 128 x 512 x 512 voxels, beside small ones."""
    folder = work.folder / "large"
    empty = np.zeros((128, 512, 512), np.int16)
    empty[60:64, 200:300, 200:300] = 1
    write_volume(folder / "images" / "vast_0000.nii.gz", empty * 900)
    write_volume(folder / "labels" / "vast.nii.gz", empty.astype(np.uint8))
    for number in TEST:
        for kind, name in (("images", f"case_{number}_0000"), ("labels", f"case_{number}")):
            source = work.folder / "data" / f"{kind}Ts" / f"{name}.nii.gz"
            (folder / kind / source.name).write_bytes(source.read_bytes())
    return folder


def test_a_limit_of_memory_that_one_scan_does_not_fit_into(work, large):
    place = work.fresh("predict")
    arguments = work.arguments("predict", place)
    arguments[1] = str(large / "images")
    (ended,) = work.server.run(Job(arguments, [("more_memory", {"size": 150_000_000})]))
    assert judged(place, "predict", ended, "vast") == []
    assert [one for one in unequal(place, work, "predict") if one.endswith(".gz")] == []


LIMITS_MB = range(20, 220, 20)


@pytest.mark.reliability
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_limits_of_memory(work, large, command, table):
    wrong = []
    for limit in LIMITS_MB:
        place = work.fresh(command)
        arguments = work.arguments(command, place)
        if command == "predict":
            arguments[1] = str(large / "images")
        else:
            arguments[1:3] = str(large / "labels"), str(large / "labels")
        (ended,) = work.server.run(Job(arguments, [("more_memory", {"size": limit * 1_000_000})]))
        told = ended.status == 5 and "memory" in ended.said and "Traceback" not in ended.said
        if not told and (problems := judged(place, command, ended, "vast")):
            wrong.append((limit, problems))
    table("E19", f"limits of memory of {command}", len(LIMITS_MB), len(LIMITS_MB) - len(wrong))
    assert not wrong, wrong[0]
