"""Attacks on the event loop and on connections: pipelined requests, and connections without a whole request."""

import ssl

from benchmarks.serving.attack.crowd import Client, Counts, Crowd
from benchmarks.serving.attack.target import Target, get, post

_AT_ONCE = 200
"""Pipelined requests in one sending."""

_WRONG_KEY = "X-API-Key: wrong\r\n"
_HALF_HEADERS = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nX-Header: "
_SLOW_BYTES, _SLOW_PAUSE_S = 1 << 20, 0.5
PATHS = {"metrics": "/metrics", "live": "/v2/health/live", "404": "/nowhere", "openapi": "/openapi.json"}


def pipelined(target: Target, seconds: float, *, kind: str, connections: int) -> Counts:
    """Send requests without waiting for answers: a key of `PATHS`, `infer`, `401`, or `400` with a large head."""
    request = {
        **{name: get(path) for name, path in PATHS.items()},
        "infer": target.request,
        "401": get("/v2", _WRONG_KEY),
        "400": post(target.infer_path, f"X-Header: {'x' * 8000}\r\n", b"{"),
    }[kind]
    return Crowd(target.port, Client(b"", request * _AT_ONCE), connections).run(seconds)


def half_headers(target: Target, seconds: float, *, connections: int, addresses: int = 1) -> Counts:
    """Send a part of the headers on each connection, and wait."""
    return Crowd(target.port, Client(_HALF_HEADERS), connections, addresses=addresses).run(seconds)


def idle(target: Target, seconds: float, *, connections: int, addresses: int = 1, after_answer: bool = False) -> Counts:
    """Open connections, send nothing or one whole request, and wait."""
    client = Client(get("/v2/health/live") if after_answer else b"")
    return Crowd(target.port, client, connections, addresses=addresses).run(seconds)


def idle_grpc(target: Target, seconds: float, *, connections: int) -> Counts:
    """Open connections to the port for gRPC, and send nothing."""
    return Crowd(target.grpc_port, Client(b""), connections).run(seconds)


def churn(target: Target, seconds: float, *, per_s: float) -> Counts:
    """Open a connection, send a part of the headers, and close it, again and again."""
    crowd = Crowd(target.port, Client(_HALF_HEADERS, stays=False), 50, opened_per_s=per_s)
    return crowd.run(seconds)


def slow_bodies(target: Target, seconds: float, *, connections: int) -> Counts:
    """Send the headers of 1 MiB, then one byte of it at a time."""
    first = post(target.infer_path, "Content-Type: image/png\r\n", b"", length=_SLOW_BYTES)
    return Crowd(target.port, Client(first, b"x", pause_s=_SLOW_PAUSE_S), connections).run(seconds)


def handshakes(target: Target, seconds: float, *, connections: int, is_whole: bool) -> Counts:
    """Send a client's first TLS message (RFC 8446, section 4.1.2), or half of it, and never continue."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        hello = outgoing.read()
    return Crowd(target.port, Client(hello if is_whole else hello[: len(hello) // 2]), connections).run(seconds)
