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

_NOT_FOUND = 404
_LEAST_S = 0.001
_TOLD = 4
"""Servers of which an error says what was wrong."""


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
            ServerError: the answer is an error; 404 only where no other server has it either.
            ServerUnavailable: there was none in time.
        """
        (answer,) = self.ask_one_server(request)
        return answer

    def ask_one_server(self, first: Request, *others: Request) -> list[Answer]:
        """Send requests until one server answers them all: what it says then fits together.

        Returns:
            The answers in their order; those to `others` may be errors.

        Raises:
            ServerError: the answer to the first is an error; 404 only where no other server has it either.
            ServerUnavailable: none has answered all in time.
        """
        rotation = self._here().rotation
        began = time.monotonic()
        deadline = began + self._timeout_s
        useless = rotation.lacking(first.path, now=began)
        reasons: dict[Server, str] = {}
        missing: Answer | None = None
        tried = 0
        while tried < self._retries.attempts and len(useless) < len(rotation.servers):
            server = rotation.next(deadline, without=useless)
            if server is None:
                break
            tried += 1
            sent = time.monotonic()
            # A server that hangs must leave time for another.
            end = sent + (deadline - sent) / min(len(rotation.servers) - len(useless), 2)
            try:
                answers = self._series(server, (first, *others), end)
            except NoAnswer as failure:
                reason = reasons[server] = str(failure)
                rotation.failed(server, reason, began=sent, now=time.monotonic(), retry_after_s=failure.retry_after_s)
                if failure.is_final:
                    useless.add(server)
                continue
            rotation.answered(server, began=sent)
            if answers[0].status != _NOT_FOUND:
                answers[0].accepted()
                return answers
            missing = answers[0]
            reasons.pop(server, None)
            rotation.lacks(server, first.path, now=time.monotonic())
            useless.add(server)
        if missing is not None and not reasons:
            missing.accepted()
        told = [*reasons.values(), *([] if missing is None else [missing.told()])]
        raise self._unavailable(told or [rotation.last_reason()], tried, time.monotonic() - began)

    def ask_of(self, server: Server, request: Request) -> Answer:
        """Send a request to this server alone, once, and return its answer, which may be an error.

        How it ends changes nothing about the server's turns.

        Raises:
            ServerUnavailable: there was none in time.
        """
        try:
            return self._sent(server, request, self._timeout_s / len(self._urls))
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
            raise NoAnswer(answer.told(), retry_after_s=_retry_after_s(answer))
        return answer

    def _series(self, server: Server, requests: Sequence[Request], end: float) -> list[Answer]:
        """Send requests to a server one after the other; the others only where the first is no error.

        Raises:
            NoAnswer: it did not answer one of them by the time `end`, or is busy.
        """
        answers: list[Answer] = []
        for request in requests:
            if answers and not answers[0].is_good:
                break
            answers.append(self._sent(server, request, max(end - time.monotonic(), _LEAST_S)))
        return answers

    def _unavailable(self, reasons: Sequence[str], tried: int, took_s: float) -> ServerUnavailable:
        """Return the error that no server has answered, with what was tried and why each has not."""
        reason = "; ".join(reasons[:_TOLD]) + (f"; and {len(reasons) - _TOLD} more" if len(reasons) > _TOLD else "")
        servers = "" if len(self._urls) == 1 else f" on {len(self._urls)} servers"
        times = f"{tried} attempt{'' if tried == 1 else 's'} in {took_s:.1f} s"
        if not tried:
            times = f"{took_s:.1f} s without asking, since who has failed rests"
        return ServerUnavailable(f"gave up{servers} after {times}: {reason}", urls=self._urls, reason=reasons[-1])


def _retry_after_s(answer: Answer) -> float:
    """Return for how long a server wants to be left alone; 0 where it has not said so in seconds."""
    text = answer.headers.get("retry-after", "")
    return float(text[:9]) if text.isascii() and text.isdecimal() else 0.0
