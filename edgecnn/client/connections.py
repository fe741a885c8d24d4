"""HTTP connections to servers: sends one request and returns its response, or raises the reason of a failure.

This is the only file that uses urllib3. It bounds each response in bytes and in time.
"""

import http.client
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from edgecnn.client.responses import NoResponse, ServerResponse
from edgecnn.errors import UsageError

_CONNECT_S = 5.0
"""Timeout of a connection attempt, so that an unreachable machine leaves time for another server."""

_MAX_IDLE = 64
"""Idle connections that are kept per server."""

_MAX_RESPONSE_BYTES = 256 << 20
_PART_BYTES = 1 << 16

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
"""Reasons of OpenSSL 1.1 to 3.5 for a response in plain HTTP."""


@dataclass(frozen=True)
class Request:
    """A request; `path` is relative to the server's URL, and `headers` are sent in addition to the common ones."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Connections:
    """Connections of one process to some servers; any number of threads may use them."""

    def __init__(self, urls: Sequence[str], *, headers: Mapping[str, str], context: ssl.SSLContext | None) -> None:
        """Open no connection yet; `headers` are sent with every request, and `context` is for https."""
        self._headers = headers
        self._context = context
        self._pools = {url: self._new_pool(url) for url in urls}

    def send(self, url: str, request: Request, *, timeout_s: float) -> ServerResponse:
        """Send a request to a server, once.

        A server may close an idle connection at the moment at which the request is sent (RFC 9112, 9.3.1 and 9.5). The
        request is then sent once more, on a new connection.

        Raises:
            NoResponse: the server did not respond within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        pool = self._pools[url]
        opened = pool.num_connections
        try:
            return self._exchange(pool, url, request, timeout_s)
        except NoResponse as failure:
            left_s = deadline - time.monotonic()
            if not failure.is_closed or pool.num_connections != opened or left_s <= 0:
                raise
        # The other idle connections are as old. The old pool closes them when no thread uses it any more.
        pool = self._pools[url] = self._new_pool(url)
        return self._exchange(pool, url, request, left_s)

    def close(self) -> None:
        """Close idle connections; those in use are closed after their response."""
        for pool in self._pools.values():
            pool.close()

    def _new_pool(self, url: str) -> urllib3.HTTPConnectionPool:
        tls = {"ssl_context": self._context} if url.startswith("https:") else {}
        return urllib3.connection_from_url(url, maxsize=_MAX_IDLE, **tls)

    def _exchange(
        self, pool: urllib3.HTTPConnectionPool, url: str, request: Request, timeout_s: float
    ) -> ServerResponse:
        deadline = time.monotonic() + timeout_s
        has_begun = False
        try:
            response = pool.urlopen(
                request.method,
                (urllib3.util.parse_url(url).path or "") + request.path,
                body=request.body,
                headers={**self._headers, **request.headers},
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=min(_CONNECT_S, timeout_s), read=timeout_s),
                preload_content=False,
            )
            has_begun = True
            try:
                body = _read(response, deadline)
            except BaseException:
                response.close()  # unread bytes must not be taken for the next response
                raise
        except SSLError as error:
            reason, is_final = _tls_reason(error)
            raise NoResponse(f"{url}: {reason}", is_final=is_final, is_closed=not (is_final or has_begun)) from None
        except (HTTPError, OSError) as error:
            is_closed = (
                not has_begun and isinstance(error, ProtocolError) and isinstance(error.args[-1], ConnectionError)
            )
            raise NoResponse(f"{url}: {_reason(error, url, timeout_s)}", is_closed=is_closed) from None
        response.release_conn()
        return ServerResponse(
            url, response.status, {name.lower(): value for name, value in response.headers.items()}, body
        )


def tls_context(ca: str | Path | None) -> ssl.SSLContext:
    """Return a context that verifies certificates against the authorities in a PEM file, or the system's."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "it contains no certificate"
        raise UsageError(f"{ca} must be a PEM file of certificates: {reason}") from None


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Read a body in parts, to limit its size and the total time."""
    parts: list[bytes] = []
    size = 0
    sock = getattr(response.connection, "sock", None)
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if sock is not None:
            sock.settimeout(left_s)  # for one part; urllib3 sets its own before the next request
        part = response.read1(_PART_BYTES, decode_content=False)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > _MAX_RESPONSE_BYTES:
            raise HTTPError(f"expected a response of at most {_MAX_RESPONSE_BYTES >> 20} MiB, found more")


def _reason(error: Exception, url: str, timeout_s: float) -> str:
    """Return why there was no response; urllib3's messages contain addresses of objects."""
    if isinstance(error, NameResolutionError):
        return "the name of the host cannot be resolved"
    if isinstance(error, NewConnectionError):
        cause = error.__cause__
        return (cause.strerror if isinstance(cause, OSError) else None) or "no connection"
    if isinstance(error, ConnectTimeoutError):
        return f"no connection within {min(_CONNECT_S, timeout_s):.3g} s"
    if isinstance(error, ReadTimeoutError | TimeoutError):
        return f"no complete response within {timeout_s:.3g} s"
    cause = error.args[-1] if isinstance(error, ProtocolError) else None
    if isinstance(cause, http.client.RemoteDisconnected):
        hint = "; if it uses TLS, use an https:// URL" if url.startswith("http:") else ""
        return f"it closed the connection without a response{hint}"
    if isinstance(cause, http.client.BadStatusLine):
        return "its response is not HTTP; is this the port of gRPC, or of something else?"
    return str(error) if type(error) is HTTPError else "the connection broke"


def _tls_reason(error: SSLError) -> tuple[str, bool]:
    """Return why TLS failed, and whether another attempt cannot succeed."""
    cause = error.args[0]
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = getattr(cause, "verify_message", "")
        return f"its certificate is not trusted: {reason}; pass its authorities: ca, or --ca", True
    if getattr(cause, "reason", None) in _NO_TLS:
        return "it does not use TLS: use an http:// URL", True
    return "the TLS connection broke", False
