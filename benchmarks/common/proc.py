"""What Linux tells about a process: its children, processor time, memory, descriptors and threads."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it, those that have ended left out."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.glob("[0-9]*"):
        fields = stat(int(folder.name))
        if fields and fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on; none where it has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has taken."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def started_at(pid: int) -> int:
    """Return when a process began, in ticks: with its number it names it for good."""
    fields = stat(pid)
    return int(fields[19]) if fields else -1


def memory_mb(pid: int) -> tuple[float, float]:
    """Return resident memory, and the same with shared pages divided among those who share them, in MB."""
    sizes = {"Rss": 0.0, "Pss": 0.0}
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in sizes:
                sizes[name] = int(rest.split()[0]) * 1024 / 1e6
    except OSError:
        pass
    return sizes["Rss"], sizes["Pss"]


def peak_mb() -> float:
    """Return the most resident memory that this process has had, in MB."""
    # Not getrusage: a child's begins with its parent's.
    status = (_PROC / "self" / "status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    try:
        return sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return 0


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    fields = stat(pid)
    return int(fields[17]) if fields else 0
