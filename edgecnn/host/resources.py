"""Cores and memory that this process may use, by affinity, cgroup limits and physical memory.

Engines size their thread pools by the host's cores, which makes them slower in a container with a small quota
(microsoft/onnxruntime#29510).
"""

import os
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use, at least 1. `root` contains `/proc` and `/sys`.

    It is the smaller of the processor affinity and the cgroup quota (v2 `cpu.max`, v1 `cpu.cfs_quota_us`), rounded
    down: an additional thread with part of a core would delay all other threads.
    """
    quota = cgroup_quota(root)
    cores = affinity()
    return max(1, cores if quota is None else min(cores, int(quota)))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """Return the lowest CPU quota of this process's control group and its parents, in cores; None if unlimited."""
    quotas = [_v2_quota(folder) for folder in _groups(root, "", "sys/fs/cgroup")]
    quotas += [_v1_quota(folder) for folder in _groups(root, "cpu", "sys/fs/cgroup/cpu")]
    return min((quota for quota in quotas if quota is not None), default=None)


def affinity() -> int:
    """Return the number of cores that the scheduler may use for this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return host_cores()


def host_cores() -> int:
    """Return the number of cores of the machine."""
    return os.cpu_count() or 1


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that this process may use; None if the system does not report them.

    It is the lowest limit of its control group and the group's parents (v2 `memory.max`, v1 `memory.limit_in_bytes`),
    or the physical memory. `root` contains `/proc` and `/sys`.
    """
    limits = [_bytes(folder / "memory.max") for folder in _groups(root, "", "sys/fs/cgroup")]
    limits += [_bytes(folder / "memory.limit_in_bytes") for folder in _groups(root, "memory", "sys/fs/cgroup/memory")]
    return min((limit for limit in (*limits, physical_memory(root)) if limit is not None), default=None)


def physical_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of physical memory; None if the system does not report them."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
    except (OSError, ValueError, IndexError, StopIteration):
        pass
    try:  # macOS has no /proc; Windows has no sysconf
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def resident_bytes(root: Path = Path("/")) -> int:
    """Return the bytes of physical memory that this process uses (proc_pid_statm(5)); Linux only."""
    return int((root / "proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _groups(root: Path, controller: str, mount: str) -> list[Path]:
    """Return the folders of this process's control group and its parents, from `/proc/self/cgroup`.

    In a container the path may name folders of the host that do not exist there; the last entry, the mount point
    itself, is then the container's group.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return []
    for line in lines:
        fields = line.split(":", 2)  # hierarchy, controllers, path
        if len(fields) == 3 and controller in fields[1].split(","):
            group = Path(fields[2].lstrip("/"))
            return [root / mount / part for part in (group, *group.parents)]
    return []


def _v2_quota(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _v1_quota(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _bytes(file: Path) -> int | None:
    """Read a memory limit; None if there is none. Version 1 writes "no limit" as a very large number."""
    try:
        limit = int(file.read_text())
        return limit if limit >= 0 else None
    except (OSError, ValueError):
        return None
