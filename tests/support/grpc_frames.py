"""gRPC calls as bytes on the wire, for requests that no client library sends."""

import contextlib
import socket

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_EMPTY_MESSAGE = bytes(5)
_PATIENCE_S = 1.0


def call(path: bytes, metadata: dict[bytes, bytes] | None = None) -> bytes:
    """Encode a connection preface and a call with an empty message."""
    fields = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"x"}
    fields |= {b"content-type": b"application/grpc", b"te": b"trailers"} | (metadata or {})
    head = b"".join(_literal(name, value) for name, value in fields.items())
    content = _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, _END_HEADERS, 1, head)
    return _PREFACE + content + _frame(_DATA, _END_STREAM, 1, _EMPTY_MESSAGE)


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


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    """Encode an HTTP/2 frame (RFC 9113, section 4.1)."""
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def _literal(name: bytes, value: bytes) -> bytes:
    """Encode a header field without indexing (RFC 7541, section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
