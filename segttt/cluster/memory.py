"""How much memory this process has, and how much more it may take."""

from collections.abc import Iterator
from contextlib import contextmanager

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
