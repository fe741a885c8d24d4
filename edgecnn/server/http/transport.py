"""The transport of one client: response bytes, back-pressure, and a close that delivers the last response."""

import asyncio
import math
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.http.limits import Limits
from edgecnn.server.http.message import Application, Response
from edgecnn.server.http.responses import BODILESS, head_bytes
from edgecnn.server.http.slots import Group, Slots
from edgecnn.server.http.turns import Turns
from edgecnn.server.memory import MemoryBudget

if TYPE_CHECKING:
    from edgecnn.server.http.connection import Connection

TCP_CLOSED = 7
TCP_CLOSE_WAIT = 8
LINGER_S = 2.0
"""Maximum time for a client to close, or to continue sending after a refusal."""

_COPIED_BYTES = 64 << 10
"""Maximum size of a body that is joined with its headers; a larger one is written separately."""
_READ_BYTES = 256 << 10
"""Maximum bytes of one read in a body."""
_READ_HEAD_BYTES = 16 << 10
"""Maximum bytes of one other read, because it may contain many requests that wait."""
_TCP_INFO = getattr(socket, "TCP_INFO", None)
"""Linux only."""


@dataclass(slots=True)
class Shared:
    """The shared state of a listener's connections. The connections write `busy` only.

    Attributes:
        slots: the open connections.
        turns: the order in which connections with received data continue.
        lost: called with each closed connection.
        body_buffer: receives the bodies of all connections, one read after another.
        head_buffer: the same for other data, which may contain many requests.
        date: the Date header line; the listener updates it.
        draining: whether every response is the last of its connection.
        busy: number of requests without a response.
    """

    application: Application
    limits: Limits
    budget: MemoryBudget
    slots: Slots
    turns: Turns
    lost: Callable[["Connection"], None]
    body_buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(_READ_BYTES)))
    head_buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(_READ_HEAD_BYTES)))
    date: str = ""
    draining: bool = False
    busy: int = 0


class ClientTransport(asyncio.BufferedProtocol):
    """The transport layer of a connection, without request handling.

    Attributes:
        deadline: end of the current wait, by the monotonic clock.
        group: the open connections of the same address.
        peer: address of the other end.
        made: whether the transport is open; with TLS, whether the handshake is complete.
    """

    __slots__ = (
        "_ending", "_eof", "_paused", "_secure", "_shared", "_sock", "_stalled", "_transport", "_unread", "deadline",
        "group", "made", "peer",
    )  # fmt: skip

    def __init__(self, shared: Shared, sock: socket.socket, peer: str, group: Group) -> None:
        self._shared = shared
        self.peer = peer
        self.group = group
        self._sock = sock
        self._ending = False  # the last response is written; further input is dropped
        self._eof = False  # the client has closed its sending side
        self._paused = False  # not reading
        self._secure = False
        self._stalled = False  # the client does not read
        self._unread = shared.budget.claim()  # the memory of responses that the client does not read
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

    def _hold_unread(self) -> None:
        """Take the memory of the response that the client does not read; disconnect it if the budget has none."""
        try:
            self._unread.take(max(0, self._transport.get_write_buffer_size() - self._unread.held_bytes))
        except Refusal:
            self._transport.abort()

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
        data = head_bytes(response, date=self._shared.date, connection=connection)
        body = response.body
        if not body or method == "HEAD" or response.status in BODILESS:
            self._transport.write(data)
        elif len(body) <= _COPIED_BYTES:
            self._transport.write(data + body)
        else:
            self._transport.write(data)
            self._transport.write(body)
        if self._stalled:
            self._hold_unread()

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
