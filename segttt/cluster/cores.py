"""How many cores this process may really use."""

from pathlib import Path

import psutil

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(limit_file: Path = CGROUP_LIMIT) -> int:
    """Cores allotted by the scheduler and by the container, at least one."""
    process = psutil.Process()
    cores = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count()
    try:
        quota, period = limit_file.read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores or 1, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return max(1, cores or 1)
