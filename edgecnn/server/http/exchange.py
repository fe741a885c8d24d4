"""One request of a connection, and the way back for its answer."""

from collections.abc import Callable
from typing import Protocol

from edgecnn.server.http.message import Head, Response


class Peer(Protocol):
    """What an exchange needs of its connection."""

    def has_left(self, exchange: "ServedExchange") -> bool:
        """Whether nobody waits for this answer any more."""
        ...

    def answer(self, exchange: "ServedExchange", response: Response) -> None:
        """Send the answer, if it is still waited for."""
        ...


class ServedExchange:
    """`message.Exchange` over a connection.

    It is an object of its own, not the connection: whoever answers twice must not answer the next request.

    Attributes:
        keep_alive: whether the client wants to keep the connection.
        version: of HTTP, as the client speaks it.
    """

    __slots__ = ("_peer", "body", "head", "keep_alive", "on_gone", "version")

    def __init__(self, peer: Peer, head: Head, body: bytes, *, keep_alive: bool, version: str) -> None:
        self._peer = peer
        self.head = head
        self.body = body
        self.keep_alive = keep_alive
        self.version = version
        self.on_gone: Callable[[], None] | None = None

    def is_gone(self) -> bool:
        """Whether the client has left."""
        return self._peer.has_left(self)

    def respond(self, response: Response) -> None:
        """Answer, once."""
        self._peer.answer(self, response)
