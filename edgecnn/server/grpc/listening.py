"""Options and credentials of the gRPC port, and a filter of the library's log."""

import logging

import grpc

from edgecnn.server.credentials import Credentials, Tls
from edgecnn.server.http.limits import Limits

_MAX_MESSAGE = 2**31 - 1
_PING_S, _MIN_PING_INTERVAL_S = 60, 10


def credentials_of(credentials: Credentials) -> grpc.ServerCredentials | None:
    """Return the credentials of the port; None without TLS. The library requires TLS 1.2 or later.

    Each new connection uses the certificate that `credentials` has at this time.
    """
    used = credentials.tls
    if used is None:
        return None

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal used
        if credentials.tls is None or credentials.tls is used:
            return None  # no change
        used = credentials.tls
        return _configuration(used)

    return grpc.dynamic_ssl_server_credentials(_configuration(used), fetch)


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(tls.key, tls.chain)])


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
    """Suppress the library's log of metadata that are not UTF-8; repeated calls are safe.

    Otherwise clients could fill the log, with their input and their API keys in tracebacks.
    """
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_of_the_server)


def _is_of_the_server(record: logging.LogRecord) -> bool:
    """Return false for metadata that are not UTF-8; they are parsed as Latin-1."""
    return record.msg != "Invalid encoding on %s"
