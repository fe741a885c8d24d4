"""Requests and responses that a connection and the application exchange."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgecnn.server.memory import Claim

if TYPE_CHECKING:
    from edgecnn.server.http.receiver import Receiver


@dataclass(slots=True)
class Head:
    """A request without its body. Treat it as immutable: to create a frozen one takes a microsecond longer.

    Attributes:
        method: the method in upper case.
        path: the path as sent, percent-encoded, without the query.
        query: the text after `?`; empty without a query.
        headers: values by lower-case names; the values of a repeated header are joined with `, `.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass(slots=True)
class Response:
    """A response; treat it as immutable. The connection adds the headers for length, date and connection."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


class Exchange:
    """One request, from the end of its headers to its response. Used in the event loop's thread only.

    Each request has its own, so a second response to a request cannot answer the next request.

    Attributes:
        head: the request line and the headers.
        body: the body as sent, without decompression; empty until it is complete.
        keep_alive: whether the client requests a persistent connection.
        http_version: the client's HTTP version, such as `1.1`.
        handler: answers the complete request; `Application.admit` sets it.
        on_gone: called once if the client disconnects before the response, or if the body cannot be received.
        claim: the memory of the request; the connection releases it after the response or a disconnect.
        peer: address of the connection's other end.
        client: address of the client: `peer`, or the one that a trusted proxy names.
        begun: when the headers were complete, by the monotonic clock.
        size: number of bytes of the body as sent.
        model: name of the model for the access log; empty if it is not known.
        bundle: version and digest for the access log; empty before a version has the request.
    """

    __slots__ = (
        "_connection", "begun", "body", "bundle", "claim", "client", "handler", "head", "http_version", "keep_alive",
        "model", "on_gone", "peer", "size",
    )  # fmt: skip

    handler: "Handler"

    def __init__(
        self, connection: "Receiver", head: Head, *, keep_alive: bool, http_version: str, claim: Claim, peer: str
    ) -> None:
        self._connection = connection
        self.claim = claim
        self.peer = self.client = peer
        self.begun = time.monotonic()
        self.size = 0
        self.model = ""
        self.bundle = ("", "")
        self.head = head
        self.body = b""
        self.keep_alive = keep_alive
        self.http_version = http_version
        self.on_gone: Callable[[], None] | None = None

    def is_gone(self) -> bool:
        """Return whether the client has disconnected; checked before expensive work."""
        return self._connection.has_left(self)

    def respond(self, response: Response) -> None:
        """Send the response. A second response, or one after a disconnect, is dropped."""
        self._connection.answer(self, response)


Handler = Callable[[Exchange], Response | None]
"""A function that returns the response, or None if it responds later."""


class Application(Protocol):
    """The application that answers requests. `server.api`, which this package must not import, implements it."""

    def admit(self, exchange: Exchange) -> Response | None:
        """Check a request before its body is read; return an error response to refuse it.

        After a refusal, the connection closes unless the request has no body.
        """
        ...

    def handle(self, exchange: Exchange) -> None:
        """Answer a complete request with `exchange.respond`, now or later; this method never raises."""
        ...

    def refused(self, status: int, message: str, *, peer: str, exchange: Exchange | None) -> None:
        """Count and log an error response of the connection; without an exchange, the headers are incomplete."""
        ...

    def left(self, exchange: Exchange) -> None:
        """Log a request whose client disconnected before the response."""
        ...
