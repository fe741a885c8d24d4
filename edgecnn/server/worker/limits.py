"""The limits of a worker's connections, from its options and from the number of files that the process may open."""

import contextlib
import logging

from edgecnn.server.http.limits import Limits
from edgecnn.server.options import ServeOptions
from edgecnn.server.proxies import TrustedProxies

_RESERVED = 64
"""File descriptors for models, engines, logs and pipes."""

logger = logging.getLogger(__name__)


def limits_of(options: ServeOptions) -> Limits:
    """Return the limits of connections and requests; raise the process's limit of open files if they need it."""
    connections = affordable_connections(options.max_connections, doors=1 if options.grpc_port is None else 2)
    per_address = options.max_connections_per_address
    return Limits(
        max_connections=connections,
        max_connections_per_address=max(1, connections // 2) if per_address is None else per_address,
        trusted_proxies=TrustedProxies.parse(options.trusted_proxies),
        max_body_bytes=options.max_body_mb << 20,
        header_timeout_s=options.header_timeout_s,
        body_timeout_s=options.body_timeout_s,
        write_timeout_s=options.write_timeout_s,
        idle_timeout_s=options.idle_timeout_s,
    )


def affordable_connections(wanted: int, *, doors: int) -> int:
    """Return the number of connections that each door, HTTP and gRPC, may have open.

    The soft limit of open files (`ulimit -n`) is raised up to the hard limit. If this is not enough, the number is
    reduced, with a warning.
    """
    try:
        import resource
    except ModuleNotFoundError:  # on Windows, sockets are not files
        return wanted
    needed = wanted * doors + _RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with contextlib.suppress(OSError, ValueError):  # some systems have a lower limit than the hard one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft >= needed:
        return wanted
    connections = max(1, (soft - min(_RESERVED, soft // 2)) // doors)
    logger.warning(
        "--max-connections %d needs %d open files, and the process may have %d: it is reduced to %d; raise ulimit -n",
        wanted,
        needed,
        soft,
        connections,
    )
    return connections
