"""Open the gRPC port with its limits and credentials, and filter the library's log."""

import logging
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from edgecnn.errors import UsageError
from edgecnn.server.http.limits import Limits

_MAX_MESSAGE = 2**31 - 1
_PING_S, _MIN_PING_INTERVAL_S = 60, 10


async def listen(
    handler: grpc.GenericRpcHandler, limits: Limits, *, address: str, tls: tuple[Path, Path] | None
) -> Any:
    """Start a gRPC server on an address with its port, and return it.

    The supervisor checks the certificate and its key before. The library requires TLS 1.2 or later.

    Raises:
        UsageError: the address is not available.
    """
    server = aio.server(options=options_of(limits))
    server.add_generic_rpc_handlers((handler,))
    try:
        if tls is None:
            server.add_insecure_port(address)
        else:
            cert, key = tls
            credentials = grpc.ssl_server_credentials(((key.read_bytes(), cert.read_bytes()),))
            server.add_secure_port(address, credentials)
    except RuntimeError:
        raise UsageError(f"cannot listen for gRPC on {address}: the address is not available") from None
    await server.start()
    return server


def options_of(limits: Limits) -> list[tuple[str, int]]:
    """Convert HTTP's limits to gRPC options: a message counts as a body, metadata count as headers."""
    setup_ms, idle_ms = round(1000 * limits.header_timeout_s), round(1000 * limits.idle_timeout_s)
    return [
        ("grpc.max_receive_message_length", min(limits.max_body_bytes, _MAX_MESSAGE)),
        ("grpc.max_send_message_length", -1),  # the size of a response depends on its request
        # The library refuses some metadata above the first limit, and all metadata above the second.
        ("grpc.max_metadata_size", limits.max_header_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_header_bytes),
        ("grpc.max_concurrent_streams", limits.max_connections),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.server_handshake_timeout_ms", setup_ms),
        ("grpc.http2.settings_timeout", setup_ms),
        ("grpc.max_connection_idle_ms", idle_ms),
        # Pings detect a lost client; a client that pings too often is disconnected.
        ("grpc.keepalive_time_ms", 1000 * _PING_S),
        ("grpc.keepalive_timeout_ms", round(1000 * limits.write_timeout_s)),
        ("grpc.http2.min_ping_interval_without_data_ms", 1000 * _MIN_PING_INTERVAL_S),
        ("grpc.so_reuseport", 1),  # the supervisor holds the port, and the worker shares it
    ]


def filter_library_log() -> None:
    """Suppress the library's log of client errors in this process; repeated calls are safe.

    Otherwise clients could fill the log, with their input and their API keys in tracebacks. The response contains the
    error, and `server` logs when the library stops.
    """
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_of_the_server)
    logging.getLogger("asyncio").addFilter(_is_of_another_task)


def _is_of_the_server(record: logging.LogRecord) -> bool:
    """Return false for metadata or a method name that is not UTF-8; metadata are parsed as Latin-1."""
    return record.msg != "Invalid encoding on %s" and not isinstance(record.msg, UnicodeDecodeError)


def _is_of_another_task(record: logging.LogRecord) -> bool:
    """Return false for the library's task that failed on such a name."""
    return record.exc_info is None or record.exc_info[0] is not UnicodeDecodeError
