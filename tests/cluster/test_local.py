import threading

import psutil
import pytest

from segttt.cluster.cgroup import Groups
from segttt.cluster.cores import usable_cores
from segttt.cluster.local import map_cases
from segttt.cluster.memory import memory_of
from segttt.errors import CaseMemoryError, ImageError


def test_order_is_kept_and_expected_errors_are_results():
    def half(number):
        if number % 2:
            raise ImageError(f"{number} is odd")
        return number // 2

    results = dict(map_cases(half, range(6), workers=3))
    assert list(results) == list(range(6))
    assert results[4] == 2
    assert str(results[3]) == "3 is odd"


def test_a_bug_is_not_swallowed():
    def broken(number):
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        list(map_cases(broken, [1, 0], workers=2))


def test_what_does_not_fit_is_tried_again_alone_and_stays_in_its_place():
    running, gate, failed = set(), threading.Barrier(2), threading.Event()

    def greedy(number):
        with memory_of(f"case {number}"):
            running.add(number)
            if number in (1, 2) and not failed.is_set():
                gate.wait(5)  # both at once
            if number == 4 or (number == 1 and len(running) > 1):
                failed.set()
                running.discard(number)
                raise MemoryError("Unable to allocate 9 GiB")
            running.discard(number)
            return number

    results = list(map_cases(greedy, [1, 2, 3, 4], workers=2))
    assert [number for number, _ in results] == [1, 2, 3, 4]
    assert [result for _, result in results[:3]] == [1, 2, 3]
    assert isinstance(results[3][1], CaseMemoryError)
    assert str(results[3][1]).startswith("case 4: there is not enough memory for it (Unable")


def test_other_errors_of_a_case_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), memory_of("case"):
        raise RuntimeError("shapes do not match")


def test_few_results_wait():
    started, gate = [], threading.Event()

    def slow(number):
        started.append(number)
        gate.wait(5)
        return number

    results = map_cases(slow, range(100), workers=2)
    gate.set()
    next(results)
    assert len(started) <= 6
    results.close()


def test_cores_honour_the_container(tmp_path):
    own, limit = tmp_path / "own", tmp_path / "cpu.max"
    own.write_text("0::/\n")
    limit.write_text("100000 100000\n")
    assert usable_cores(Groups(own, tmp_path)) == 1
    limit.write_text("max 100000\n")
    assert usable_cores(Groups(own, tmp_path)) == len(psutil.Process().cpu_affinity())
