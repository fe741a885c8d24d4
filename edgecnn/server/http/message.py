"""What passes between connections and the application: a request, and the one answer to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body.

    Attributes:
        method: in capitals.
        path: as it was sent, percent-encoded, without the query.
        query: what follows `?`, or nothing.
        headers: by their names in lower case; what was sent several times is joined by `, `.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. Length, date and connection headers are the connection's affair."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


class Exchange(Protocol):
    """One request, and the place for its answer. Everything here happens in the event loop's thread.

    Attributes:
        head: the request.
        body: as it was sent, encoded or not.
        on_gone: called once if the client leaves before the answer; nobody needs the answer then.
    """

    head: Head
    body: bytes
    on_gone: Callable[[], None] | None

    def is_gone(self) -> bool:
        """Whether the client has left; asked before work that would be for nobody."""
        ...

    def respond(self, response: Response) -> None:
        """Answer, once. Nothing happens where the client has gone."""
        ...


class Admitted(Protocol):
    """A request that is let in; one of the two is called, once."""

    def handle(self, exchange: Exchange) -> None:
        """Answer it, now that it is whole, with `exchange.respond`, at once or later; raises nothing."""
        ...

    def drop(self) -> None:
        """Take note that it will not be whole."""
        ...


class Application(Protocol):
    """What answers requests."""

    def admit(self, head: Head) -> Response | Admitted:
        """Look at a request before its body is read; an answer refuses it.

        The connection then closes, unless no body was to come.
        """
        ...

    def refused(self, status: int) -> None:
        """Take note of something that was answered with an error before it was a request."""
        ...
