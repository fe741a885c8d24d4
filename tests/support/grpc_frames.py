"""gRPC calls as bytes on the wire, for requests that no client library sends."""

import contextlib
import socket

from benchmarks.serving.attack.http2 import (
    DATA,
    EMPTY_MESSAGE,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    call_head,
    frame,
)

_PATIENCE_S = 1.0


def call(path: bytes, metadata: dict[bytes, bytes] | None = None) -> bytes:
    """Encode a connection preface and a call with an empty message."""
    content = frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, call_head(path, metadata))
    return PREFACE + content + frame(DATA, END_STREAM, 1, EMPTY_MESSAGE)


def exchange(address: str, content: bytes) -> bytes:
    """Send bytes on a new connection; return the answer until none arrives for a second."""
    host, _, port = address.rpartition(":")
    found = b""
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(content)
        sock.settimeout(_PATIENCE_S)
        with contextlib.suppress(OSError):
            while part := sock.recv(1 << 16):
                found += part
    return found
