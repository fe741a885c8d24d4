"""HTTP connections to the server under test.

Each conversation has a deadline and a limit of bytes, so that no server can block the suite. The module writes requests
itself, because client libraries refuse to send malformed ones.
"""

import contextlib
import email.message
import http.client
import io
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from oip_conformance.answer import Answer, NoAnswer, NoConnection
from oip_conformance.errors import UsageError

_MOST_BYTES = 64 << 20
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
"""Reasons in the errors of OpenSSL 1.1 to 3.5 for an answer in plain HTTP."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """The address of a server.

    Attributes:
        is_encrypted: whether the server uses TLS.
        host: name or address.
        port: the TCP port.
        prefix: the path before `/v2`; usually empty.
    """

    is_encrypted: bool
    host: str
    port: int
    prefix: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_url(url: str) -> Address:
    """Parse the URL of a server.

    Raises:
        UsageError: it is not valid.
    """
    expected = f"expected http://HOST[:PORT] or https://HOST[:PORT], found {url!r}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(expected) from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(expected)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(expected)
    if parts.path.rstrip("/") == "/v2" or "/v2/models" in parts.path:
        raise UsageError(f"{expected}: remove the path from /v2 on and name the model with --model")
    return Address(parts.scheme == "https", parts.hostname, port or _PORTS[parts.scheme], parts.path.rstrip("/"))


class Client:
    """Sends requests to one server, each on a new connection unless the caller opens a conversation."""

    def __init__(
        self, address: Address, *, timeout_s: float = 10.0, api_key: str | None = None, ca: Path | None = None
    ) -> None:
        """Store the address; this sends no request.

        Args:
            address: of the server.
            timeout_s: for a whole conversation.
            api_key: sent as `Authorization: Bearer`.
            ca: PEM file with the CA certificates to trust; None for those of the system.

        Raises:
            UsageError: the PEM file cannot be read, or the server does not use TLS.
        """
        if ca is not None and not address.is_encrypted:
            raise UsageError(f"--ca is for https, found an http URL: change it to https://{address.authority}")
        self.address = address
        self.timeout_s = timeout_s
        self._credentials = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._context: ssl.SSLContext | None = None
        if address.is_encrypted:
            try:
                self._context = ssl.create_default_context(cafile=None if ca is None else str(ca))
            except OSError as error:  # includes ssl.SSLError
                raise UsageError(f"cannot read CA certificates from {ca}: {error.strerror or error}") from None

    @property
    def has_key(self) -> bool:
        """Whether requests contain an API key."""
        return bool(self._credentials)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send a request and read its answer.

        Raises:
            NoAnswer: the server sends none.
        """
        with self.conversation() as conversation:
            conversation.send(self.written(method, path, body, headers))
            return conversation.receive(method)

    def written(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> bytes:
        """Return the bytes of a request. Headers that are None are omitted."""
        fields: dict[str, str | None] = {"Host": self.address.authority, "Connection": "close", **self._credentials}
        if body is not None:
            fields["Content-Length"] = str(len(body))
        fields |= headers or {}
        lines = [f"{method} {self.address.prefix}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")

    @contextlib.contextmanager
    def conversation(self) -> Iterator["Conversation"]:
        """Open a connection for any number of requests.

        Raises:
            NoConnection: the server accepts no connections.
            NoAnswer: the TLS handshake fails.
        """
        deadline = time.monotonic() + self.timeout_s
        try:
            sock = socket.create_connection((self.address.host, self.address.port), timeout=self.timeout_s)
        except OSError as error:
            raise NoConnection(f"no connection ({error.strerror or error})") from None
        with contextlib.ExitStack() as stack:
            stack.callback(sock.close)
            if self._context is not None:
                try:
                    sock = self._context.wrap_socket(sock, server_hostname=self.address.host)
                except (OSError, ValueError) as error:
                    hint = (
                        "; if the server uses plain HTTP, change the URL to http://"
                        if getattr(error, "reason", "") in _NO_TLS
                        else ""
                    )
                    raise NoAnswer(f"no TLS connection ({error}){hint}") from None
                stack.callback(sock.close)
            yield Conversation(sock, deadline, self.timeout_s)


class Conversation:
    """A connection with a deadline."""

    def __init__(self, sock: socket.socket, deadline: float, timeout_s: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._timeout_s = timeout_s
        self._stream = _Stream(_Incoming(sock, deadline))

    def send(self, content: bytes) -> None:
        """Send bytes. Ignore errors, because a server that stops reading may still answer."""
        with contextlib.suppress(OSError):
            self._sock.settimeout(max(self._deadline - time.monotonic(), 0.001))
            self._sock.sendall(content)

    def receive(self, method: str = "GET") -> Answer:
        """Read one answer.

        Args:
            method: of the request; answers to HEAD have no body.

        Raises:
            NoAnswer: there is none, or it is incomplete.
        """
        # HTTPResponse calls only `makefile` of its socket.
        response = http.client.HTTPResponse(self, method=method)  # type: ignore[arg-type]
        try:
            response.begin()
            body = response.read()
        except TimeoutError:
            raise NoAnswer(f"no complete answer within {self._timeout_s:g} s") from None
        except http.client.IncompleteRead as error:
            raise NoAnswer(f"a body that ends after {len(error.partial)} bytes, before its declared end") from None
        except (http.client.RemoteDisconnected, ConnectionError):
            raise NoAnswer("a connection closed without an answer") from None
        except http.client.BadStatusLine as error:
            raise NoAnswer(f"bytes that are not HTTP: {str(error)!r:.60}") from None
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise NoAnswer(f"no valid HTTP ({type(error).__name__}: {str(error)[:60]})") from None
        return Answer(response.status, _joined(response.msg), body)

    def is_told_to_continue(self) -> bool:
        """Return whether the server sends `100 Continue`; `receive` skips it."""
        try:
            return self._stream.peek(1).startswith((b"HTTP/1.1 100", b"HTTP/1.0 100"))
        except OSError:
            return False

    def rest(self) -> bytes:
        """Read until the server closes the connection or the deadline passes."""
        try:
            return self._stream.read()
        except OSError:
            return b""

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return the stream for `http.client`, the same for all answers."""
        assert mode == "rb"
        return self._stream


class _Incoming(io.RawIOBase):
    """The bytes from a socket, with a deadline and a limit."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._sock = sock
        self._deadline = deadline
        self._left = _MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        if self._left <= 0:
            raise http.client.HTTPException(f"more than {_MOST_BYTES} bytes")
        self._sock.settimeout(remaining_s)
        count = self._sock.recv_into(buffer)
        self._left -= count
        return count


class _Stream(io.BufferedReader):
    """A stream that stays open after an answer, because another may follow."""

    def close(self) -> None:
        """Keep the stream open; `Client.conversation` closes the socket."""


def _joined(message: email.message.Message | None) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in message.items() if message else ():
        earlier = headers.get(name.lower())
        headers[name.lower()] = value if earlier is None else f"{earlier}, {value}"
    return headers
