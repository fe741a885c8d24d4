"""Limit the resources of a child process that opens an untrusted bundle."""

import contextlib
import math
from pathlib import Path

from edgecnn.host.resources import host_cores, memory_limit
from edgecnn.runtime.engines.engine import device_kind

try:
    import resource
except ImportError:  # Windows: the parent's timeout is the only limit
    resource = None  # type: ignore[assignment]

_LIMITS = resource is not None


def confine(*, device: str, timeout_s: float) -> None:
    """Limit this process's memory and CPU time, disable core files, and make it the first target of the OOM killer.

    The memory limit is that of the machine or of the control group, so the allocator refuses a graph that needs more.
    RLIMIT_DATA counts writable memory; RLIMIT_AS also counts address space, of which engines reserve gigabytes. Drivers
    of accelerators map far more memory than they use, so it is not limited for them. `timeout_s` is the parent's
    timeout.
    """
    with contextlib.suppress(OSError):  # Linux only; the OOM killer must not kill the server
        Path("/proc/self/oom_score_adj").write_text("1000")
    if not _LIMITS:
        return
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, math.ceil(timeout_s * host_cores()) + 1)
    memory_bytes = memory_limit()
    if device_kind(device) == "cpu" and memory_bytes is not None:
        _lower(resource.RLIMIT_DATA, memory_bytes)


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    with contextlib.suppress(OSError, ValueError):  # the system does not support this limit
        resource.setrlimit(kind, (limit, limit))
