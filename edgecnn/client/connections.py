"""HTTP connections to servers: sends one request and returns its response, or raises the reason of a failure.

This is the only file that uses urllib3. It never retries, and bounds each response in bytes and in time.
"""

import html
import http.client
import json
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

from edgecnn.errors import ServerError, UsageError

_CONNECT_S = 5.0
"""Timeout of a connection attempt, so that an unreachable machine leaves time for another server."""

_MAX_IDLE = 64
"""Idle connections that are kept per server."""

_MAX_RESPONSE_BYTES = 256 << 20
_PART_BYTES = 1 << 16
_MAX_ERROR_CHARS, _MAX_OTHER_CHARS = 500, 120
"""Maximum characters in messages: of an error in the protocol's form, and of any other body."""

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
"""Reasons of OpenSSL 1.1 to 3.5 for a response in plain HTTP."""

_HTML = re.compile(r"\s*<(!doctype|html|head|body|\?xml)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Request:
    """A request; `path` is relative to the server's URL, and `headers` are sent in addition to the common ones."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class NoResponse(Exception):
    """A server did not respond, or is busy.

    Attributes:
        is_final: whether another attempt at this server cannot succeed.
        retry_after_s: how long the server asks clients to wait.
    """

    def __init__(self, reason: str, *, is_final: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class ServerResponse:
    """A response of the server at `url`; names of headers are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def checked(self) -> "ServerResponse":
        """Return this response, or raise `ServerError` if its status is not 2xx."""
        if not self.is_success:
            hint = "; pass its API key: api_key, or --api-key-file" if self.status == 401 else ""
            raise self.error(f"answers {self.status}: {self.text()}{hint}")
        return self

    def json(self) -> Any:
        """Parse the body as JSON; raises `ServerError` if that fails."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise self.protocol_error("its response is not JSON") from None

    def protocol_error(self, reason: str) -> ServerError:
        """Return the error that this response does not follow the protocol."""
        return self.error(f"does not follow the Open Inference Protocol: {reason}")

    def error(self, message: str) -> ServerError:
        """Return an error of this server; the message follows its URL."""
        return ServerError(f"{self.url} {one_line(message)}", url=self.url, status=self.status, text=self.text())

    def text(self) -> str:
        """Return the error text of the body, on one short line."""
        try:
            return one_line(str(json.loads(self.body)["error"]))[:_MAX_ERROR_CHARS] or "an empty error"
        except (ValueError, LookupError, TypeError, RecursionError):
            found = self.body[:4096].decode(errors="replace")
        if _HTML.match(found):
            title = _TITLE.search(found)
            named = f", {one_line(html.unescape(title[1]))[:_MAX_OTHER_CHARS]!r}" if title else ""
            hint = "; is this the URL of a server of the Open Inference Protocol?" if self.status < 500 else ""
            return f"a web page{named}{hint}"
        found = one_line(found)
        return (found if len(found) <= _MAX_OTHER_CHARS else f"{found[: _MAX_OTHER_CHARS - 1]}…") or "an empty body"


class Connections:
    """Connections of one process to some servers; any number of threads may use them."""

    def __init__(self, urls: Sequence[str], *, headers: Mapping[str, str], context: ssl.SSLContext | None) -> None:
        """Open no connection yet; `headers` are sent with every request, and `context` is for https."""
        self._headers = headers
        self._pools = {
            url: urllib3.connection_from_url(
                url, maxsize=_MAX_IDLE, **({"ssl_context": context} if url.startswith("https:") else {})
            )
            for url in urls
        }

    def send(self, url: str, request: Request, *, timeout_s: float) -> ServerResponse:
        """Send a request to a server, once.

        Raises:
            NoResponse: the server did not respond within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        try:
            response = self._pools[url].urlopen(
                request.method,
                (urllib3.util.parse_url(url).path or "") + request.path,
                body=request.body,
                headers={**self._headers, **request.headers},
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=min(_CONNECT_S, timeout_s), read=timeout_s),
                preload_content=False,
            )
            try:
                body = _read(response, deadline)
            except BaseException:
                response.close()  # unread bytes must not be taken for the next response
                raise
        except SSLError as error:
            reason, is_final = _tls_reason(error)
            raise NoResponse(f"{url}: {reason}", is_final=is_final) from None
        except (HTTPError, OSError) as error:
            raise NoResponse(f"{url}: {_reason(error, url, timeout_s)}") from None
        response.release_conn()
        return ServerResponse(
            url, response.status, {name.lower(): value for name, value in response.headers.items()}, body
        )

    def close(self) -> None:
        """Close idle connections; those in use are closed after their response."""
        for pool in self._pools.values():
            pool.close()


def tls_context(ca: str | Path | None) -> ssl.SSLContext:
    """Return a context that verifies certificates against the authorities in a PEM file, or the system's."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "it contains no certificate"
        raise UsageError(f"{ca} must be a PEM file of certificates: {reason}") from None


def one_line(text: str) -> str:
    """Return text from a server without control characters and line breaks, safe for a terminal."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


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
