"""A connection: bytes of one client in, answers out, everything bounded in bytes and time.

One request is handled at a time. While it waits for its answer the socket is still read, a little ahead, since that is
how a client is seen to leave. No timer and no task belongs to a connection: it has a deadline, at which the listener's
sweeper looks.
"""

import asyncio
import math
import socket
import time
from typing import cast

from edgecnn.server.http.answer import CONTINUE, error_response, has_body, head_bytes
from edgecnn.server.http.exchange import ServedExchange
from edgecnn.server.http.message import Admitted, Response
from edgecnn.server.http.reader import Reader, Refused
from edgecnn.server.http.shared import TCP_CLOSE_WAIT, TCP_CLOSED, Shared, tcp_state

_AHEAD_BYTES = 64 << 10
"""Read ahead of the request that is being handled."""
_LINGER_S = 2.0
_LINGER_BYTES = 32 << 20
"""How long, and how much, a refused client may go on sending before it is cut off and may miss why."""
_STEPS = 512
"""Of reading, before others have their turn."""
_COPIED_BYTES = 64 << 10
"""Larger bodies are not copied behind their headers."""


class Connection(asyncio.Protocol):
    """One client.

    Attributes:
        deadline: of what the connection now waits for, by the monotonic clock.
        made: whether the transport stands; with TLS, whether the handshake is done.
    """

    __slots__ = (
        "_admitted", "_advancing", "_dropped", "_ending", "_eof", "_exchange", "_idle", "_paused", "_probed", "_reader",
        "_secure", "_shared", "_sock", "_stalled", "_transport", "deadline", "made",
    )  # fmt: skip

    def __init__(self, shared: Shared, sock: socket.socket) -> None:
        self._shared = shared
        self._sock = sock
        self._reader = Reader(shared.limits)
        self._admitted: Admitted | None = None  # its body is still to come
        self._exchange: ServedExchange | None = None
        self._advancing = False  # inside `_advance`, which goes on by itself
        self._dropped = 0
        self._ending = False  # the last answer is written; what still comes is dropped
        self._eof = False
        self._idle = False  # between two requests
        self._paused = False  # not reading
        self._probed = False
        self._secure = False
        self._stalled = False  # the client does not read
        self.deadline = math.inf
        self.made = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._secure = transport.get_extra_info("sslcontext") is not None
        if not self._secure:
            # Every byte that the system does not take counts as unread. TLS has records of its own to buffer.
            self._transport.set_write_buffer_limits(high=0)
        self.made = True
        self.deadline = time.monotonic() + self._shared.limits.header_timeout_s

    def data_received(self, data: bytes) -> None:
        """Read on, or put it by."""
        if self._ending:
            self._dropped += len(data)
            if self._dropped > _LINGER_BYTES:
                self._transport.abort()
            return
        self._reader.add(data)
        if self._exchange is None and not self._stalled:
            self._advance()
        elif not self._paused and self._reader.waiting() > _AHEAD_BYTES:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Go on if something is owed to the client: it may have closed its side only."""
        self._eof = True
        if self._ending or self._secure:
            return False
        if self._exchange is not None:
            self._probe()
            return True
        if self._stalled:
            return True
        self._leave()
        return True

    def pause_writing(self) -> None:
        """Give the client so long to read."""
        self._stalled = True
        self.deadline = time.monotonic() + self._shared.limits.write_timeout_s

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._stalled = False
        if self._ending:
            self.deadline = time.monotonic() + _LINGER_S
        elif self._exchange is not None:
            self.deadline = math.inf
        elif not self._advancing:
            self._rest()
            # Not at once: asyncio, which is in the middle of writing, would close a transport twice.
            asyncio.get_running_loop().call_soon(self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and tell whoever works on an answer."""
        exchange, self._exchange = self._exchange, None
        self._drop()
        self._ending = True
        self._reader.clear()
        self.deadline = math.inf
        self._shared.lost(self)
        if exchange is not None:
            self._shared.busy -= 1
            if exchange.on_gone is not None:
                exchange.on_gone()

    # What the exchange calls.

    def has_left(self, exchange: ServedExchange) -> bool:
        """Whether nobody waits for this answer any more."""
        if self._exchange is not exchange or self._transport.is_closing():
            return True
        return (self._eof or self._paused) and tcp_state(self._sock) == TCP_CLOSED

    def answer(self, exchange: ServedExchange, response: Response) -> None:
        """Send the answer, if it is still waited for."""
        if self._exchange is not exchange:
            return
        self._exchange = None
        self._shared.busy -= 1
        keep = exchange.keep_alive and not self._shared.draining
        self._rest()
        self._write(response, method=exchange.head.method, keep=keep, version=exchange.version)
        if not keep:
            self._end()
        elif not self._advancing and not self._stalled:
            self._advance()

    # What the listener calls.

    @property
    def owes(self) -> bool:
        """Whether a request is being handled, or an answer not read yet."""
        return self._exchange is not None or self._stalled

    @property
    def receives(self) -> bool:
        """Whether a request is being sent."""
        return not self._ending and self._exchange is None and self._reader.begun

    @property
    def is_new(self) -> bool:
        """Whether nothing has come yet: the first request may be on its way."""
        return not (self._ending or self._idle or self.owes or self._reader.begun)

    @property
    def rests(self) -> bool:
        """Whether everything was answered, and nothing has come since."""
        waits = self._exchange is None and not self._stalled and not self._reader.waiting()
        return self.made and self._idle and waits and not self._ending and not self._transport.is_closing()

    def check(self, now: float) -> None:
        """Look at the deadline, and at a client that may have left unseen."""
        if now >= self.deadline:
            self._expire()
        elif (self._eof or self._paused) and self._exchange is not None:
            state = tcp_state(self._sock)
            if state == TCP_CLOSED:
                self._transport.abort()
            elif state == TCP_CLOSE_WAIT and not self._eof:
                self._probe()

    def drain(self, until: float) -> None:
        """Let a connection without a request go soon."""
        if self.made and not self._ending and not self.owes and not self.receives:
            self.deadline = min(self.deadline, until)

    def close(self) -> None:
        """Close now."""
        if not self.made:
            return
        if self.owes:
            self._transport.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close without a word."""
        if self.made:
            self._transport.abort()

    @property
    def _ready(self) -> bool:
        """Whether a request may be handled now; a transport that has failed to write is closing and takes no more."""
        return self._exchange is None and not self._stalled and not self._ending and not self._transport.is_closing()

    def _go_on(self) -> None:
        if self._ready:
            self._advance()

    def _advance(self) -> None:
        """Handle what has been read, until something is missing."""
        reader = self._reader
        self._advancing = True
        steps = 0
        try:
            while self._ready and reader.waiting():
                steps += 1
                if steps > _STEPS:  # a body full of empty lines takes one for each: others have their turn
                    self._advance_later()
                    return
                was_whole = reader.head is not None
                if reader.step():
                    if not was_whole:
                        self._admit()
                    if reader.complete and not self._ending:
                        self._handle()
                elif not was_whole and reader.begun:
                    self._begin()
        except Refused as refused:
            self._refuse(refused.status, str(refused))
        except MemoryError:
            self._refuse(503, "there is no memory for this request: try again later")
        finally:
            self._advancing = False
        if self._ending or self._transport.is_closing():
            return
        if self._paused and reader.waiting() <= _AHEAD_BYTES:
            self._paused = False
            self._transport.resume_reading()
        if self._eof and self._exchange is None and not self._stalled:
            self._leave()

    def _advance_later(self) -> None:
        """Go on after the others; read no more from the client meanwhile."""
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def _begin(self) -> None:
        """Start the clock for the headers, once."""
        if self._idle:
            self._idle = False
            self.deadline = time.monotonic() + self._shared.limits.header_timeout_s

    def _admit(self) -> None:
        """Ask for a body, or refuse it."""
        reader = self._reader
        head = reader.head
        assert head is not None
        admitted = self._shared.application.admit(head)
        if isinstance(admitted, Response):
            keep = reader.complete and reader.keep_alive and not self._shared.draining
            if keep:
                reader.take()
                self._rest()
            self._write(admitted, method=head.method, keep=keep, version=reader.version)
            if not keep:
                self._end(unread=not reader.complete)
            return
        self._admitted = admitted
        if not reader.complete:
            self.deadline = time.monotonic() + self._shared.limits.body_timeout_s
            expects = head.headers.get("expect", "").lower() == "100-continue"
            if expects and not reader.waiting() and reader.version == "1.1":
                self._transport.write(CONTINUE)

    def _handle(self) -> None:
        reader = self._reader
        keep_alive, version = reader.keep_alive, reader.version
        head, body = reader.take()
        exchange = ServedExchange(self, head, body, keep_alive=keep_alive, version=version)
        self._exchange = exchange
        self._shared.busy += 1
        self.deadline = math.inf
        if self._eof:
            self._probe()
        admitted, self._admitted = self._admitted, None
        assert admitted is not None
        admitted.handle(exchange)

    def _drop(self) -> None:
        """Let go of a request that will not be whole."""
        admitted, self._admitted = self._admitted, None
        if admitted is not None:
            admitted.drop()

    def _refuse(self, status: int, message: str) -> None:
        self._drop()
        self._shared.application.refused(status)
        self._write(error_response(status, message), method="", keep=False, version="1.1")
        self._end(unread=True)

    def _write(self, response: Response, *, method: str, keep: bool, version: str) -> None:
        if self._transport.is_closing():
            return  # asyncio logs what is written then
        connection = "Connection: close\r\n"
        if keep:
            connection = "" if version == "1.1" else "Connection: keep-alive\r\n"
        data = head_bytes(response, date=self._shared.date, connection=connection)
        if not response.body or not has_body(response.status, method):
            self._transport.write(data)
        elif len(response.body) <= _COPIED_BYTES:
            self._transport.write(data + response.body)
        else:
            self._transport.write(data)
            self._transport.write(response.body)

    def _rest(self) -> None:
        """Wait for the next request."""
        self._idle = True
        self.deadline = time.monotonic() + self._shared.limits.idle_timeout_s

    def _leave(self) -> None:
        """The client will send no more, and nothing is owed to it."""
        if self._reader.begun:
            self._refuse(400, "the request ends too early")
        else:
            self._end()

    def _end(self, *, unread: bool = False) -> None:
        """Close once the client has read the last answer.

        Closing a socket that has unread bytes, or gets more, resets the connection, and a reset destroys what the
        client has not read yet. So only the sending side is closed, and what comes is dropped until the client closes.

        Args:
            unread: whether the client may be sending still. TLS cannot close one side; it waits for this only.
        """
        transport = self._transport
        self._ending = True
        limits = self._shared.limits
        self.deadline = time.monotonic() + (limits.write_timeout_s if self._stalled else _LINGER_S)
        if transport.is_closing():
            return
        if self._eof or (self._secure and not unread):
            transport.close()
            return
        if not self._secure:
            transport.write_eof()
        if self._paused:
            self._paused = False
            transport.resume_reading()

    def _expire(self) -> None:
        transport = self._transport
        if self._stalled or transport.is_closing():
            transport.abort()
        elif self._ending:
            self.deadline = time.monotonic() + _LINGER_S
            transport.close()
        elif self._reader.begun:
            waited_for = "headers" if self._reader.head is None else "body"
            self._refuse(408, f"the {waited_for} took too long")
        else:
            self._end()

    def _probe(self) -> None:
        """Find out whether a client that sends no more still reads.

        The system reports the end of a client's sending alike for both. An interim answer, which a reader skips, is
        answered with a reset where nobody reads; `tcp_state` tells.
        """
        if not self._probed and self._exchange is not None and self._exchange.version == "1.1":
            self._probed = True
            self._transport.write(CONTINUE)
