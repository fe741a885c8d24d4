"""Handle the requests of one client's connection, with limits of bytes and time.

A connection handles one request at a time. While a request waits for its response, the connection reads a limited
amount ahead, to detect a disconnect. A connection has a deadline that the listener checks, and no timer or task.
"""

import asyncio
import math
import socket
import time

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.http.head import CHUNKED
from edgecnn.server.http.message import Exchange, Response
from edgecnn.server.http.reader import Reader, Refused
from edgecnn.server.http.transport import (
    CONTINUE,
    LINGER_S,
    TCP_CLOSE_WAIT,
    TCP_CLOSED,
    ClientTransport,
    Shared,
    error_response,
)

_AHEAD_BYTES = 64 << 10
"""Maximum bytes to read ahead of the current request."""
_LINGER_BYTES = 32 << 20
"""A refused client that sends more than this is disconnected and may miss the response."""
_STEPS = 512
"""Maximum parsing steps before other connections get a turn."""


class Connection(ClientTransport):
    """The connection of one client."""

    __slots__ = ("_admitted", "_advancing", "_dropped", "_exchange", "_idle", "_probed", "_reader")

    def __init__(self, shared: Shared, sock: socket.socket, peer: str) -> None:
        super().__init__(shared, sock, peer)
        self._reader = Reader(shared.limits)
        self._admitted: Exchange | None = None  # the request whose body is incomplete
        self._exchange: Exchange | None = None  # the request that waits for its response
        self._advancing = False  # inside `_advance`, which continues with the next request
        self._dropped = 0
        self._idle = False  # between two requests
        self._probed = False

    # Called by the event loop.

    def data_received(self, data: bytes) -> None:
        """Handle the data, or keep it until the current request is answered."""
        if self._ending:
            self._dropped += len(data)
            if self._dropped > _LINGER_BYTES:
                self._transport.abort()
            return
        self._reader.add(data)
        if self._exchange is None and not self._stalled:
            self._advance()
        elif self._reader.waiting() > _AHEAD_BYTES:
            self._pause_reading()

    def eof_received(self) -> bool:
        """Stay open if a response is pending: the client may have closed only its sending side."""
        self._eof = True
        if self._ending or self._secure:
            return False
        if self._exchange is not None:
            self._probe()
        elif not self._stalled:
            self._leave()
        return True

    def resume_writing(self) -> None:
        """Continue after the client reads."""
        self._stalled = False
        if self._ending:
            self.deadline = time.monotonic() + LINGER_S
        elif self._exchange is not None:
            self.deadline = math.inf
        elif not self._advancing:
            self._become_idle()
            # Not at once: asyncio is still writing, and would close the transport twice.
            asyncio.get_running_loop().call_soon(self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the request that is received or handled."""
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
            exchange.claim.release()

    # Called by the exchange.

    def has_left(self, exchange: Exchange) -> bool:
        """Return whether the client of an exchange has disconnected."""
        if self._exchange is not exchange or self._transport.is_closing():
            return True
        return (self._eof or self._paused) and self._tcp_state() == TCP_CLOSED

    def answer(self, exchange: Exchange, response: Response) -> None:
        """Send the response, unless the client has disconnected or already has one."""
        if self._exchange is not exchange:
            return
        self._exchange = None
        self._shared.busy -= 1
        keep = exchange.keep_alive and not self._shared.draining
        self._become_idle()
        self._write(response, method=exchange.head.method, keep=keep, http_version=exchange.http_version)
        exchange.claim.release()
        if not keep:
            self._end()
        elif not self._advancing and not self._stalled:
            self._advance()

    # Called by the listener.

    @property
    def has_pending(self) -> bool:
        """Whether a request is handled, or its response is not read yet."""
        return self._exchange is not None or self._stalled

    @property
    def is_receiving(self) -> bool:
        """Whether a request is partly received."""
        return not self._ending and self._exchange is None and self._reader.begun

    @property
    def is_new(self) -> bool:
        """Whether no data has arrived yet: the first request may be on the way."""
        return not (self._ending or self._idle or self.has_pending or self._reader.begun)

    @property
    def is_idle(self) -> bool:
        """Whether all requests are answered and no data has arrived since."""
        waits = self._exchange is None and not self._stalled and not self._reader.waiting()
        return self.made and self._idle and waits and not self._ending and not self._transport.is_closing()

    def check(self, now: float) -> None:
        """Check the deadline, and detect a client that has disconnected."""
        if now >= self.deadline:
            self._expire()
        elif (self._eof or self._paused) and self._exchange is not None:
            state = self._tcp_state()
            if state == TCP_CLOSED:
                self._transport.abort()
            elif state == TCP_CLOSE_WAIT and not self._eof:
                self._probe()

    def drain(self, until: float) -> None:
        """Shorten the deadline of a connection without a request."""
        if self.made and not self._ending and not self.has_pending and not self.is_receiving:
            self.deadline = min(self.deadline, until)

    def close(self) -> None:
        """Close the connection."""
        if not self.made:
            return
        if self.has_pending:
            self._transport.abort()
        else:
            self._transport.close()

    @property
    def _ready(self) -> bool:
        """Whether a request can be handled. A transport that failed to write is closing."""
        return self._exchange is None and not self._stalled and not self._ending and not self._transport.is_closing()

    def _go_on(self) -> None:
        if self._ready:
            self._advance()

    def _advance(self) -> None:
        """Handle the received data until more input is needed."""
        reader = self._reader
        self._advancing = True
        steps = 0
        try:
            while self._ready and reader.waiting():
                steps += 1
                if steps > _STEPS:  # each empty line of a body takes one step
                    self._pause_reading()
                    asyncio.get_running_loop().call_soon(self._go_on)
                    return
                was_whole = reader.head is not None
                if reader.step():
                    if not was_whole:
                        self._admit()
                    if reader.complete and not self._ending:
                        self._handle()
                elif self._idle and not was_whole and reader.begun:
                    self._idle = False
                    self.deadline = time.monotonic() + self._shared.limits.header_timeout_s
        except Refused as refused:
            self._refuse(refused.status, str(refused))
        except MemoryError:
            self._refuse(503, "not enough memory for this request: try again later")
        finally:
            self._advancing = False
        if self._ending or self._transport.is_closing():
            return
        if self._paused and reader.waiting() <= _AHEAD_BYTES:
            self._resume_reading()
        if self._eof and self._exchange is None and not self._stalled:
            self._leave()

    def _admit(self) -> None:
        """Check a request with complete headers, and request its body with `100 Continue` if needed."""
        reader = self._reader
        head = reader.head
        assert head is not None
        exchange = Exchange(
            self,
            head,
            keep_alive=reader.keep_alive,
            http_version=reader.version,
            claim=self._shared.budget.claim(),
            peer=self.peer,
        )
        response = self._shared.application.admit(exchange)
        if response is not None:
            keep = reader.complete and reader.keep_alive and not self._shared.draining
            if keep:
                reader.take()
                self._become_idle()
            self._write(response, method=head.method, keep=keep, http_version=reader.version)
            if not keep:
                self._end(unread=not reader.complete)
            return
        self._admitted = exchange
        if reader.length != CHUNKED:
            try:
                exchange.claim.take(reader.length)
            except Refusal as refusal:
                raise Refused(refusal.status, str(refusal)) from None
        if not reader.complete:
            self.deadline = time.monotonic() + self._shared.limits.body_timeout_s
            expects = head.headers.get("expect", "").lower() == "100-continue"
            if expects and not reader.waiting() and reader.version == "1.1":
                self._transport.write(CONTINUE)

    def _handle(self) -> None:
        exchange = self._admitted
        assert exchange is not None
        exchange.body = self._reader.take()  # may raise MemoryError, which drops the request
        exchange.size = len(exchange.body)
        self._admitted, self._exchange = None, exchange
        self._shared.busy += 1
        self.deadline = math.inf
        if self._eof:
            self._probe()
        self._shared.application.handle(exchange)

    def _drop(self) -> None:
        """Release an incomplete request."""
        exchange, self._admitted = self._admitted, None
        if exchange is not None:
            if exchange.on_gone is not None:
                exchange.on_gone()
            exchange.claim.release()

    def _refuse(self, status: int, message: str) -> None:
        self._drop()
        self._shared.application.refused(status)
        self._write(error_response(status, message), method="", keep=False, http_version="1.1")
        self._end(unread=True)

    def _become_idle(self) -> None:
        """Wait for the next request until the idle timeout."""
        self._idle = True
        self.deadline = time.monotonic() + self._shared.limits.idle_timeout_s

    def _leave(self) -> None:
        """Close: the client has closed its sending side, and no response is pending."""
        if self._reader.begun:
            self._refuse(400, "the request is incomplete")
        else:
            self._end()

    def _expire(self) -> None:
        transport = self._transport
        if self._stalled or transport.is_closing():
            transport.abort()
        elif self._ending:
            self.deadline = time.monotonic() + LINGER_S
            transport.close()
        elif self._reader.begun:
            waited_for = "headers" if self._reader.head is None else "body"
            self._refuse(408, f"timeout: the {waited_for} took too long")
        else:
            self._end()

    def _probe(self) -> None:
        """Send an interim response to detect a client that has closed both sides.

        After the client closes its sending side, the system does not report whether the client still reads. A client
        that reads skips an interim response. Otherwise its system sends a reset, which `_tcp_state` reports.
        """
        if not self._probed and self._exchange is not None and self._exchange.http_version == "1.1":
            self._probed = True
            self._transport.write(CONTINUE)
