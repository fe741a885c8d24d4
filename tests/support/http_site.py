"""A listener in a background thread, on either event loop, with an application that records its calls."""

import asyncio
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import uvloop

from edgecnn.server.http.limits import Limits
from edgecnn.server.http.listener import Listener
from edgecnn.server.http.message import Exchange, Head, Response
from edgecnn.server.memory import MemoryBudget

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
PATIENCE_S = 60.0


def get(path: str, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in (f"Content-Length: {len(body)}", *headers))
    return f"POST {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode() + body


class Desk:
    """Application: /echo returns the body, /slow answers later, /held never, /big 8 MiB, admit rejects /forbidden."""

    def __init__(self) -> None:
        self.admitted: list[Head] = []
        self.handled: list[Exchange] = []
        self.dropped = 0
        self.refusals: list[int] = []
        self.gone: list[str] = []
        self.unanswered: list[str] = []
        self.big = b"x" * (8 << 20)

    def admit(self, exchange: Exchange) -> Response | None:
        self.admitted.append(exchange.head)
        exchange.on_gone = self.drop
        return Response(404, b'{"error": "no"}') if exchange.head.path == "/forbidden" else None

    def drop(self) -> None:
        self.dropped += 1

    def handle(self, exchange: Exchange) -> None:
        self.handled.append(exchange)
        path = exchange.head.path
        exchange.on_gone = lambda: self.gone.append(path)
        if path == "/echo":
            exchange.respond(Response(200, exchange.body))
        elif path == "/slow":
            asyncio.get_running_loop().call_later(0.3, exchange.respond, Response(200, b"slow"))
        elif path == "/big":
            exchange.respond(Response(200, self.big))
        elif path != "/held":
            exchange.respond(Response(200, path.encode()))

    def refused(self, status: int, message: str, *, peer: str, exchange: Exchange | None) -> None:
        self.refusals.append(status)

    def left(self, exchange: Exchange) -> None:
        self.unanswered.append(exchange.head.path)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Site:
    """A running server."""

    port: int
    desk: Desk
    listener: Listener
    loop: asyncio.AbstractEventLoop
    errors: list[object] = field(default_factory=list)

    @contextmanager
    def client(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as sock:
            yield sock

    def talk(self, *parts: bytes) -> bytes:
        """Send parts; return all bytes until the server closes the connection."""
        with self.client() as sock:
            for part in parts:
                sock.sendall(part)
            return read_all(sock)

    def one(self, request: bytes) -> Answer:
        with self.client() as sock:
            sock.sendall(request)
            return read_answer(sock)

    def on_loop(self, act: Callable[[], object]) -> object:
        """Run a function in the loop's thread."""

        async def there() -> object:
            return act()

        return asyncio.run_coroutine_threadsafe(there(), self.loop).result(PATIENCE_S)

    def stop(self, grace_s: float) -> bool:
        return asyncio.run_coroutine_threadsafe(self.listener.stop(grace_s), self.loop).result(PATIENCE_S)


def read_all(sock: socket.socket) -> bytes:
    parts = []
    with suppress(ConnectionResetError):
        while part := sock.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def read_answer(sock: socket.socket, *, bodiless: bool = False) -> Answer:
    """Read exactly one answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, f"closed after {head!r}"
        head += byte
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    left = 0 if bodiless else int(headers.get("content-length", 0))
    body = b""
    while len(body) < left:
        body += sock.recv(left - len(body))
    return Answer(int(first.split()[1]), headers, body)


def statuses(answers: bytes) -> list[int]:
    """Return the status of every answer in the bytes of a connection."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def is_closed(sock: socket.socket, *, within_s: float = PATIENCE_S) -> bool:
    """Return whether the server closes the connection without another byte."""
    if not select.select([sock], [], [], within_s)[0]:
        return False
    with suppress(ConnectionResetError):
        return sock.recv(1) == b""
    return True


def until(happened: Callable[[], object], *, within_s: float = PATIENCE_S) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if happened():
            return True
        time.sleep(0.01)
    return bool(happened())


@contextmanager
def serving(
    kind: str = "uvloop",
    limits: Limits | None = None,
    *,
    ssl_context: ssl.SSLContext | None = None,
    budget: MemoryBudget | None = None,
) -> Iterator[Site]:
    """Run a listener; fail if the loop reports an error or if memory stays claimed."""
    memory = budget or MemoryBudget(1 << 30)
    loop = LOOPS[kind]()
    errors: list[object] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    desk = Desk()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
        sock.setblocking(False)

        async def start() -> Listener:
            listener = Listener(sock, desk, limits, budget=memory, ssl_context=ssl_context)
            listener.start()
            return listener

        listener = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE_S)
        site = Site(sock.getsockname()[1], desk, listener, loop, errors)
        try:
            yield site
            if ssl_context is None and not listener._stopped:
                assert site.one(GET).body == b"/x"  # it still answers, whatever the test did
        finally:
            site.stop(0)
            left = listener.open_connections, listener.busy
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
    assert not errors, errors
    assert left == (0, 0)
    assert memory.held_bytes == 0
