"""The bounds of a connection."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of connections and requests.

    Attributes:
        max_connections: open at once; a further one replaces an idle one, or waits in the backlog.
        max_header_bytes: of a request's line and headers together.
        max_headers: their number.
        max_body_bytes: of a body as it is sent, and as it is decompressed.
        header_timeout_s: from the first byte (or from connecting) to the end of the headers.
        body_timeout_s: from there to the end of the body.
        write_timeout_s: how long a client may leave a response unread.
        idle_timeout_s: how long a connection without a request stays open.
    """

    max_connections: int = 1000
    max_header_bytes: int = 32 << 10
    max_headers: int = 100
    max_body_bytes: int = 64 << 20
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    write_timeout_s: float = 30.0
    idle_timeout_s: float = 75.0
