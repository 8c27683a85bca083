"""What a container or a cluster's scheduler allots to this process: Linux control groups.

Both versions are read, and of nested groups, as SLURM makes them for jobs and steps, the tightest
limit counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

UNLIMITED = 2**60
"""Version 1 writes a number close to 2^63 where there is no limit."""


@dataclass(frozen=True)
class Groups:
    """Where the kernel tells of groups; tests use other places."""

    own: Path = Path("/proc/self/cgroup")
    root: Path = Path("/sys/fs/cgroup")

    def cpu_quota(self) -> float | None:
        """Cores' worth of time that may be used; None: no limit."""
        found = []
        for folder in self._folders(""):
            quota, _, period = _text(folder / "cpu.max").partition(" ")
            found.append((_number(quota), _number(period)))
        for folder in self._folders("cpu"):
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            found.append(tuple(_number(_text(folder / name)) for name in names))
        return min((quota / period for quota, period in found if quota and period), default=None)

    def memory_left(self) -> int | None:
        """Bytes that may still be taken; None: no limit."""
        pairs = [(folder / "memory.max", folder / "memory.current") for folder in self._folders("")]
        pairs += [
            (folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes")
            for folder in self._folders("memory")
        ]
        found = [(_number(_text(most)), _number(_text(used))) for most, used in pairs]
        return min((max(0, most - (used or 0)) for most, used in found if most), default=None)

    def _folders(self, controller: str) -> Iterator[Path]:
        """The folder of this process's group and of those above; "" is version 2."""
        for line in _text(self.own).splitlines():
            names, _, path = line.partition(":")[2].partition(":")
            if controller in names.split(","):
                home = self.root / names if controller else self.root
                steps = PurePosixPath(path.lstrip("/"))
                # A container may see only its own group, as the root.
                yield from (home / step for step in (steps, *steps.parents))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _number(text: str) -> int | None:
    """None where it is no limit: absent, max, -1 or absurdly large."""
    number = int(text) if text.isdigit() else None
    return number if number is not None and number < UNLIMITED else None
