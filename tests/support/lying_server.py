"""Servers that are wrong on purpose: a proxy that lies about each answer, and sockets that say what they are given."""

import contextlib
import http.client
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Told:
    """An answer on its way through the proxy; a lie changes it."""

    path: str
    request: bytes
    status: int
    headers: dict[str, str]
    body: bytes
    sent: dict[str, str] = field(default_factory=dict)


Lie = Callable[[Told], Any]


@contextlib.contextmanager
def lying(port: int, lie: Lie) -> Iterator[int]:
    """Pass requests on to the server at `port`, and lie about its answers; gives the proxy's port."""

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
                told = Told(self.path, body, reply.status, headers, reply.read(), sent)
            lie(told)
            told.headers.pop("content-length", None)
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

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

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of requests that the server behind, or the client, has broken off."""

    with Quiet(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def saying(content: bytes, *, then_end: bool = False) -> Iterator[int]:
    """Say the same bytes on every connection, whatever comes, and close it; gives the port.

    Args:
        content: what to say.
        then_end: nobody listens after the first connection.
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
