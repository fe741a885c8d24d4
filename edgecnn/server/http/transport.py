"""The transport of one client: response bytes, back-pressure, and a close that delivers the last response."""

import asyncio
import json
import math
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

from edgecnn.server.http.limits import Limits
from edgecnn.server.http.message import Application, Response
from edgecnn.server.memory import MemoryBudget

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TCP_CLOSED = 7
TCP_CLOSE_WAIT = 8
LINGER_S = 2.0
"""Maximum time for a client to close, or to continue sending after a refusal."""

_COPIED_BYTES = 64 << 10
"""Maximum size of a body that is joined with its headers; a larger one is written separately."""
_BODILESS = {204, 304}
_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}
_STATUS_LINES |= {413: "HTTP/1.1 413 Content Too Large\r\n"}
_TCP_INFO = getattr(socket, "TCP_INFO", None)
"""Linux only."""


@dataclass(slots=True)
class Shared:
    """The shared state of a listener's connections. The connections write `busy` only.

    Attributes:
        lost: called with each closed connection.
        date: the Date header line; the listener updates it.
        draining: whether every response is the last of its connection.
        busy: number of requests without a response.
    """

    application: Application
    limits: Limits
    budget: MemoryBudget
    lost: Callable[[object], None]
    date: str = ""
    draining: bool = False
    busy: int = 0


class ClientTransport(asyncio.Protocol):
    """The transport layer of a connection, without request handling.

    Attributes:
        deadline: end of the current wait, by the monotonic clock.
        peer: address of the other end.
        made: whether the transport is open; with TLS, whether the handshake is complete.
    """

    __slots__ = (
        "_ending", "_eof", "_paused", "_secure", "_shared", "_sock", "_stalled", "_transport", "deadline", "made",
        "peer",
    )  # fmt: skip

    def __init__(self, shared: Shared, sock: socket.socket, peer: str) -> None:
        self._shared = shared
        self.peer = peer
        self._sock = sock
        self._ending = False  # the last response is written; further input is dropped
        self._eof = False  # the client has closed its sending side
        self._paused = False  # not reading
        self._secure = False
        self._stalled = False  # the client does not read
        self.deadline = math.inf
        self.made = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set up the transport, and start the header timeout."""
        self._transport = cast(asyncio.Transport, transport)
        self._secure = transport.get_extra_info("sslcontext") is not None
        if not self._secure:
            # Every byte left in the write buffer counts as unread. TLS needs the buffer for its records.
            self._transport.set_write_buffer_limits(high=0)
        self.made = True
        self.deadline = time.monotonic() + self._shared.limits.header_timeout_s

    def pause_writing(self) -> None:
        """Start the timeout for a client that does not read."""
        self._stalled = True
        self.deadline = time.monotonic() + self._shared.limits.write_timeout_s

    def abort(self) -> None:
        """Close at once and discard unsent data."""
        if self.made:
            self._transport.abort()

    def _pause_reading(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _tcp_state(self) -> int | None:
        """Return the TCP state of the socket; None if the system does not report it.

        `TCP_CLOSED` means that the client reset the connection, or that the server closed it.
        """
        if _TCP_INFO is None:
            return None
        try:
            return self._sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]
        except OSError:
            return TCP_CLOSED if self._sock.fileno() < 0 else None

    def _write(self, response: Response, *, method: str, keep: bool, http_version: str) -> None:
        if self._transport.is_closing():
            return  # asyncio logs a warning on a write after close
        connection = "Connection: close\r\n"
        if keep:
            connection = "" if http_version == "1.1" else "Connection: keep-alive\r\n"
        data = _head_bytes(response, date=self._shared.date, connection=connection)
        body = response.body
        if not body or method == "HEAD" or response.status in _BODILESS:
            self._transport.write(data)
        elif len(body) <= _COPIED_BYTES:
            self._transport.write(data + body)
        else:
            self._transport.write(data)
            self._transport.write(body)

    def _end(self, *, unread: bool = False) -> None:
        """Close after the client has read the last response.

        Closing a socket with unread or arriving input resets the connection, and a reset discards the response that
        the client has not read yet. So only the sending side is closed, and input is dropped until the client closes.
        TLS cannot close one side: it waits only if the client may still be sending (`unread`).
        """
        transport = self._transport
        self._ending = True
        self.deadline = time.monotonic() + (self._shared.limits.write_timeout_s if self._stalled else LINGER_S)
        if transport.is_closing():
            return
        if self._eof or (self._secure and not unread):
            transport.close()
            return
        if not self._secure:
            transport.write_eof()
        self._resume_reading()


def date_line() -> str:
    """Return the Date header line of the current second."""
    return f"Date: {formatdate(usegmt=True)}\r\n"


def error_response(status: int, message: str) -> Response:
    """Return the response to a malformed request, or to one that does not fit in memory."""
    headers = (("Content-Type", "application/json"), *((("Retry-After", "1"),) if status == 503 else ()))
    return Response(status, json.dumps({"error": message}).encode(), headers)


def _head_bytes(response: Response, *, date: str, connection: str) -> bytes:
    """Return the status line and the headers in Latin-1, with line breaks in values replaced by spaces."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in response.headers])
    if lines.count("\n") != len(response.headers) or lines.count("\r") != len(response.headers):
        # A line break in a value would start another header or response.
        lines = "".join([f"{_one_line(name)}: {_one_line(value)}\r\n" for name, value in response.headers])
    length = "" if response.status in _BODILESS else f"Content-Length: {len(response.body)}\r\n"
    first = _STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} \r\n"
    return f"{first}{date}{length}{connection}{lines}\r\n".encode("latin-1", "replace")


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
