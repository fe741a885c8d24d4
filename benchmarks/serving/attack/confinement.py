"""The memory limit of the attacked server: a control group, where this process may create one.

Version 1 and version 2 of control groups are supported (Linux, `cgroup-v1/memory.rst` and `cgroup-v2.rst`). Without a
group the limit is not enforced, and only the resident set is compared with it.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LIMIT_BYTES = 1 << 30
"""The memory limit of the manifests in `deploy/`."""

_GONE_S = 5.0


@dataclass(frozen=True)
class _Names:
    limit: str
    peak: str
    events: str


_VERSIONS = {
    Path("/sys/fs/cgroup/memory"): _Names("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"),
    Path("/sys/fs/cgroup"): _Names("memory.max", "memory.peak", "memory.events"),
}


class Group:
    """A control group with a memory limit."""

    def __init__(self, folder: Path, names: _Names) -> None:
        self._folder, self._names = folder, names

    def command(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """Return a command that enters the group and then replaces itself with `command`."""
        return ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._folder / "cgroup.procs"), *command)

    def peak_bytes(self) -> int | None:
        """Return the largest memory of the group, including its file cache; None if the kernel does not report it."""
        with contextlib.suppress(OSError, ValueError):
            return int((self._folder / self._names.peak).read_text())
        return None

    def oom_kills(self) -> int:
        """Return the number of processes that the kernel killed because the group was at its limit."""
        lines = (self._folder / self._names.events).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextlib.contextmanager
def confined(limit_bytes: int = LIMIT_BYTES) -> Iterator[Group | None]:
    """Create a control group and remove it afterwards; yield None if this process may not create one."""
    for root, names in _VERSIONS.items():
        folder = root / f"edgecnn-attack-{os.getpid()}-{time.monotonic_ns()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if not _limit(folder / names.limit, limit_bytes):
                continue
            yield Group(folder, names)
            return
        finally:
            _remove(folder)
    yield None


def _limit(file: Path, limit_bytes: int) -> bool:
    """Set the limit; return False if the group has no memory controller."""
    try:
        with file.open("r+") as limit:
            limit.write(str(limit_bytes))
    except OSError:
        return False
    return True


def _remove(folder: Path) -> None:
    """Remove the group. Its processes have been killed, but the kernel may need a moment for them."""
    end = time.monotonic() + _GONE_S
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
