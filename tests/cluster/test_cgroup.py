"""Limits of containers and schedulers, both versions of control groups."""

import pytest

from segttt.cluster.cgroup import Groups


@pytest.fixture
def kernel(tmp_path):
    """Write files below the root, and /proc/self/cgroup as given."""

    def write(own: str, **files: str) -> Groups:
        (tmp_path / "own").write_text(own)
        for name, content in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        return Groups(tmp_path / "own", tmp_path / "fs")

    return write


def test_the_tightest_of_nested_groups_counts(kernel):
    groups = kernel(
        "0::/slurm/job_7/step_0\n",
        **{
            "slurm/cpu.max": "max 100000",
            "slurm/job_7/cpu.max": "350000 100000",
            "slurm/job_7/step_0/cpu.max": "800000 100000",
            "slurm/job_7/memory.max": "1000",
            "slurm/job_7/memory.current": "400",
            "slurm/job_7/step_0/memory.max": "max",
            "slurm/job_7/step_0/memory.current": "300",
        },
    )
    assert groups.cpu_quota() == 3.5
    assert groups.memory_left() == 600


def test_a_container_sees_its_group_as_the_root(kernel):
    files = {"cpu.max": "200000 100000", "memory.max": "900", "memory.current": "1000"}
    groups = kernel("0::/\n", **files)
    assert groups.cpu_quota() == 2
    assert groups.memory_left() == 0


def test_version_1(kernel):
    groups = kernel(
        "5:cpu,cpuacct:/job\n4:memory:/host/path\n0::/\n",
        **{
            "cpu,cpuacct/job/cpu.cfs_quota_us": "150000",
            "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": "5000",
            "memory/memory.usage_in_bytes": "4000",
        },
    )
    assert groups.cpu_quota() == 1.5
    assert groups.memory_left() == 1000


@pytest.mark.parametrize("own", ["", "nonsense", "0::/\n", "4:memory:/\n3:cpu:/\n"])
def test_without_limits(kernel, own):
    groups = kernel(own, **{
        "memory/memory.limit_in_bytes": "9223372036854771712", "cpu/cpu.cfs_quota_us": "-1",
        "memory.max": "max", "cpu.max": "max 100000",
    })  # fmt: skip
    assert groups.cpu_quota() is None
    assert groups.memory_left() is None
