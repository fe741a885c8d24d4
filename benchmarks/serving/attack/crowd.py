"""Many connections of one attacker in one thread. Each sends a beginning, then the same bytes repeatedly."""

import collections
import errno
import re
import resource
import selectors
import socket
import time
from dataclasses import dataclass

from benchmarks.serving.attack.target import SERVER, source

_STATUS = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)")
_PART, _READ = 256 << 10, 256 << 10
_SMALL_BUFFER = 4096
_LEAST_WAIT_S = 0.01
Counts = dict[str, float]


@dataclass(frozen=True)
class Client:
    """What each connection of a crowd does.

    Attributes:
        first: sent once on each connection.
        then: sent repeatedly after `first`; nothing if empty.
        pause_s: time between two sendings of `then`; 0 sends as fast as the server receives.
        reads: whether it reads answers. Otherwise it needs `then`, and its receive buffer is as small as possible.
        stays: whether it keeps the connection open after `first`. Otherwise it closes it and opens another one.
    """

    first: bytes
    then: bytes = b""
    pause_s: float = 0.0
    reads: bool = True
    stays: bool = True


@dataclass(eq=False)
class _Link:
    sock: socket.socket
    left: memoryview
    due: float = float("inf")


class Crowd:
    """Connections that follow one description. A closed connection is replaced.

    Attributes:
        counts: connections, answers by status, connections that the server closed, and MiB sent.
    """

    def __init__(
        self, port: int, client: Client, connections: int, *, addresses: int = 1, opened_per_s: float = 1000.0
    ) -> None:
        """Prepare a crowd.

        Args:
            port: of the server.
            client: what each connection does.
            connections: open at the same time.
            addresses: number of client addresses on the loopback; 1 is the address of all other clients.
            opened_per_s: most connections that are opened in a second.
        """
        self.counts: collections.Counter[str] = collections.Counter()
        self._port, self._client, self._wanted = port, client, connections
        self._addresses, self._opened_per_s = addresses, opened_per_s
        self._links: set[_Link] = set()
        self._reading = selectors.EVENT_READ if client.reads else 0
        self._number = self._sent = 0

    def run(self, seconds: float) -> Counts:
        """Attack for some seconds, close all connections, and return the counts."""
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        start = time.monotonic()
        with selectors.DefaultSelector() as self._selector:
            while (now := time.monotonic()) < start + seconds:
                allowed = int((now - start) * self._opened_per_s) + 1 - self._number
                for _ in range(min(allowed, self._wanted - len(self._links))):
                    self._open()
                for key, events in self._selector.select(_LEAST_WAIT_S):
                    self._serve(key.data, events, now)
                if self._client.pause_s:
                    self._resume(now)
            for link in list(self._links):
                self._close(link)
        self.counts["MiB sent"] = self._sent >> 20
        return dict(self.counts)

    def _open(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        if not self._client.reads:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        address = source(self._number, self._addresses)
        self._number += 1
        if address:
            sock.bind(address)
        if sock.connect_ex((SERVER, self._port)) not in (0, errno.EINPROGRESS):
            sock.close()
            self.counts["not connected"] += 1
            return
        self.counts["connections"] += 1
        link = _Link(sock, memoryview(self._client.first))
        self._links.add(link)
        self._selector.register(sock, self._reading | selectors.EVENT_WRITE, link)

    def _serve(self, link: _Link, events: int, now: float) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._send(link, now)
            if events & selectors.EVENT_READ:
                self._read(link)
        except BlockingIOError:
            pass
        except OSError:
            self.counts["closed by the server"] += 1
            self._close(link)

    def _send(self, link: _Link, now: float) -> None:
        if not link.left and self._client.then and not self._client.pause_s:
            link.left = memoryview(self._client.then)
        if link.left:
            sent = link.sock.send(link.left[:_PART])
            self._sent += sent
            link.left = link.left[sent:]
        if link.left or (self._client.then and not self._client.pause_s):
            return
        if not self._client.stays:
            self._close(link)
            return
        link.due = now + self._client.pause_s
        self._selector.modify(link.sock, selectors.EVENT_READ, link)

    def _read(self, link: _Link) -> None:
        data = link.sock.recv(_READ)
        if not data:
            raise ConnectionResetError
        for status in _STATUS.findall(data):
            self.counts[status.decode()] += 1

    def _resume(self, now: float) -> None:
        for link in self._links:
            if not link.left and now >= link.due:
                link.left, link.due = memoryview(self._client.then), float("inf")
                self._selector.modify(link.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, link)

    def _close(self, link: _Link) -> None:
        self._links.discard(link)
        self._selector.unregister(link.sock)
        link.sock.close()
