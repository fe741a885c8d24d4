"""Limit the resources of a child process that opens an untrusted file."""

import contextlib
import math
from pathlib import Path

from edgecnn.host.resources import host_cores

try:
    import resource
except ImportError:  # Windows: the parent's timeout is the only limit
    resource = None  # type: ignore[assignment]

_LIMITS = resource is not None


def confine(*, timeout_s: float | None, memory_bytes: int | None) -> None:
    """Limit this process's memory and CPU time, disable core files, and make it the first target of the OOM killer.

    RLIMIT_DATA counts writable memory; RLIMIT_AS also counts address space, of which engines reserve gigabytes.

    Args:
        timeout_s: the parent's timeout. None if an earlier call has set it.
        memory_bytes: the allocator refuses more than this. None for no limit: drivers of accelerators map far more
            memory than they use.
    """
    with contextlib.suppress(OSError):  # Linux only; the OOM killer must not kill the server
        Path("/proc/self/oom_score_adj").write_text("1000")
    if not _LIMITS:
        return
    _lower(resource.RLIMIT_CORE, 0)
    if timeout_s is not None:
        _lower(resource.RLIMIT_CPU, math.ceil(timeout_s * host_cores()) + 1)
    if memory_bytes is not None:
        _lower(resource.RLIMIT_DATA, memory_bytes)


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    with contextlib.suppress(OSError, ValueError):  # the system does not support this limit
        resource.setrlimit(kind, (limit, limit))
