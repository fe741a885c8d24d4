"""A web server for one reader: a page and its data, on the loopback only.

Other machines cannot reach it. A page of another site cannot read it in a browser either: the browser's same-origin
policy forbids it, and a name that resolves to the loopback (DNS rebinding) is not an accepted `Host`.
"""

import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edgecnn.pages.page import Page

HOST = "127.0.0.1"
_HOSTS = (HOST, "localhost")
_TIMEOUT_S = 10


class Site(ThreadingHTTPServer):
    """The server. It answers `GET /` with the page, and other paths with JSON."""

    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False  # a browser may keep a connection open

    def __init__(self, port: int, page: Page, data: Mapping[str, Callable[[], bytes]]) -> None:
        """Bind the port.

        Args:
            port: on the loopback; 0 is any free one.
            page: the document.
            data: path to a function that returns JSON.

        Raises:
            OSError: the port is in use or not permitted.
        """
        self.page, self.data = page, data
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the end of a connection, which the browser may close at any time."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Site
    timeout = _TIMEOUT_S
    server_version, sys_version = "edgecnn", ""

    def do_GET(self) -> None:
        """Answer a request."""
        path = self.path.partition("?")[0]
        host = self.headers.get("Host", "")
        if (host.rpartition(":")[0] or host) not in _HOSTS:
            self._send(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", b"unknown host")
        elif path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page.html.encode())
        elif path in self.server.data:
            self._send(HTTPStatus.OK, "application/json", self.server.data[path]())
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"not found")

    def _send(self, status: HTTPStatus, content_type: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": content_type,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": f"{self.server.page.policy}; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: stderr shows the training."""
