"""The bounds of gRPC's connections, in the names that its core has for them, and its credentials."""

from pathlib import Path

import grpc

from edgecnn.server.http.limits import Limits

_LONGEST_MESSAGE = 2**31 - 1
_PING_S, _LEAST_BETWEEN_PINGS_S = 60, 10


def options_of(limits: Limits) -> list[tuple[str, int]]:
    """Return the options of a server.

    Args:
        limits: those of HTTP hold here too: a message is a body, metadata are headers.
    """
    setup_ms, idle_ms = round(1000 * limits.header_timeout_s), round(1000 * limits.idle_timeout_s)
    return [
        ("grpc.max_receive_message_length", min(limits.max_body_bytes, _LONGEST_MESSAGE)),
        ("grpc.max_send_message_length", -1),  # answers are as large as the requests that they are to
        # The first is a limit above which metadata are refused with growing probability, the second is final.
        ("grpc.max_metadata_size", limits.max_header_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_header_bytes),
        ("grpc.max_concurrent_streams", limits.max_connections),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.server_handshake_timeout_ms", setup_ms),
        ("grpc.http2.settings_timeout", setup_ms),
        ("grpc.max_connection_idle_ms", idle_ms),
        # A client that is gone without a word is noticed; one that asks too often whether we are here is cut off.
        ("grpc.keepalive_time_ms", 1000 * _PING_S),
        ("grpc.keepalive_timeout_ms", round(1000 * limits.write_timeout_s)),
        ("grpc.http2.min_ping_interval_without_data_ms", 1000 * _LEAST_BETWEEN_PINGS_S),
        ("grpc.so_reuseport", 1),  # the supervisor keeps the port bound while the worker is started again
    ]


def credentials_of(cert: Path, key: Path) -> grpc.ServerCredentials:
    """Return the credentials of a server, from PEM files that the supervisor has looked at; TLS 1.2 or later."""
    return grpc.ssl_server_credentials(((key.read_bytes(), cert.read_bytes()),))
