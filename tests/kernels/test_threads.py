"""Sharing out tasks among threads."""

from threading import get_ident

import pytest
import torch

from segttt.kernels.threads import share


@pytest.mark.parametrize(("tasks", "threads"), [(0, 1), (1, 4), (7, 1), (7, 3), (8, 4)])
def test_every_task_is_done_once(monkeypatch, tasks, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    done = []
    share(tasks, lambda part: done.extend(range(*part)))
    assert sorted(done) == list(range(tasks))


def test_one_thread_is_the_callers_own(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    seen = []
    share(3, lambda part: seen.append(get_ident()))
    assert seen == [get_ident()]


def test_what_goes_wrong_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        share(2, lambda part: 1 // 0)
