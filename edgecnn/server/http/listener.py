"""Accept connections from a socket, up to the limit, and check their deadlines.

Several processes may share the socket: each accepts a few connections at a time, and the system wakes idle processes.
"""

import asyncio
import math
import socket
import ssl
import time
from contextlib import suppress

from edgecnn.server.http.connection import Connection
from edgecnn.server.http.limits import Limits
from edgecnn.server.http.message import Application
from edgecnn.server.http.responses import date_line
from edgecnn.server.http.slots import Slots
from edgecnn.server.http.transport import Shared
from edgecnn.server.http.turns import Turns
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.proxies import plain

SWEEP_S = 0.25
"""Time between two checks of the deadlines: a timeout takes effect this much later at most."""
_ACCEPTED_AT_ONCE = 32
"""Maximum number of connections that are accepted before other events are handled."""
_EXHAUSTED_S = 0.2
"""Pause after the system has no file descriptor or memory for a connection."""
_REPEATED_S = 1.0
_ON_ITS_WAY_S = 0.5
"""Time that a connection without a request stays open during a drain: a request may be on the way."""
_SENDING_S = 2.0
"""Maximum time to receive a partly received request when the listener stops."""
_POLL_S = 0.02


class Listener:
    """Serve an application on a socket, in the running event loop, after `start`.

    Attributes:
        slots: the open connections, and how many of them were closed at a limit.
        ssl_context: for new connections; it may be replaced. None without TLS.
    """

    def __init__(
        self,
        sock: socket.socket,
        application: Application,
        limits: Limits | None = None,
        *,
        budget: MemoryBudget,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Use a bound, listening, non-blocking socket. The caller closes it after `stop`."""
        self._socket = sock
        self._limits = limits or Limits()
        self.ssl_context = ssl_context
        self._exhausted_since = self._exhausted_at = -math.inf
        self.slots = Slots(self._limits)
        self._shared = Shared(
            application, self._limits, budget, self.slots, Turns(), lost=self._forget, date=date_line()
        )
        self._connections: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._stopped = False
        self._retry: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def open_connections(self) -> int:
        """Number of open connections, including idle ones and TLS handshakes."""
        return len(self.slots.all)

    @property
    def busy(self) -> int:
        """Number of requests without a response."""
        return self._shared.busy

    def exhausted_s(self) -> float:
        """Return for how long the system has had no descriptor or memory for a waiting connection; 0 if it has."""
        now = time.monotonic()
        # Not after a client that waited has left.
        return now - self._exhausted_since if now - self._exhausted_at < _REPEATED_S else 0.0

    def start(self) -> None:
        """Start to accept connections."""
        self._loop = asyncio.get_running_loop()
        self._sweep()
        self._resume()

    def drain(self) -> None:
        """Close each connection after its next response; still accept new connections."""
        self._shared.draining = True
        until = time.monotonic() + _ON_ITS_WAY_S
        for connection in self._connections:
            connection.drain(until)

    async def stop(self, grace_s: float) -> bool:
        """Stop accepting connections, wait for pending requests, and close all connections.

        Returns:
            Whether all requests were answered and the responses read within the grace period.
        """
        self._stopped = True
        self._pause()
        self.drain()
        now = time.monotonic()
        end, sent, arrived = now + grace_s, now + min(grace_s, _SENDING_S), now + _ON_ITS_WAY_S
        while now < end and any(
            each.has_pending or (now < sent and each.is_receiving) or (now < arrived and each.is_new)
            for each in self._connections
        ):
            await asyncio.sleep(_POLL_S)
            now = time.monotonic()
        answered = not any(connection.has_pending for connection in self._connections)
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._connecting:
            task.cancel()
        for connection in self._connections:
            connection.close()
        # Transports close in the next loop iterations. With TLS, some clients do not answer the close notice.
        end = time.monotonic() + _ON_ITS_WAY_S
        while self._connections and time.monotonic() < end:
            await asyncio.sleep(_POLL_S)
        for connection in self._connections:
            connection.abort()
        await asyncio.sleep(0)
        return answered

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        self._shared.date = date_line()
        now = time.monotonic()
        for connection in list(self._connections):
            connection.check(now)
        self.slots.report()
        if self._retry is None:
            self._resume()  # a connection may have become idle

    def _accept(self) -> None:
        """Accept a few connections; the event loop calls this again if more are waiting."""
        for _ in range(_ACCEPTED_AT_ONCE):
            if not self.slots.has_room():
                self._pause()
                return
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return  # another process accepted it, or the client disconnected
            except OSError:
                # The system has no descriptor or memory. The socket stays readable: a retry at once would be a busy
                # loop.
                self._pause()
                self._retry = self._loop.call_later(_EXHAUSTED_S, self._resume)
                now = time.monotonic()
                if not self.exhausted_s():
                    self._exhausted_since = now
                self._exhausted_at = now
                return
            self._exhausted_at = -math.inf
            self._open(sock, plain(str(address[0])) if address else "")

    def _open(self, sock: socket.socket, peer: str) -> None:
        group = self.slots.group_of(peer)
        if not self.slots.make_room(group):
            sock.close()
            return
        sock.setblocking(False)
        with suppress(OSError):  # not every socket is TCP
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self._shared, sock, peer, group)
        self._connections.add(connection)
        self.slots.add(connection)
        connection.opening = task = self._loop.create_task(self._connect(connection, sock))
        self._connecting.add(task)
        task.add_done_callback(lambda task: self._opened(task, connection, sock))

    async def _connect(self, connection: Connection, sock: socket.socket) -> None:
        timeout = self._limits.header_timeout_s if self.ssl_context else None
        with suppress(OSError):  # the client sent no TLS, timed out, or disconnected
            await self._loop.connect_accepted_socket(
                lambda: connection, sock, ssl=self.ssl_context, ssl_handshake_timeout=timeout
            )

    def _opened(self, task: asyncio.Task[None], connection: Connection, sock: socket.socket) -> None:
        self._connecting.discard(task)
        if not connection.made:  # also if the task was cancelled before it began
            sock.close()
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.slots.remove(connection)
        if not self._accepting and self._retry is None:
            self._resume()

    def _pause(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._socket)

    def _resume(self) -> None:
        self._retry = None
        if not self._accepting and not self._stopped and self.slots.has_room():
            self._accepting = True
            self._loop.add_reader(self._socket, self._accept)
