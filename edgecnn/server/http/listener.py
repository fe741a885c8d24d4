"""Accept connections from a socket, up to the limit, and check their deadlines.

Several processes may share the socket: each accepts one connection at a time, and the system wakes idle processes.
"""

import asyncio
import socket
import ssl
import time
from contextlib import suppress

from edgecnn.server.http.connection import Connection
from edgecnn.server.http.limits import Limits
from edgecnn.server.http.message import Application
from edgecnn.server.http.transport import Shared, date_line
from edgecnn.server.memory import MemoryBudget

_SWEEP_S = 0.25
_EXHAUSTED_S = 0.2
"""Pause after the system has no file descriptor or memory for a connection."""
_ON_ITS_WAY_S = 0.5
"""Time that a connection without a request stays open during a drain: a request may be on the way."""
_SENDING_S = 2.0
"""Maximum time to receive a partly received request when the listener stops."""
_POLL_S = 0.02


class Listener:
    """Serve an application on a socket, in the running event loop, after `start`."""

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
        self._ssl = ssl_context
        self._shared = Shared(application, self._limits, budget, self._forget, date=date_line())
        self._connections: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._stopped = False
        self._retry: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def open_connections(self) -> int:
        """Number of open connections, including idle ones and TLS handshakes."""
        return len(self._connections)

    @property
    def busy(self) -> int:
        """Number of requests without a response."""
        return self._shared.busy

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
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        self._shared.date = date_line()
        now = time.monotonic()
        for connection in list(self._connections):
            connection.check(now)
        if self._retry is None:
            self._resume()  # a connection may have become idle

    def _has_room(self) -> bool:
        """Return whether the limit allows another connection, or an idle one can be closed."""
        few = len(self._connections) < self._limits.max_connections
        return few or any(connection.is_idle for connection in self._connections)

    def _make_room(self) -> None:
        """Close the longest idle connection if the limit is reached.

        Otherwise idle clients would block new ones, including health checks.
        """
        if len(self._connections) >= self._limits.max_connections:
            idle = (connection for connection in self._connections if connection.is_idle)
            min(idle, key=lambda connection: connection.deadline).close()

    def _accept(self) -> None:
        """Accept one connection; the event loop calls this again if more are waiting."""
        if not self._has_room():
            self._pause()
            return
        try:
            sock, address = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # another process accepted it, or the client disconnected
        except OSError:
            # The system has no descriptor or memory. The socket stays readable: a retry at once would be a busy loop.
            self._pause()
            self._retry = self._loop.call_later(_EXHAUSTED_S, self._resume)
            return
        sock.setblocking(False)
        with suppress(OSError):  # not every socket is TCP
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._make_room()
        connection = Connection(self._shared, sock, str(address[0]) if address else "")
        self._connections.add(connection)
        task = self._loop.create_task(self._connect(connection, sock))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: Connection, sock: socket.socket) -> None:
        timeout = self._limits.header_timeout_s if self._ssl else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, sock, ssl=self._ssl, ssl_handshake_timeout=timeout
            )
        except OSError:
            pass  # the client sent no TLS, timed out, or disconnected
        finally:
            if not connection.made:
                sock.close()
                self._forget(connection)

    def _forget(self, connection: object) -> None:
        self._connections.discard(connection)
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
        if not self._accepting and not self._stopped and self._has_room():
            self._accepting = True
            self._loop.add_reader(self._socket, self._accept)
