"""HTTP/2 frames and header fields as bytes, for gRPC requests that no client library sends."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
"""Types of frames (RFC 9113, section 6)."""

ACK = END_STREAM = 1
END_HEADERS = 4
"""Flags of frames."""

EMPTY_MESSAGE = bytes(5)
"""A gRPC message without content: not compressed, length 0."""


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    """Encode an HTTP/2 frame (RFC 9113, section 4.1)."""
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def call_head(path: bytes, metadata: dict[bytes, bytes] | None = None) -> bytes:
    """Encode the header fields of a gRPC call without indexing (RFC 7541, section 6.2.2)."""
    fields = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"x"}
    fields |= {b"content-type": b"application/grpc", b"te": b"trailers"} | (metadata or {})
    return b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in fields.items())
