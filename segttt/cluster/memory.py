"""How much memory this process has, and how much more it may take."""

from pathlib import Path

import psutil

CGROUP_MEMORY = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"))


def available_bytes() -> int:
    """Memory that this process may still take, by the machine and by its container."""
    free = psutil.virtual_memory().available
    try:
        most, used = (int(path.read_text(encoding="ascii")) for path in CGROUP_MEMORY)
    except (OSError, ValueError):
        return free
    return max(0, min(free, most - used))


def resident_bytes() -> int:
    """Memory that this process holds now."""
    return psutil.Process().memory_info().rss
