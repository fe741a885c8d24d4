"""Measures how long other work held up this process, from the processor times that Linux counts.

A thread that is ready to run waits in a run queue while other threads use the cores. The wait alone does not prove
other work: threads of one process wait for each other too, and a control group's quota stops them. Other work held up
this process only as long as its threads waited and other processes used the cores.

Sources: `schedstat` of each thread (Linux, Documentation/scheduler/sched-stats.rst) and `/proc/stat` (proc_stat(5)).
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessorTimes:
    """Times in seconds that only grow. Two of them give the times of the interval between.

    Attributes:
        own_s: processor time of this process.
        waited_s: thread to its time in run queues; None if the system does not count it.
        used_s: processor time of all processes on all cores.
        stolen_s: time in which the hypervisor ran other machines on this one's cores.
    """

    own_s: float
    waited_s: dict[str, float] | None = None
    used_s: float = 0.0
    stolen_s: float = 0.0


def processor_times(root: Path = Path("/")) -> ProcessorTimes:
    """Read the processor times of this process and this machine. `root` contains `/proc`."""
    own_s = time.process_time()
    try:
        waited = {thread.name: _waited_s(thread / "schedstat") for thread in (root / "proc/self/task").iterdir()}
        ticks_per_s = os.sysconf("SC_CLK_TCK")
        columns = [int(ticks) / ticks_per_s for ticks in _first_line(root / "proc/stat").split()[1:9]]
        user, nice, system, _, _, interrupts, soft_interrupts, stolen = columns
    except (OSError, ValueError):
        return ProcessorTimes(own_s)
    known = {thread: seconds for thread, seconds in waited.items() if seconds is not None}
    return ProcessorTimes(own_s, known or None, user + nice + system + interrupts + soft_interrupts, stolen)


def held_up_s(before: ProcessorTimes, after: ProcessorTimes) -> float | None:
    """Return how long other work held up this process in an interval, in seconds; None if the system does not count it.

    It is the smaller of two times: the wait of this process's threads, and the processor time of other processes. The
    time that the hypervisor took is added. A run is delayed only while at least one of its threads waits, so the delay
    is at most this long.
    """
    if before.waited_s is None or after.waited_s is None:
        return None
    waited = sum(seconds - before.waited_s.get(thread, 0.0) for thread, seconds in after.waited_s.items())
    others = (after.used_s - before.used_s) - (after.own_s - before.own_s)
    return max(0.0, min(waited, others)) + max(0.0, after.stolen_s - before.stolen_s)


def _waited_s(file: Path) -> float | None:
    """Return a thread's time in run queues; None if the thread has ended, or the kernel does not count it."""
    try:
        ran, waited, times = map(int, _first_line(file).split())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return waited / 1e9 if ran or waited or times else None


def _first_line(file: Path) -> str:
    with file.open() as lines:
        return lines.readline()
