"""Limits a child process that opens an unproven model."""

import contextlib
import math
from pathlib import Path

from edgecnn.host.resources import host_cores, memory_limit
from edgecnn.runtime.engines.backend import device_kind

try:
    import resource
except ImportError:  # Windows: the parent's clock is the only limit
    resource = None  # type: ignore[assignment]

_LIMITS = resource is not None


def confine(*, device: str, timeout_s: float) -> None:
    """Limit this process's memory and processor time, write no core file, and be the first that the kernel kills.

    Memory is limited to that of the machine or of this process's control group, so that the allocator refuses a graph
    that needs more. RLIMIT_DATA counts writable memory; RLIMIT_AS would also count address space, which engines reserve
    by the gigabyte. Drivers of accelerators map far more than they use, so memory is not limited for them. The parent
    waits for `timeout_s`.
    """
    with contextlib.suppress(OSError):  # Linux only; the server itself must not be what is killed
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
    with contextlib.suppress(OSError, ValueError):  # the system knows no such limit
        resource.setrlimit(kind, (limit, limit))
