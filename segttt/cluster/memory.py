"""How much memory this process has, and how much more it may take."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

import psutil

from segttt.cluster.cgroup import Groups
from segttt.errors import CaseMemoryError, ran_out_of_memory


def available_bytes() -> int:
    """Memory that this process may still take, by the machine and by its container."""
    free, left = psutil.virtual_memory().available, Groups().memory_left()
    return free if left is None else min(free, left)


def resident_bytes() -> int:
    """Memory that this process holds now."""
    return psutil.Process().memory_info().rss


def give_back_freed_memory() -> bool:
    """Have glibc hand back what was freed, which otherwise counts as held until it is used again.

    Once, since with each block a prediction of 47 s on a CPU took 65 s. False where the C library
    cannot.
    """
    try:
        return bool(ctypes.CDLL("libc.so.6").malloc_trim(0))
    except (OSError, AttributeError):
        return False


class Gate:
    """Lets items work at once only as far as there is memory for all; one always may."""

    def __init__(self, budget: int | None = None):
        self.budget = available_bytes() if budget is None else budget
        self.held: list[int] = []
        self.turn = Condition()

    @contextmanager
    def room(self, needed: int) -> Iterator[None]:
        """Inside, so many bytes are this item's; waits until they are there."""
        with self.turn:
            self.turn.wait_for(lambda: not self.held or sum(self.held) + needed <= self.budget)
            self.held.append(needed)
        try:
            yield
        finally:
            with self.turn:
                self.held.remove(needed)
                self.turn.notify_all()


@contextmanager
def memory_of(case: str) -> Iterator[None]:
    """Inside, running out of memory is a `CaseMemoryError` that names the case."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        reason = str(error).strip().partition("\n")[0] or "no details"
        raise CaseMemoryError(
            f"{case}: there is not enough memory for it ({reason}). Use fewer --workers, or a "
            "machine with more memory."
        ) from error
