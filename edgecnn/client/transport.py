"""A request to one of several servers until one answers: in turns, again after failures, within one deadline.

It knows nothing of images and tensors. A request may reach servers twice: inference and questions change nothing.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn import __version__
from edgecnn.client.answer import Answer, NoAnswer, Request
from edgecnn.client.connections import Connections, trusting
from edgecnn.client.options import Retries
from edgecnn.client.rotation import Rotation, Server
from edgecnn.errors import ServerUnavailable, UsageError

_AGAIN = (502, 503)
"""Of a server that is busy or about to end, and of a proxy that has found none."""


@dataclass(frozen=True)
class _Way:
    """How this process reaches the servers.

    Attributes:
        process: whose it is.
        rotation: their turns.
        connections: to them.
    """

    process: int
    rotation: Rotation
    connections: Connections


class Transport:
    """The way to some servers. Any number of threads may use it, and processes that are forked later too."""

    def __init__(
        self, urls: Sequence[str], *, api_key: str | None, ca: Path | None, timeout_s: float, retries: Retries
    ) -> None:
        """Connect to nothing yet.

        Args:
            urls: of servers that answer the same.
            api_key: that each request bears.
            ca: PEM file with the authorities that certificates must come from; None for the system's.
            timeout_s: for one request, all attempts and pauses together.
            retries: how it is repeated.

        Raises:
            UsageError: the authorities cannot be read.
        """
        self._urls = tuple(urls)
        self._timeout_s = timeout_s
        self._retries = retries
        self._context = trusting(ca) if any(url.startswith("https:") for url in urls) else None
        self._headers = {"User-Agent": f"edgecnn/{__version__}"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._is_closed = False
        self._inherited: list[_Way] = []
        self._way = self._made()

    @property
    def servers(self) -> tuple[Server, ...]:
        """All of them."""
        return self._here().rotation.servers

    def ask(self, request: Request) -> Answer:
        """Send a request until a server answers it.

        Raises:
            ServerError: the answer is an error.
            ServerUnavailable: there was none in time.
        """
        rotation = self._here().rotation
        began = time.monotonic()
        deadline = began + self._timeout_s
        hopeless: set[Server] = set()
        reason = ""
        for _ in range(self._retries.attempts):
            server = rotation.next(deadline, without=hopeless)
            if server is None:
                break
            sent = time.monotonic()
            # A server that hangs must leave time for another.
            share = min(len(rotation.servers) - len(hopeless), 2)
            try:
                answer = self._sent(server, request, (deadline - sent) / share)
            except NoAnswer as failure:
                reason = str(failure)
                rotation.failed(server, reason, began=sent, now=time.monotonic(), retry_after_s=failure.retry_after_s)
                if failure.is_final:
                    hopeless.add(server)
                if len(hopeless) == len(rotation.servers):
                    break
            else:
                rotation.answered(server, began=sent)
                return answer.accepted()
        raise self._unavailable(reason or rotation.last_reason(), time.monotonic() - began)

    def ask_of(self, server: Server, request: Request) -> Answer:
        """Send a request to this server alone, once; how it ends changes nothing about its turns.

        Raises:
            ServerError: the answer is an error.
            ServerUnavailable: there was none in time.
        """
        try:
            return self._sent(server, request, self._timeout_s / len(self._urls)).accepted()
        except NoAnswer as failure:
            raise ServerUnavailable(str(failure), urls=(server.url,), reason=str(failure)) from None

    def close(self) -> None:
        """Close the connections that are idle; those in use are closed after their answer."""
        self._is_closed = True
        if self._way.process == os.getpid():
            self._way.connections.close()

    def _made(self) -> _Way:
        connections = Connections(self._urls, headers=self._headers, context=self._context)
        return _Way(os.getpid(), Rotation(self._urls, self._retries), connections)

    def _here(self) -> _Way:
        """Return this process's way; two threads may both make it, and either will do."""
        if self._is_closed:
            raise UsageError("this client is closed: make another one")
        way = self._way
        if way.process != os.getpid():
            # The connections are the parent's: two processes on one would read each other's answers. They are kept,
            # since freeing them may wait for a lock that a thread of the parent held when this process was forked.
            self._inherited.append(way)
            way = self._way = self._made()
        return way

    def _sent(self, server: Server, request: Request, patience_s: float) -> Answer:
        """Send a request to a server, once.

        Raises:
            NoAnswer: it did not answer, or is busy.
        """
        answer = self._here().connections.send(server, request, patience_s=patience_s)
        if answer.status in _AGAIN:
            text = f"{server.url} answers {answer.status}: {answer.text()}"
            raise NoAnswer(text, retry_after_s=_retry_after_s(answer))
        return answer

    def _unavailable(self, reason: str, took_s: float) -> ServerUnavailable:
        if len(self._urls) == 1:
            message = f"gave up after {took_s:.1f} s: {reason}"
        else:
            message = f"gave up on {len(self._urls)} servers after {took_s:.1f} s; the last: {reason}"
        return ServerUnavailable(message, urls=self._urls, reason=reason)


def _retry_after_s(answer: Answer) -> float:
    """Return for how long a server wants to be left alone; 0 where it has not said so in seconds."""
    text = answer.headers.get("retry-after", "")
    return float(text[:9]) if text.isascii() and text.isdecimal() else 0.0
