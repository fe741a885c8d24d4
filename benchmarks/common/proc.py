"""Data about a Linux process: children, processor time, memory, descriptors and threads."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """Return a process and all running descendants."""
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
    """Return the fields of a process, starting with its state; empty if the process has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_s(pid: int) -> float:
    """Return the processor time of a process."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def started_at(pid: int) -> int:
    """Return the start time of a process in ticks. Together with the process id, it identifies the process."""
    fields = stat(pid)
    return int(fields[19]) if fields else -1


def memory_mb(pid: int) -> tuple[float, float]:
    """Return resident memory and proportional memory (PSS) in MB."""
    sizes = {"Rss": 0.0, "Pss": 0.0}
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in sizes:
                sizes[name] = int(rest.split()[0]) * 1024 / 1e6
    except OSError:
        pass
    return sizes["Rss"], sizes["Pss"]


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 if it has ended.

    `memory_mb` walks all pages of the process, which delays it. This function reads one counter.
    """
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def command_of(pid: int) -> bytes:
    """Return the command line of a process, its arguments separated by NUL; empty if it has ended."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def peak_mb() -> float:
    """Return the peak resident memory of this process in MB."""
    # Not getrusage: a child inherits the value of its parent.
    status = (_PROC / "self" / "status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def descriptors(pid: int) -> int:
    """Return the number of open descriptors of a process."""
    try:
        return sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return 0


def threads(pid: int) -> int:
    """Return the number of threads of a process."""
    fields = stat(pid)
    return int(fields[17]) if fields else 0
