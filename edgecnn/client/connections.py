"""Kept connections to servers over HTTP: one request, one answer or the reason why there is none.

This is the only file that knows urllib3. It repeats nothing, and bounds an answer in bytes and in time.
"""

import http.client
import ssl
import time
from collections.abc import Mapping, Sequence
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

from edgecnn.client.answer import Answer, NoAnswer, Request
from edgecnn.client.rotation import Server
from edgecnn.errors import UsageError

_CONNECT_S = 5.0
"""For a connection, so that a machine that is gone costs no more where another could answer."""

_KEPT = 64
"""Idle connections to a server; more threads than that open some of theirs anew."""

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
"""What OpenSSL 1.1 to 3.5 calls an answer in plain HTTP."""

_BROKEN = "the connection broke off"
_BROKEN_TLS = "the TLS connection broke off"
_PERHAPS_TLS = "; if it speaks TLS, its URL begins with https://"

_LARGEST_ANSWER = 256 << 20
_PART = 1 << 16


class Connections:
    """Connections to some servers, of this process alone; any number of threads may use them."""

    def __init__(self, urls: Sequence[str], *, headers: Mapping[str, str], context: ssl.SSLContext | None) -> None:
        """Open nothing yet.

        Args:
            urls: of servers that may be asked.
            headers: of every request.
            context: for https.
        """
        self._headers = dict(headers)
        self._pools = {url: _pool(url, context) for url in urls}
        self._prefixes = {url: urllib3.util.parse_url(url).path or "" for url in urls}

    def send(self, server: Server, request: Request, *, patience_s: float) -> Answer:
        """Send a request, once.

        Raises:
            NoAnswer: there is none, or not within `patience_s`.
        """
        try:
            return self._send(server, request, patience_s)
        except (HTTPError, OSError) as error:
            is_final = isinstance(error, SSLError) and (_is_distrusted(error) or _is_no_tls(error))
            reason = _reason(error, patience_s, is_plain=server.url.startswith("http:"))
            raise NoAnswer(f"{server.url}: {reason}", is_final=is_final) from None

    def close(self) -> None:
        """Close the idle ones; those in use are closed after their answer."""
        for pool in self._pools.values():
            pool.close()

    def _send(self, server: Server, request: Request, patience_s: float) -> Answer:
        end = time.monotonic() + patience_s
        response = self._pools[server.url].urlopen(
            request.method,
            self._prefixes[server.url] + request.path,
            body=request.body,
            headers={**self._headers, **request.headers},
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(connect=min(_CONNECT_S, patience_s), read=patience_s),
            preload_content=False,
        )
        try:
            body = _read(response, end)
        except BaseException:
            response.close()  # what is left of it must not be taken for the next answer
            raise
        response.release_conn()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(server, response.status, headers, body, with_key="Authorization" in self._headers)


def trusting(ca: Path | None) -> ssl.SSLContext:
    """Return what verifies servers' certificates.

    Args:
        ca: PEM file with the authorities that they must come from; None for the system's.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "no certificate stands in it"
        raise UsageError(f"{ca} must be a PEM file of certificates: {reason}") from None


def _pool(url: str, context: ssl.SSLContext | None) -> urllib3.HTTPConnectionPool:
    options = {"ssl_context": context} if url.startswith("https:") else {}
    return urllib3.connection_from_url(url, maxsize=_KEPT, block=False, retries=False, **options)


def _read(response: urllib3.BaseHTTPResponse, end: float) -> bytes:
    """Read a body as it comes, so that neither its size nor a trickle of it is without bound."""
    parts: list[bytes] = []
    size = 0
    sock = getattr(response.connection, "sock", None)
    while True:
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if sock is not None:
            sock.settimeout(left_s)  # for one part; urllib3 sets its own before the next request
        part = response.read1(_PART, decode_content=False)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > _LARGEST_ANSWER:
            raise HTTPError(f"its answer has more than {_LARGEST_ANSWER >> 20} MiB")


def _reason(error: Exception, patience_s: float, *, is_plain: bool) -> str:
    """Say why there was no answer; urllib3's own texts show addresses of objects."""
    if isinstance(error, NameResolutionError):
        return "its name is not known"
    if isinstance(error, NewConnectionError):
        cause = error.__cause__
        return (cause.strerror if isinstance(cause, OSError) else None) or "no connection"
    if isinstance(error, ConnectTimeoutError):
        return f"no connection within {min(_CONNECT_S, patience_s):.3g} s"
    if isinstance(error, ReadTimeoutError | TimeoutError):
        return f"no whole answer within {patience_s:.3g} s"
    if isinstance(error, SSLError):
        return _reason_of_tls(error)
    if isinstance(error, ProtocolError):
        return _reason_of_http(error.args[-1], is_plain=is_plain)
    return str(error) if type(error) is HTTPError else _BROKEN


def _reason_of_tls(error: SSLError) -> str:
    if _is_distrusted(error):
        reason = getattr(error.args[0], "verify_message", "")
        return f"its certificate is not trusted: {reason}; name its authorities: ca, or --ca"
    return "it does not speak TLS: does its URL begin with http://?" if _is_no_tls(error) else _BROKEN_TLS


def _reason_of_http(cause: object, *, is_plain: bool) -> str:
    if isinstance(cause, http.client.RemoteDisconnected):
        return "it closed the connection without an answer" + (_PERHAPS_TLS if is_plain else "")
    if isinstance(cause, http.client.BadStatusLine):
        return "it does not answer by HTTP; is this its port for gRPC, or of something else?"
    return _BROKEN


def _is_distrusted(error: SSLError) -> bool:
    return isinstance(error.args[0], ssl.SSLCertVerificationError)


def _is_no_tls(error: SSLError) -> bool:
    """Whether what has come is no TLS: a server without it answers in plain HTTP."""
    return getattr(error.args[0], "reason", None) in _NO_TLS
