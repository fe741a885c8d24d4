"""Receive the requests of one client's connection, one after another, and send their responses.

While a request waits for its response, the connection reads a limited amount ahead, to detect a disconnect. A request
takes its memory from the budget as its body arrives, so an announced body that never arrives holds little.
"""

import math
import socket
import time

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.http.head import CHUNKED
from edgecnn.server.http.message import Exchange, Response
from edgecnn.server.http.reader import Reader, Refused
from edgecnn.server.http.responses import CONTINUE, error_response
from edgecnn.server.http.slots import Group
from edgecnn.server.http.transport import TCP_CLOSED, ClientTransport, Shared
from edgecnn.server.memory import SMALL_BYTES

_AHEAD_BYTES = 32 << 10
"""Data that may wait while the connection reads on. More may arrive with one read; it counts in the memory budget."""
_BODY_STEP_BYTES = 256 << 10
"""Memory that a large body takes at once. It exceeds `SMALL_BYTES`, so large bodies leave memory for small ones."""


class Receiver(ClientTransport):
    """The requests of one connection.

    Attributes:
        is_first: whether no whole request has arrived yet.
        waiting_since: when the last response was written, or the connection accepted; infinite while a request is
            answered.
    """

    __slots__ = (
        "_admitted", "_ahead", "_buffer", "_exchange", "_idle", "_is_advancing", "_is_large", "_is_refused", "_probed",
        "_queued_at", "_reader", "is_first", "waiting_since",
    )  # fmt: skip

    def __init__(self, shared: Shared, sock: socket.socket, peer: str, group: Group) -> None:
        super().__init__(shared, sock, peer, group)
        self._reader = Reader(shared.limits)
        self._ahead = shared.budget.claim()  # the memory of data that waits while the connection does not read
        self._admitted: Exchange | None = None  # the request whose body is incomplete
        self._exchange: Exchange | None = None  # the request that waits for its response
        self._buffer = shared.head_buffer  # for the next read
        self._is_large = False  # the body takes its memory in steps
        self._is_refused = False  # the client may still send the body of a refused request
        self._is_advancing = False  # inside `advance`, which continues with the next request
        self._queued_at = 0.0  # when the connection joined the queue of `Turns`; 0 outside it
        self._idle = False  # between two requests
        self._probed = False
        self.is_first = True
        self.waiting_since = time.monotonic()

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
        keep = exchange.keep_alive and self._may_stay
        exchange.claim.release()  # the response counts as unread if the client does not read it
        self._become_idle()
        self._write(response, method=exchange.head.method, keep=keep, http_version=exchange.http_version)
        if not keep:
            self._end()
        elif not self._is_advancing and not self._stalled:
            self._settle()

    # Called by `Turns`.

    def advance(self, until: float) -> None:
        """Handle the received data until a time of the monotonic clock, or until more input is needed."""
        reader = self._reader
        self._is_advancing = True
        try:
            is_ready = self._is_ready and reader.waiting() > 0
            while is_ready:
                in_body = reader.head is not None
                if reader.step() and not in_body:
                    self._admit()
                elif in_body:
                    if self._is_large:
                        self._hold_body()
                elif self._idle and reader.begun:
                    self._idle = False
                    self.deadline = time.monotonic() + self._shared.limits.header_timeout_s
                if reader.complete and not self._ending:
                    self._handle()
                is_ready = reader.waiting() > 0 and self._is_ready and time.monotonic() < until
        except Refused as refused:
            self._refuse(refused.status, str(refused))
        except MemoryError:
            self._refuse(503, "not enough memory for this request: try again later")
        finally:
            self._is_advancing = False
        if reader.waiting() or self._paused or self._eof:
            self._settle()

    def join_queue(self) -> None:
        """Record that the connection waits for its turn. Until then, it reads a limited amount ahead."""
        self._queued_at = time.monotonic()
        self._limit_ahead()

    def take_turn(self, until: float) -> None:
        """Leave the queue, and continue if the connection is still open."""
        waited = time.monotonic() - self._queued_at
        self._queued_at = 0.0
        if self._transport.is_closing():
            return
        if self._ending:
            self._resume_reading()
        elif self._paused and self._tcp_state() == TCP_CLOSED:
            self._transport.abort()
        elif self._is_ready:
            self.deadline += waited  # the client is not responsible for it
            self._ahead.release()  # as a part of a body, the data counts there
            self.advance(until)

    # Steps of a request.

    @property
    def _is_ready(self) -> bool:
        """Whether a request can be handled. A transport that failed to write is closing."""
        return self._exchange is None and not self._stalled and not self._ending and not self._transport.is_closing()

    @property
    def _may_stay(self) -> bool:
        """Whether the connection may stay open after its response: there are enough slots, and no drain."""
        shared = self._shared
        return not (shared.draining or shared.slots.all.is_scarce or self.group.is_scarce)

    def _settle(self) -> None:
        """Wait for the next turn if there is data to handle, otherwise for more input."""
        if self._ending or self._transport.is_closing():
            return
        waiting = self._reader.waiting()
        if self._is_ready and waiting:
            self._shared.turns.wait(self)
            return
        if self._paused and waiting <= _AHEAD_BYTES:
            self._ahead.release()
            self._resume_reading()
        if self._eof and self._exchange is None and not self._stalled:
            self._leave()

    def _limit_ahead(self) -> None:
        """Stop reading if much data waits, and count it; drop it if the budget has no memory for it."""
        waiting = self._reader.waiting()
        if waiting <= _AHEAD_BYTES:
            return
        self._pause_reading()
        claim = self._ahead
        if self._admitted is not None:  # the data belongs to the body
            claim = self._admitted.claim
            waiting += self._reader.size
        try:
            claim.take(max(0, waiting - claim.held_bytes))
        except Refusal as refusal:
            if self._exchange is None:
                self._refuse(refusal.status, str(refusal))
            else:  # later requests are dropped, and the connection ends with the current response
                self._exchange.keep_alive = False
                self._reader.discard()

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
        if self.group.is_proxy:
            forwarded = head.headers.get("x-forwarded-for", "")
            exchange.client = self._shared.limits.trusted_proxies.client_of(self.peer, forwarded)
        response = self._shared.application.admit(exchange)
        if response is not None:
            keep = reader.complete and reader.keep_alive and self._may_stay
            if keep:
                reader.take()
                self.is_first = False
                self._become_idle()
            self._write(response, method=head.method, keep=keep, http_version=reader.version)
            if not keep:
                self._end(unread=not reader.complete)
            return
        self._admitted = exchange
        self._is_large = reader.length == CHUNKED or reader.length > _BODY_STEP_BYTES
        if reader.length > 0:
            self._announce(exchange, reader.length)
        if not reader.complete:
            self._buffer = self._shared.body_buffer
            self.deadline = time.monotonic() + self._shared.limits.body_timeout_s
            expects = head.headers.get("expect", "").lower() == "100-continue"
            if expects and not reader.waiting() and reader.version == "1.1":
                self._transport.write(CONTINUE)

    def _announce(self, exchange: Exchange, length: int) -> None:
        """Refuse a body that does not fit in the budget now, and take the memory of its first part."""
        try:
            exchange.claim.take(length)
        except Refusal as refusal:
            raise Refused(refusal.status, str(refusal)) from None
        if length > _BODY_STEP_BYTES:
            exchange.claim.release(length - _BODY_STEP_BYTES)

    def _hold_body(self) -> None:
        """Take memory for the part of the body that has arrived."""
        exchange, reader = self._admitted, self._reader
        assert exchange is not None
        held = exchange.claim.held_bytes
        if reader.size <= held:
            return
        left = max(SMALL_BYTES, min(held, _BODY_STEP_BYTES)) if reader.length == CHUNKED else reader.length - held
        try:
            exchange.claim.take(max(reader.size - held, min(left, _BODY_STEP_BYTES)))
        except Refusal as refusal:
            raise Refused(refusal.status, str(refusal)) from None

    def _handle(self) -> None:
        exchange = self._admitted
        assert exchange is not None
        exchange.body = self._reader.take()  # may raise MemoryError, which drops the request
        exchange.size = len(exchange.body)
        self._admitted, self._exchange = None, exchange
        self._buffer = self._shared.head_buffer
        self._shared.busy += 1
        self.is_first = False
        self.deadline = self.waiting_since = math.inf
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
        self._shared.application.refused(status, message, peer=self.peer, exchange=self._admitted)
        self._drop()
        self._write(error_response(status, message), method="", keep=False, http_version="1.1")
        self._end(unread=True)

    def _end(self, *, unread: bool = False) -> None:
        """Close after the client has read the last response; release data that waits."""
        self._is_refused = unread
        self._ahead.release()
        self._reader.discard()
        super()._end(unread=unread)

    def _become_idle(self) -> None:
        """Wait for the next request until the idle timeout."""
        self._idle = True
        self.waiting_since = now = time.monotonic()
        self.deadline = now + self._shared.limits.idle_timeout_s

    def _leave(self) -> None:
        """Close: the client has closed its sending side, and no response is pending."""
        if self._reader.begun:
            self._refuse(400, "the request is incomplete")
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
