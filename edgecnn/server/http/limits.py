"""Limits of connections and requests."""

from dataclasses import dataclass, field

from edgecnn.server.proxies import TrustedProxies


@dataclass(frozen=True)
class Limits:
    """Limits of connections and requests; sizes in bytes, times in seconds.

    Attributes:
        max_connections: maximum open connections; another one replaces the one that has been without a whole request
            for the longest time, or waits in the backlog.
        max_connections_per_address: the same for an IPv4 address or an IPv6 network of 64 bits; 0 for no limit. If all
            are in use, another one is closed.
        trusted_proxies: proxies without this limit, whose `X-Forwarded-For` names the client.
        max_header_bytes: maximum size of the request line and headers together.
        max_headers: maximum number of headers.
        max_body_bytes: maximum size of a body, both as sent and after decompression.
        header_timeout_s: maximum time from the first byte (or from connecting) to the end of the headers.
        body_timeout_s: maximum time from the end of the headers to the end of the body.
        write_timeout_s: maximum time until the client reads a response.
        idle_timeout_s: maximum time that a connection stays open without a request.
    """

    max_connections: int = 1000
    max_connections_per_address: int = 0
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    max_header_bytes: int = 32 << 10
    max_headers: int = 100
    max_body_bytes: int = 64 << 20
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    write_timeout_s: float = 30.0
    idle_timeout_s: float = 75.0
