"""How many cores this process may really use."""

import math

import psutil

from segttt.cluster.cgroup import Groups


def usable_cores(groups: Groups | None = None) -> int:
    """Cores allotted by the scheduler and by the container, at least one."""
    process = psutil.Process()
    cores = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count()
    quota = (groups or Groups()).cpu_quota()
    return max(1, min(cores or 1, math.ceil(quota) if quota else cores or 1))
