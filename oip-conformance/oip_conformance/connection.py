"""Requests to a server that may answer anything: bytes out, one HTTP answer in, or an exception that says what came.

Every conversation has a deadline for all of it and a bound on what is read, so that no server can hold the suite.
Requests are written here byte by byte, since what a client library would never send is what a server has to refuse.
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
"""What OpenSSL 1.1 to 3.5 calls an answer in plain HTTP."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """Where a server is.

    Attributes:
        is_encrypted: whether by TLS.
        host: name or address.
        port: of TCP.
        prefix: what stands before `/v2` in every path; mostly empty.
    """

    is_encrypted: bool
    host: str
    port: int
    prefix: str

    @property
    def authority(self) -> str:
        """What a Host header says."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_url(url: str) -> Address:
    """Read a server's URL.

    Raises:
        UsageError: it is none.
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
        raise UsageError(f"{expected}: the URL of a server ends before /v2, and --model names a model")
    return Address(parts.scheme == "https", parts.hostname, port or _PORTS[parts.scheme], parts.path.rstrip("/"))


class Client:
    """Asks one server; each request on a connection of its own, unless a conversation is opened."""

    def __init__(
        self, address: Address, *, timeout_s: float = 10.0, api_key: str | None = None, ca: Path | None = None
    ) -> None:
        """Remember where the server is; nothing is sent yet.

        Args:
            address: of the server.
            timeout_s: for one conversation, all in all.
            api_key: sent as `Authorization: Bearer`.
            ca: PEM file of the authorities to trust; None for the system's.

        Raises:
            UsageError: the PEM file cannot be used, or there is nothing that it would be for.
        """
        if ca is not None and not address.is_encrypted:
            raise UsageError(f"--ca is for https, and {address.authority} is asked over http: say https://")
        self.address = address
        self.timeout_s = timeout_s
        self._credentials = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._context: ssl.SSLContext | None = None
        if address.is_encrypted:
            try:
                self._context = ssl.create_default_context(cafile=None if ca is None else str(ca))
            except OSError as error:  # of which ssl.SSLError is one
                raise UsageError(f"cannot use {ca} as certificates to trust: {error.strerror or error}") from None

    @property
    def has_key(self) -> bool:
        """Whether requests bear one."""
        return bool(self._credentials)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send one request, and read its answer.

        Raises:
            NoAnswer: there was none.
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
        """Write a request; of `headers` those that are None are left out."""
        fields: dict[str, str | None] = {"Host": self.address.authority, "Connection": "close", **self._credentials}
        if body is not None:
            fields["Content-Length"] = str(len(body))
        fields |= headers or {}
        lines = [f"{method} {self.address.prefix}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")

    @contextlib.contextmanager
    def conversation(self) -> Iterator["Conversation"]:
        """Open a connection for as many requests as are wanted.

        Raises:
            NoAnswer: nobody accepts it; `NoConnection` where nobody takes connections at all.
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
                    hint = "; does its URL begin with http://?" if getattr(error, "reason", "") in _NO_TLS else ""
                    raise NoAnswer(f"no TLS connection ({error}){hint}") from None
                stack.callback(sock.close)
            yield Conversation(sock, deadline, self.timeout_s)


class Conversation:
    """One connection, until its deadline."""

    def __init__(self, sock: socket.socket, deadline: float, timeout_s: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._timeout_s = timeout_s
        self._stream = _Stream(_Incoming(sock, deadline))

    def send(self, content: bytes) -> None:
        """Send bytes; a server that takes no more may still have answered, so that is no error."""
        with contextlib.suppress(OSError):
            self._sock.settimeout(max(self._deadline - time.monotonic(), 0.001))
            self._sock.sendall(content)

    def receive(self, method: str = "GET") -> Answer:
        """Read one answer.

        Args:
            method: of the request: answers to HEAD have no body.

        Raises:
            NoAnswer: there was none, or none that is whole.
        """
        # It asks nothing of a socket but this one method.
        response = http.client.HTTPResponse(self, method=method)  # type: ignore[arg-type]
        try:
            response.begin()
            body = response.read()
        except TimeoutError:
            raise NoAnswer(f"no whole answer within {self._timeout_s:g} s") from None
        except http.client.IncompleteRead as error:
            raise NoAnswer(f"a body that ends after {len(error.partial)} bytes, before its end") from None
        except (http.client.RemoteDisconnected, ConnectionError):
            raise NoAnswer("a connection closed without an answer") from None
        except http.client.BadStatusLine as error:
            raise NoAnswer(f"what is no HTTP: {str(error)!r:.60}") from None
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise NoAnswer(f"no valid HTTP ({type(error).__name__}: {str(error)[:60]})") from None
        return Answer(response.status, _joined(response.msg), body)

    def is_told_to_continue(self) -> bool:
        """Whether `100 Continue` comes; it is left for `receive` to read over."""
        try:
            return self._stream.peek(1).startswith((b"HTTP/1.1 100", b"HTTP/1.0 100"))
        except OSError:
            return False

    def rest(self) -> bytes:
        """Read on until the server closes, or the time is over."""
        try:
            return self._stream.read()
        except OSError:
            return b""

    def makefile(self, mode: str) -> io.BufferedReader:
        """Give `http.client` its stream: the same for all answers."""
        assert mode == "rb"
        return self._stream


class _Incoming(io.RawIOBase):
    """What a socket brings, with an end to waiting and to reading."""

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
    """Stays open when an answer ends, since another may follow."""

    def close(self) -> None:
        """Do nothing: the socket is closed by whoever opened it."""


def _joined(message: email.message.Message | None) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in message.items() if message else ():
        earlier = headers.get(name.lower())
        headers[name.lower()] = value if earlier is None else f"{earlier}, {value}"
    return headers
