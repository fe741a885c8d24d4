"""The connection of one client: events of its transport, deadlines, and what the listener needs.

A connection handles one request at a time. It has a deadline that the listener checks, but neither timer nor task.
"""

import asyncio
import math
import socket
import time

from edgecnn.server.http.receiver import Receiver
from edgecnn.server.http.responses import error_response
from edgecnn.server.http.slots import NEW_S, RECENT_S, Group
from edgecnn.server.http.transport import LINGER_S, TCP_CLOSE_WAIT, TCP_CLOSED, Shared

_LINGER_BYTES = 32 << 20
"""A refused client that sends more than this is disconnected and may miss the response."""

_AT_ONCE_BYTES = 64 << 10
"""Input after the last response that is dropped at once."""
_UNSEEN_S = 2.0
"""After this time, a client that sends ahead is checked too: its close may follow unread data."""


class Connection(Receiver):
    """The connection of one client.

    Attributes:
        opening: the task that opens the transport; the listener sets it.
    """

    __slots__ = ("_dropped", "opening")

    opening: asyncio.Task[None]

    def __init__(self, shared: Shared, sock: socket.socket, peer: str, group: Group) -> None:
        super().__init__(shared, sock, peer, group)
        self._dropped = 0

    # Called by the event loop.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next read; a view, because asyncio's TLS writes into slices of it."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the data, or keep it until the current request is answered or the connection has its turn."""
        if self._ending:
            self._drop_arrived(nbytes)
            return
        self._reader.add(bytes(self._buffer[:nbytes]))
        if self._exchange is None and not self._stalled and not self._queued_at:
            self._shared.turns.arrive(self)
        else:
            self._limit_ahead()

    def eof_received(self) -> bool:
        """Stay open if a response is pending: the client may have closed only its sending side."""
        self._eof = True
        if self._ending or self._secure:
            return False
        if self._exchange is not None:
            self._probe()
        elif not self._stalled and not self._queued_at:
            self._leave()
        return True

    def resume_writing(self) -> None:
        """Continue after the client reads."""
        self._stalled = False
        self._unread.release()
        if self._ending:
            self.deadline = time.monotonic() + LINGER_S
        elif self._exchange is not None:
            self.deadline = math.inf
        elif not self._is_advancing:
            self._become_idle()
            # Not at once: asyncio is still writing, and would close the transport twice.
            asyncio.get_running_loop().call_soon(self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the request that is received or handled."""
        exchange, self._exchange = self._exchange, None
        unanswered = exchange or self._admitted
        if unanswered is not None:
            self._shared.application.left(unanswered)
        self._drop()
        self._ahead.release()
        self._unread.release()
        self._ending = True
        self._reader.clear()
        self.deadline = math.inf
        self._shared.lost(self)
        if exchange is not None:
            self._shared.busy -= 1
            if exchange.on_gone is not None:
                exchange.on_gone()
            exchange.claim.release()

    # Called by the listener.

    @property
    def has_pending(self) -> bool:
        """Whether a request is handled, or its response is not read yet."""
        return self._exchange is not None or self._stalled

    @property
    def is_receiving(self) -> bool:
        """Whether a request is partly received, or received data waits for its turn."""
        return not self._ending and self._exchange is None and (self._reader.begun or self._queued_at > 0)

    @property
    def is_new(self) -> bool:
        """Whether no data has arrived yet: the first request may be on the way."""
        return not (self._ending or self._idle or self.has_pending or self._reader.begun)

    def is_recent(self, now: float) -> bool:
        """Return whether the client is active: it reads its response, or its request may be on the way."""
        if self._ending and self._paused:  # it sends on after the last response
            return False
        return now - self.waiting_since < (RECENT_S if self._idle or self._stalled else NEW_S)

    def check(self, now: float) -> None:
        """Check the deadline, and detect a client that has disconnected."""
        if now >= self.deadline:
            if self._ending or not self._queued_at:
                self._expire()
        elif (self._eof or self._paused) and (self._exchange is not None or self._ending):
            state = self._tcp_state()
            if state == TCP_CLOSED:
                self._transport.abort()
            elif self._exchange is not None and (state == TCP_CLOSE_WAIT or now - self._exchange.begun > _UNSEEN_S):
                self._probe()

    def drain(self, until: float) -> None:
        """Shorten the deadline of a connection without a request."""
        if self.made and not self._ending and not self.has_pending and not self.is_receiving:
            self.deadline = min(self.deadline, until)

    def evict(self) -> None:
        """Close a connection without a whole request at once; one with a part of a request gets a 503."""
        if not self.made:
            self.opening.cancel()
        elif self._secure or self._ending or self._stalled:
            self._transport.abort()
        else:
            if self._reader.begun:
                message = "too many connections, and this one took the longest to send its request: try again later"
                self._shared.application.refused(503, message, peer=self.peer, exchange=self._admitted)
                self._write(error_response(503, message), method="", keep=False, http_version="1.1")
            self._drop()
            self._ending = True
            self._transport.close()

    def close(self) -> None:
        """Close the connection."""
        if not self.made:
            return
        if self.has_pending:
            self._transport.abort()
        else:
            self._transport.close()

    def _drop_arrived(self, size: int) -> None:
        """Drop input after the last response.

        A client that sends a refused body reads the response only after it, so each further read is a turn. Other
        input is read no further if there is much of it.
        """
        self._dropped += size
        if self._dropped <= _AT_ONCE_BYTES:
            return
        self._pause_reading()
        if self._dropped > _LINGER_BYTES:
            self._transport.abort()
        elif self._is_refused and not self._queued_at:
            self._shared.turns.wait(self)

    def _go_on(self) -> None:
        if self._is_ready and not self._queued_at:
            self._settle()

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
