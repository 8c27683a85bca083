import threading

import psutil
import pytest

from segttt.cluster.cgroup import Groups
from segttt.cluster.cores import usable_cores
from segttt.cluster.local import map_cases
from segttt.errors import ImageError


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
