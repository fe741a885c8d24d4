"""What a server that watches its folder says of the current version."""

from typing import Any

from server_process import Server, wait_for

QUICK = ("--watch-s", 0.1)
BUNDLE = "x-bundle-digest"


def digest(server: Server) -> str:
    """Return the digest of the bundle that answers now."""
    reply = server.infer(server.images[:1])
    assert reply.status == 200, reply.body
    return reply.headers[BUNDLE]


def entry(server: Server) -> Any:
    (entry,) = server.request("POST", "/v2/repository/index").json
    return entry


def wait_for_digest(server: Server, expected: str) -> None:
    wait_for(lambda: digest(server) == expected)


def wait_for_reason(server: Server, reason: str) -> None:
    wait_for(lambda: reason in entry(server)["reason"])
