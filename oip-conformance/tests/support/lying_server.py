"""Servers that do not conform: a proxy that changes answers, and sockets that send fixed bytes."""

import contextlib
import http.client
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from reference_server import listening


@dataclass
class Proxied:
    """An answer in the proxy, and its request. A lie changes the answer."""

    path: str
    request: bytes
    status: int
    headers: dict[str, str]
    body: bytes
    sent: dict[str, str] = field(default_factory=dict)


Lie = Callable[[Proxied], Any]


@contextlib.contextmanager
def lying(port: int, lie: Lie) -> Iterator[int]:
    """Forward requests to the server at `port` and change its answers; yields the proxy's port."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.whole_body()
            sent = {name.lower(): value for name, value in self.headers.items()}
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                passed = {name: value for name, value in sent.items() if name not in {"transfer-encoding", "expect"}}
                connection.request(self.command, self.path, body, passed | {"content-length": str(len(body))})
                reply = connection.getresponse()
                headers = {name.lower(): value for name, value in reply.getheaders()}
                proxied = Proxied(self.path, body, reply.status, headers, reply.read(), sent)
            lie(proxied)
            proxied.headers.pop("content-length", None)
            self.send_response(proxied.status)
            for name, value in proxied.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(proxied.body)))
            self.end_headers()
            self.wfile.write(proxied.body)

        def whole_body(self) -> bytes:
            if "transfer-encoding" not in self.headers:
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with listening(Proxy) as proxy_port:
        yield proxy_port


@contextlib.contextmanager
def saying(content: bytes, *, then_end: bool = False) -> Iterator[int]:
    """Send the same bytes on every connection, whatever the request, and close it; yields the port.

    Args:
        content: the bytes.
        then_end: stop listening after the first connection.
    """
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    if then_end:
                        listener.close()
                        ended.set()
                    connection.settimeout(0.05)
                    with contextlib.suppress(OSError):
                        connection.recv(1 << 20)
                    with contextlib.suppress(OSError):
                        connection.sendall(content)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield port
        finally:
            ended.set()
            thread.join()
