"""Hardware of this machine: processor, cores and memory. Does not import an engine."""

import platform
from dataclasses import dataclass
from pathlib import Path

from edgecnn.host.huge_pages import huge_page_bytes, why_no_huge_pages
from edgecnn.host.processor import Processor, emulator, processor
from edgecnn.host.resources import affinity, cgroup_quota, host_cores, memory_limit, physical_memory, usable_cores


@dataclass(frozen=True)
class Machine:
    """Hardware and system that this process runs on.

    Attributes:
        processor: name and instruction sets.
        emulator: command of the emulator that runs this process, or None.
        system: name and release of the operating system.
        python: version of the interpreter.
        host_cores: number of cores of the machine.
        affinity: number of cores that the scheduler may use for this process.
        quota: CPU quota of the control group, in cores; None without a quota.
        usable_cores: number of cores that edgecnn uses.
        memory_bytes: memory that this process may use; None if the system does not report it.
        physical_memory_bytes: memory of the machine; None if the system does not report it.
        huge_page_bytes: size of a huge page; None if the system has none.
        no_huge_pages: why weights are not moved to huge pages; None if they are.
    """

    processor: Processor
    emulator: str | None
    system: str
    python: str
    host_cores: int
    affinity: int
    quota: float | None
    usable_cores: int
    memory_bytes: int | None
    physical_memory_bytes: int | None
    huge_page_bytes: int | None = None
    no_huge_pages: str | None = None


def machine(root: Path = Path("/")) -> Machine:
    """Return a description of this machine. `root` contains `/proc` and `/sys`."""
    return Machine(
        processor=processor(root),
        emulator=" ".join(emulator()) or None,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        host_cores=host_cores(),
        affinity=affinity(),
        quota=cgroup_quota(root),
        usable_cores=usable_cores(root),
        memory_bytes=memory_limit(root),
        physical_memory_bytes=physical_memory(root),
        huge_page_bytes=huge_page_bytes(root),
        no_huge_pages=why_no_huge_pages(root),
    )
