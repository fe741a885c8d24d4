"""What a connection and the application exchange: a request and its one response."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edgecnn.server.http.connection import Connection


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body.

    Attributes:
        method: in capitals.
        path: as it was sent, percent-encoded, without the query.
        query: what follows `?`, or nothing.
        headers: by their names in lower case; the values of a repeated header are joined by `, `.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """A response. The connection adds the headers for length, date and connection."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


class Exchange:
    """One request, from the end of its headers to its response. Used in the event loop's thread only.

    The connection creates one for each request, so that a second response to a request cannot answer the next one.

    Attributes:
        head: the request line and the headers.
        body: as it was sent, encoded or not; empty until it is complete.
        keep_alive: whether the client wants to keep the connection.
        http_version: of the client, such as `1.1`.
        handler: answers the request when it is complete; set by `Application.admit`.
        on_gone: called once if the client leaves before the response, or if the body cannot be received.
    """

    __slots__ = ("_connection", "body", "handler", "head", "http_version", "keep_alive", "on_gone")

    handler: "Handler"

    def __init__(self, connection: "Connection", head: Head, *, keep_alive: bool, http_version: str) -> None:
        self._connection = connection
        self.head = head
        self.body = b""
        self.keep_alive = keep_alive
        self.http_version = http_version
        self.on_gone: Callable[[], None] | None = None

    def is_gone(self) -> bool:
        """Return whether the client has left; checked before expensive work."""
        return self._connection.has_left(self)

    def respond(self, response: Response) -> None:
        """Send the response, once. Does nothing if the client has left."""
        self._connection.answer(self, response)


Handler = Callable[[Exchange], Response | None]
"""Returns the response, or None if it responds later."""


class Application(Protocol):
    """Answers requests. The layer above implements it, which this package must not import."""

    def admit(self, exchange: Exchange) -> Response | None:
        """Check a request before its body is read; return a response to refuse it.

        After a refusal, the connection closes unless the request has no body.
        """
        ...

    def handle(self, exchange: Exchange) -> None:
        """Answer a complete request with `exchange.respond`, now or later; raises nothing."""
        ...

    def refused(self, status: int) -> None:
        """Count an error response to something that is not a request."""
        ...
