"""The machine as this process finds it: processor, cores and memory, before any engine is asked."""

import platform
from dataclasses import dataclass
from pathlib import Path

from edgecnn.host.processor import Processor, emulator, processor
from edgecnn.host.resources import affinity, cgroup_quota, host_cores, memory_limit, physical_memory, usable_cores


@dataclass(frozen=True)
class Machine:
    """What this process runs on.

    Attributes:
        processor: its name and instruction sets.
        emulator: the command of the emulator that stands in for it, or None.
        system: name and release.
        python: version of the interpreter.
        host_cores: how many the machine has.
        affinity: how many of them the scheduler may put this process on.
        quota: limit of the control group, in cores; None for none.
        usable_cores: how many edgecnn keeps busy.
        memory_bytes: what this process may use; None where the system does not tell.
        physical_memory_bytes: what the machine has.
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


def machine(root: Path = Path("/")) -> Machine:
    """Describe this machine, whose `/proc` and `/sys` are in `root`."""
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
    )
